"""Assemble a vision encoder and a language model into a native LLaVA or AyaVision model, and check its logits."""

from __future__ import annotations

from typing import Any

from hfmm.errors import UserError, first_line
from hfmm.models.common.language_model import IMAGE_TOKEN, KEY, SUPPORTED_HINT
from hfmm.models.common.vision_features import VisionFeatures

TOLERANCE = 1e-5  # relative to the largest logit: about ten times the effect of another order of summation in fp32
N_PROBE_TOKENS = 32  # evenly spaced tokens of the vocabulary, for which the logits are compared
EMBEDDING_MULTIPLE = (
    64  # a resized embedding has a multiple of this many rows, because other matrix products are slower
)
PIXEL_SHUFFLE_FACTOR = 2  # AyaVision merges this many patches along each side into one image token


def llava_config(
    vision_config: Any,
    text_config: Any,
    tokenizer: Any,
    vision_features: VisionFeatures,
    pixel_shuffle: bool,
    name: str,
) -> Any:
    """Return the config of a LLaVA or an AyaVision model. Its vocabulary has room for the image token.

    Args:
        vision_config: The config of the vision encoder.
        text_config: The config of the language model. It is changed.
        tokenizer: The tokenizer with the image token.
        vision_features: The features that the language model reads.
        pixel_shuffle: Whether to merge patches, as in AyaVision.
        name: The name of the vision checkpoint, for messages.

    Raises:
        UserError: The patches cannot be merged, or they are too many for the language model.
    """
    import transformers

    num_tokens, grid = vision_features.num_image_tokens, f"{vision_features.rows} x {vision_features.columns} patches"
    extra, factor = vision_features.extra, PIXEL_SHUFFLE_FACTOR
    if pixel_shuffle:
        if vision_features.rows != vision_features.columns or vision_features.rows % factor or extra > 1:
            registers = f" and {extra - 1} registers" if extra > 1 else ""
            raise UserError(
                f"model.connector: pixel_shuffle merges {factor} x {factor} patches into one image token. It needs an "
                f"even square of patches, and {name} has {grid}{registers}. Set it to mlp, or use another checkpoint."
            )
        num_tokens //= factor**2
    max_tokens = getattr(text_config, "max_position_embeddings", None)
    if max_tokens and num_tokens >= max_tokens:
        fewer_tokens = (
            "a checkpoint with fewer patches"
            if pixel_shuffle
            else f"model.connector: pixel_shuffle, which merges {factor**2} patches into a token"
        )
        raise UserError(
            f"{KEY}: it reads at most {max_tokens} tokens, but an image of {name} takes {num_tokens} ({grid}). Choose "
            f"another language model, or {fewer_tokens}."
        )
    image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if (vocab_size := max(len(tokenizer), image_token_id + 1)) > text_config.vocab_size:
        text_config.vocab_size = -(-vocab_size // EMBEDDING_MULTIPLE) * EMBEDDING_MULTIPLE
    text_config.tie_word_embeddings = text_config.tie_word_embeddings and _supports_weight_tying(text_config)
    shared = {
        "vision_config": vision_config,
        "text_config": text_config,
        "image_token_index": image_token_id,
        "vision_feature_layer": vision_features.layer,
        "vision_feature_select_strategy": vision_features.feature_select_strategy,
        "tie_word_embeddings": text_config.tie_word_embeddings,
    }
    if pixel_shuffle:
        # The gate of the projector halves this width, so its output is as wide as that of LLaVA's projector.
        width = 2 * text_config.hidden_size
        return transformers.AyaVisionConfig(**shared, downsample_factor=factor, alignment_intermediate_size=width)
    return transformers.LlavaConfig(**shared, image_seq_length=num_tokens)


def _supports_weight_tying(text_config: Any) -> bool:
    """Tell whether the native classes can tie the output to the embedding, which GPT-2 has under another name."""
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        return hasattr(AutoModel.from_config(text_config), "embed_tokens")


def assemble_llava(config: Any, vision_tower: Any, language_model: Any, auto_class: str, name: str) -> Any:
    """Return a model with the loaded vision tower and language model, and a new projector between them.

    Args:
        config: The config from `llava_config`.
        vision_tower: The vision encoder. It is moved, not copied.
        language_model: The language model. It is moved, not copied.
        auto_class: The Auto class of the model.
        name: The name of the language model, for messages.

    Raises:
        UserError: The logits of a text differ from those of the language model alone.
    """
    import torch
    import transformers

    text_config = language_model.config
    vocab_size = text_config.vocab_size
    ids = torch.linspace(
        0, vocab_size - 1, min(N_PROBE_TOKENS, getattr(text_config, "max_position_embeddings", N_PROBE_TOKENS))
    ).long()
    with torch.no_grad():
        before = language_model(input_ids=ids[None]).logits
    _resize_embeddings(language_model, config.text_config.vocab_size)
    language_model.config.tie_word_embeddings = config.tie_word_embeddings
    with torch.device("meta"):  # the modules that are replaced need no memory and no time
        model = getattr(transformers, auto_class).from_config(config, dtype="float32")
    inner, head = model.model, language_model.get_output_embeddings().weight
    _replace_module(inner, "vision_tower", vision_tower, "model.checkpoint")
    _replace_module(inner, "language_model", language_model.base_model, KEY)
    inner.multi_modal_projector = type(inner.multi_modal_projector)(config).apply(model._init_weights)
    model.lm_head.weight = head if config.tie_word_embeddings else torch.nn.Parameter(head.detach().clone())
    model.config.vision_config, model.config.text_config = vision_tower.config, language_model.config
    model.eval()
    subject = f"{KEY}: {name} is a {language_model.config.model_type!r} model, which"
    try:
        with torch.no_grad():
            after = model(input_ids=ids[None]).logits[..., :vocab_size]
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{subject} does not run inside a LLaVA model. {SUPPORTED_HINT} The error was: {first_line(error)}"
        ) from error
    difference, largest = float((after - before).abs().max()), float(before.abs().max())
    if not difference <= TOLERANCE * largest:
        raise UserError(
            f"{subject} would have other logits inside a LLaVA model: they are at most {largest:.3g}, and differ by "
            f"{difference:.3g}. LLaVA does not support its operations after the last layer, such as a scale, a cap or "
            f"a bias. {SUPPORTED_HINT}"
        )
    return model


