"""Two models become one native image-text model, which is proved to speak as its language model did."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError
from hfmm.models.common import language_model
from hfmm.models.common.vision_features import VisionFeatures

TOLERANCE = 1e-5  # of the largest logit: some ten times what another order of the same fp32 sums makes
N_PROBE_TOKENS = 32  # tokens from all over the vocabulary, on which logits are compared
EMBEDDING_MULTIPLE = 64  # a grown embedding has a multiple of it: matrix products of other sizes are slower
PIXEL_SHUFFLE_FACTOR = 2  # patches that AyaVision makes one image token of, along each side


def llava_config(vision: Any, text: Any, tokenizer: Any, seen: VisionFeatures, pooled: bool, name: str) -> Any:
    """Return the config of a LLaVA, or where ``pooled`` of an AyaVision, that holds both, with room for the tokenizer.

    ``name`` is the vision checkpoint's. Raises UserError where its patches cannot be pooled, or are more than the
    language model reads.
    """
    import transformers

    tokens, grid = seen.num_image_tokens, f"{seen.rows} x {seen.columns} patches"
    if pooled:
        if seen.rows != seen.columns or seen.rows % PIXEL_SHUFFLE_FACTOR or seen.extra > 1:
            registers = f" and {seen.extra - 1} registers" if seen.extra > 1 else ""
            raise UserError(
                f"model.connector: pixel_shuffle makes one image token of {PIXEL_SHUFFLE_FACTOR} x {PIXEL_SHUFFLE_FACTOR} patches, which needs a square of an "
                f"even number of them, and {name} gives {grid}{registers}. Set it to mlp, or choose another checkpoint."
            )
        tokens //= PIXEL_SHUFFLE_FACTOR**2
    longest = getattr(text, "max_position_embeddings", None)
    if longest and tokens >= longest:
        fewer = (
            "a checkpoint of fewer patches"
            if pooled
            else f"model.connector: pixel_shuffle, for {PIXEL_SHUFFLE_FACTOR**2} patches a token"
        )
        raise UserError(
            f"{language_model.KEY}: it reads at most {longest} tokens, and one picture of {name} takes {tokens} "
            f"({grid}). Choose another language model, or {fewer}."
        )
    image_token = tokenizer.convert_tokens_to_ids(language_model.IMAGE_TOKEN)
    if (needed := max(len(tokenizer), image_token + 1)) > text.vocab_size:
        text.vocab_size = -(-needed // EMBEDDING_MULTIPLE) * EMBEDDING_MULTIPLE
    text.tie_word_embeddings = text.tie_word_embeddings and _supports_weight_tying(text)
    shared = {
        "vision_config": vision,
        "text_config": text,
        "image_token_index": image_token,
        "vision_feature_layer": seen.layer,
        "vision_feature_select_strategy": seen.feature_select_strategy,
        "tie_word_embeddings": text.tie_word_embeddings,
    }
    if pooled:
        # The gate halves the projector's width: twice the language model's leaves as much as LLaVA's has.
        width = 2 * text.hidden_size
        return transformers.AyaVisionConfig(
            **shared, downsample_factor=PIXEL_SHUFFLE_FACTOR, alignment_intermediate_size=width
        )
    return transformers.LlavaConfig(**shared, image_seq_length=tokens)


def _supports_weight_tying(text: Any) -> bool:
    """Tell whether the native classes find the embedding to tie the output to: GPT-2 has it under another name."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        return hasattr(AutoModel.from_config(text), "embed_tokens")


def assemble_llava(config: Any, vision: Any, speaker: Any, auto_class: str, name: str) -> Any:
    """Return the model of a `native_config` with both loaded models in it and a new projector between them.

    The two are moved, not copied. Raises UserError where the language model, called ``name``, would give other
    logits for a text than it gives by itself.
    """
    import torch
    import transformers

    known = speaker.config.vocab_size
    ids = torch.linspace(
        0, known - 1, min(N_PROBE_TOKENS, getattr(speaker.config, "max_position_embeddings", N_PROBE_TOKENS))
    ).long()
    with torch.no_grad():
        before = speaker(input_ids=ids[None]).logits
    _resize_embeddings(speaker, config.text_config.vocab_size)
    speaker.config.tie_word_embeddings = config.tie_word_embeddings
    with torch.device("meta"):  # what is about to be replaced takes neither memory nor time
        model = getattr(transformers, auto_class).from_config(config, dtype="float32")
    inner, head = model.model, speaker.get_output_embeddings().weight
    _replace_module(inner, "vision_tower", vision, "model.checkpoint")
    _replace_module(inner, "language_model", speaker.base_model, language_model.KEY)
    inner.multi_modal_projector = type(inner.multi_modal_projector)(config).apply(model._init_weights)
    model.lm_head.weight = head if config.tie_word_embeddings else torch.nn.Parameter(head.detach().clone())
    model.config.vision_config, model.config.text_config = vision.config, speaker.config
    model.eval()
    what = f"{language_model.KEY}: {name} is a {speaker.config.model_type!r} model that"
    try:
        with torch.no_grad():
            after = model(input_ids=ids[None]).logits[..., :known]
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{what} does not run as a part of another. {language_model.SUPPORTED_HINT} The library said: {_first_line(error)}"
        ) from error
    difference, largest = float((after - before).abs().max()), float(before.abs().max())
    if not difference <= TOLERANCE * largest:
        raise UserError(
            f"{what} cannot be assembled truthfully: for one text its logits, at most {largest:.3g}, would be off by "
            f"{difference:.3g}, because what it does between its last layer and them (a scale, a cap, a bias) has no "
            f"place in the assembled model. {language_model.SUPPORTED_HINT}"
        )
    return model


def _resize_embeddings(speaker: Any, rows: int) -> None:
    """Give the embeddings new rows, each the mean of the old ones: as a logit it never outdoes all trained tokens."""
    import torch

    known = speaker.config.vocab_size
    if rows > known:
        speaker.resize_token_embeddings(rows, mean_resizing=False)
        with torch.no_grad():
            for layer in (speaker.get_input_embeddings(), speaker.get_output_embeddings()):
                layer.weight[known:] = layer.weight[:known].mean(0)


def _replace_module(inner: Any, place: str, part: Any, key: str) -> None:
    """Set a part of the native model; raises UserError for one that would not be loaded again as what it is."""
    native = type(getattr(inner, place))
    if type(part) is not native:
        raise UserError(
            f"{key}: its layers are a {type(part).__name__}, and by its config the assembled model would load a "
            f"{native.__name__} in their place. Choose another checkpoint."
        )
    setattr(inner, place, part)


def check_image_token_count(model: Any, processor: Any, name: str) -> None:
    """Raise UserError unless the model takes a picture at exactly the places that the processor leaves in a text.

    ``name`` is the vision checkpoint's.
    """
    import torch
    from PIL import Image

    inputs = processor(images=[Image.new("RGB", (64, 64))], text=[processor.image_token], return_tensors="pt")
    places = int((inputs["input_ids"] == model.config.image_token_id).sum())
    try:
        with torch.no_grad():
            model(**inputs, logits_to_keep=1)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"model.checkpoint: what {name} gives of a picture does not fit the {places} places a text has for it. "
            f"The library said: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
