"""The Whisper family: an encoder of log-mel frames and a decoder of text, on a window as long as the clips."""

from __future__ import annotations

from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import check_missing_keys, load_pretrained, load_weights
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

AUTO_CLASS = "AutoModelForSpeechSeq2Seq"
MAX_TOKENS_PER_SECOND = 12  # twice what fast speech needs: a decoder that loops is stopped there
N_PREFIX_TOKENS = 4  # tokens that the decoder is given before the text
MULTILINGUAL_VOCAB_SIZE = (
    51_865  # the size of the vocabulary of a Whisper of many languages; that of an English one is smaller
)


class WhisperOptions(StrictModel):
    """What `model` takes for this family."""

    window_seconds: int | None = Field(
        None, ge=1, le=30, description="how much the encoder hears at a time; by default what the checkpoint does, 30"
    )
    language: str = Field("en", description="of the transcripts; only read for a multilingual checkpoint")


class Whisper(ModelFamily):
    """Whisper, on a window as long as the clips."""

    Options = WhisperOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        return {"whisper"} if auto_class == AUTO_CLASS else set()

    def is_unmodified_checkpoint(self, options: WhisperOptions) -> bool:
        """Tell whether the model that is loaded is the checkpoint itself, so that an adapter can be put on that."""
        return options.window_seconds is None

    def original_options(self, options: WhisperOptions) -> WhisperOptions:
        """Return the options that leave a checkpoint on its own window: one cut to a new window has to be trained on it."""
        return options.model_copy(update={"window_seconds": None})

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: WhisperOptions
    ) -> tuple[Any, Any]:
        """Return the config and the processor, both for the window; raises UserError for a language it does not know."""
        from transformers import AutoProcessor

        processor = load_pretrained(AutoProcessor, source, model_options)
        extractor = processor.feature_extractor
        if options.window_seconds is not None:
            config.max_source_positions = config.max_source_positions * options.window_seconds // extractor.chunk_length
            extractor.chunk_length = options.window_seconds
            extractor.n_samples = options.window_seconds * extractor.sampling_rate
            extractor.nb_max_frames = extractor.n_samples // extractor.hop_length
        if _generation(source, model_options, config, processor.tokenizer).is_multilingual:
            try:
                processor.tokenizer.set_prefix_tokens(language=options.language, task="transcribe")
            except ValueError as error:
                raise UserError(f"model.language: {error}") from error
            # Read when a saved tokenizer is loaded again.
            processor.tokenizer.init_kwargs.update(language=processor.tokenizer.language, task=processor.tokenizer.task)
        return config, processor

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: WhisperOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model in fp32, which decodes greedily and briefly, and its processor.

        Raises UserError when the checkpoint lacks tensors.
        """
        import transformers

        model_class = getattr(transformers, auto_class)
        if model_options.init == "random":
            config, processor = self.load_processor(source, model_options, config, options)
            model = model_class.from_config(config, dtype="float32")
        else:
            model, info = load_weights(model_class, source, model_options, config=config)
            check_missing_keys(info["missing_keys"], model, model_options)
            model.config, processor = self.load_processor(source, model_options, model.config, options)
            _resize_positional_embedding(model.get_encoder(), model.config.max_source_positions)
        settings = _generation(source, model_options, model.config, processor.tokenizer)
        model.generation_config = _greedy_generation_config(settings, model, processor, options)
        return model, processor

    def max_label_tokens(self, config: Any, processor: Any) -> int:
        """Return up to how many tokens all of a transcript is written, those before and after its text counted.

        No more is spoken in one window.
        """
        window: int = processor.feature_extractor.chunk_length
        return min(N_PREFIX_TOKENS + MAX_TOKENS_PER_SECOND * window, int(config.max_target_positions))

    def modules_to_save(self, model: Any) -> list[str]:
        """Return nothing: the output layer is the embedding of the input tokens."""
        return []

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of encoder and decoder."""
        return find_linear_modules(model, model.base_model)

    def label_ids(self, config: Any, tokenizer: Any, text: str) -> list[int]:
        """Return the tokens that the decoder is to write, from the start token to the end token.

        A transcript begins with a space, as those did that Whisper was trained on.
        """
        ids: list[int] = tokenizer(f" {text.strip()}")["input_ids"]
        return ids if ids[0] == config.decoder_start_token_id else [config.decoder_start_token_id, *ids]


def _resize_positional_embedding(encoder: Any, count: int) -> None:
    """Cut the encoder's positions to the first ``count``, or go on with them: they are sinusoids and never train."""
    import torch
    from torch import nn
    from transformers.models.whisper.modeling_whisper import sinusoids

    kept = encoder.embed_positions.weight[:count].detach()
    more = sinusoids(count, kept.shape[1])[len(kept) :]
    encoder.embed_positions = nn.Embedding.from_pretrained(torch.cat([kept, more]), freeze=True)
    encoder.max_source_positions = count


def _generation(source: str, model_options: Model, config: Any, tokenizer: Any) -> Any:
    """Return the checkpoint's generation settings; what older ones do not say, its config and vocabulary do."""
    from transformers import GenerationConfig
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS

    try:
        settings = GenerationConfig.from_pretrained(source, revision=model_options.revision)
    except OSError:
        settings = GenerationConfig.from_model_config(config)
    if not hasattr(settings, "is_multilingual"):
        settings.is_multilingual = config.vocab_size >= MULTILINGUAL_VOCAB_SIZE
    if settings.is_multilingual and not hasattr(settings, "lang_to_id"):
        ids = tokenizer.get_vocab()
        settings.lang_to_id = {token: ids[token] for code in LANGUAGES if (token := f"<|{code}|>") in ids}
        settings.task_to_id = {name: ids[f"<|{name}|>"] for name in TASK_IDS}
    return settings


def _greedy_generation_config(settings: Any, model: Any, processor: Any, options: WhisperOptions) -> Any:
    """Return settings by which `pipeline` decodes as evaluation does: greedily, and no longer than the window lasts."""
    settings.num_beams = 1
    # Not max_new_tokens: beside the length that the library fills in, each call would warn of two limits.
    settings.max_length = FAMILY.max_label_tokens(model.config, processor)
    if settings.is_multilingual:
        settings.language, settings.task = options.language, "transcribe"
    return settings


FAMILY = Whisper()