def _resize_embeddings(language_model: Any, num_rows: int) -> None:
    """Add rows to the embeddings. Each is the mean of the old rows, so it never has the largest logit."""
    import torch

    vocab_size = language_model.config.vocab_size
    if num_rows > vocab_size:
        language_model.resize_token_embeddings(num_rows, mean_resizing=False)
        with torch.no_grad():
            for layer in (language_model.get_input_embeddings(), language_model.get_output_embeddings()):
                layer.weight[vocab_size:] = layer.weight[:vocab_size].mean(0)


def _replace_module(inner: Any, name: str, module: Any, key: str) -> None:
    """Replace a module of the native model; raises UserError for another class, which could not be loaded again."""
    native_class = type(getattr(inner, name))
    if type(module) is not native_class:
        raise UserError(
            f"{key}: its layers are a {type(module).__name__}, but the assembled model would load them as a "
            f"{native_class.__name__}. Choose another checkpoint."
        )
    setattr(inner, name, module)


def check_image_token_count(model: Any, processor: Any, name: str) -> None:
    """Raise UserError if the features of an image do not match its image tokens in the text.

    Args:
        model: The assembled model.
        processor: Its processor.
        name: The name of the vision checkpoint, for messages.
    """
    import torch
    from PIL import Image

    inputs = processor(images=[Image.new("RGB", (64, 64))], text=[processor.image_token], return_tensors="pt")
    num_tokens = int((inputs["input_ids"] == model.config.image_token_id).sum())
    try:
        with torch.no_grad():
            model(**inputs, logits_to_keep=1)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"model.checkpoint: the features of {name} do not match the {num_tokens} image tokens of an image. The "
            f"error was: {first_line(error)}"
        ) from error
