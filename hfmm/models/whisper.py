"""The Whisper family, with a window that can be as short as the clips."""

from __future__ import annotations

from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import check_missing_keys, load_pretrained, load_weights
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.models.common.seq2seq_transcriber import Seq2SeqTranscriber, max_label_tokens
from hfmm.models.common.whisper_window import resize_positional_embedding, set_window
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

AUTO_CLASS = "AutoModelForSpeechSeq2Seq"
MULTILINGUAL_VOCAB_SIZE = 51_865  # English-only checkpoints have a smaller vocabulary


class WhisperOptions(StrictModel):
    """The options of `model` for this family."""

    window_seconds: int | None = Field(
        None, ge=1, le=30, description="length of the encoder input; by default that of the checkpoint, 30"
    )
    language: str = Field("en", description="of the transcripts; only for multilingual checkpoints")


class Whisper(ModelFamily):
    """Whisper, with a window that can be as short as the clips."""

    Options = WhisperOptions
    supports_quantization = True

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        return {"whisper"} if auto_class == AUTO_CLASS else set()

    def is_unmodified_checkpoint(self, options: WhisperOptions) -> bool:
        """Tell whether the options load one checkpoint as it is, so that an adapter can name it as its base model."""
        return options.window_seconds is None

    def original_options(self, options: WhisperOptions) -> WhisperOptions:
        """Return the options with the window of the checkpoint, because a new window needs training."""
        return options.model_copy(update={"window_seconds": None})

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: WhisperOptions
    ) -> tuple[Any, Any]:
        """Return the config and the processor for the window; raises UserError for an unsupported language."""
        from transformers import AutoProcessor

        processor = load_pretrained(AutoProcessor, source, model_options)
        if options.window_seconds is not None:
            set_window(config, processor.feature_extractor, options.window_seconds)
        if _load_generation_config(source, model_options, config, processor.tokenizer).is_multilingual:
            try:
                processor.tokenizer.set_prefix_tokens(language=options.language, task="transcribe")
            except ValueError as error:
                raise UserError(f"model.language: {error}") from error
            # Saved with the tokenizer.
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
        """Return the model in fp32 with a generation config for greedy decoding, and its processor.

        Raises UserError if the checkpoint lacks tensors.
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
            resize_positional_embedding(model.get_encoder(), model.config.max_source_positions)
        generation_config = _load_generation_config(source, model_options, model.config, processor.tokenizer)
        model.generation_config = _greedy_generation_config(generation_config, model, processor, options)
        return model, processor

    def make_transcriber(self, config: Any, processor: Any) -> Seq2SeqTranscriber:
        """Return how `speech_recognition` calls the model: with log-mel features and a decoder."""
        return Seq2SeqTranscriber(config, processor)

    def modules_to_save(self, model: Any) -> list[str]:
        """Return an empty list: the output layer is tied to the embedding of the input tokens."""
        return []

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of the encoder and the decoder."""
        return find_linear_modules(model, model.base_model)


def _load_generation_config(source: str, model_options: Model, config: Any, tokenizer: Any) -> Any:
    """Return the generation config of a checkpoint. Older ones are completed from its config and vocabulary."""
    from transformers import GenerationConfig
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS

    try:
        generation_config = GenerationConfig.from_pretrained(source, revision=model_options.revision)
    except OSError:
        generation_config = GenerationConfig.from_model_config(config)
    if not hasattr(generation_config, "is_multilingual"):
        generation_config.is_multilingual = config.vocab_size >= MULTILINGUAL_VOCAB_SIZE
    if generation_config.is_multilingual and not hasattr(generation_config, "lang_to_id"):
        ids = tokenizer.get_vocab()
        generation_config.lang_to_id = {token: ids[token] for code in LANGUAGES if (token := f"<|{code}|>") in ids}
        generation_config.task_to_id = {name: ids[f"<|{name}|>"] for name in TASK_IDS}
    return generation_config


def _greedy_generation_config(generation_config: Any, model: Any, processor: Any, options: WhisperOptions) -> Any:
    """Return the generation config for greedy decoding of one window, which `pipeline` uses as well."""
    generation_config.num_beams = 1
    # Not max_new_tokens, because transformers fills in max_length and would warn of two limits at each call.
    generation_config.max_length = max_label_tokens(model.config, processor)
    if generation_config.is_multilingual:
        generation_config.language, generation_config.task = options.language, "transcribe"
    return generation_config


FAMILY = Whisper()
