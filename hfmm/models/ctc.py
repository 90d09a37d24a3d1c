"""The family of CTC models: wav2vec 2.0, HuBERT, WavLM, Parakeet and every other that `AutoModelForCTC` loads."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.errors import UserError, first_line
from hfmm.models.common.audio_encoder_family import AudioEncoderFamily
from hfmm.models.common.audio_inputs import load_feature_extractor
from hfmm.models.common.checkpoint import check_missing_keys, load_with_new_head
from hfmm.models.common.ctc_transcriber import CTCTranscriber
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

# A skipped layer has no gradient, a mask of SpecAugment may be longer than a clip, and the task divides the sum.
TRAINING_CONFIG = {
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "ctc_loss_reduction": "sum",
    "ctc_zero_infinity": True,
}


UNTESTED = {"granite_speech5_ctc", "lasr_ctc"}  # their extractors and losses differ from those of the others


class CTCOptions(StrictModel):
    """The options of `model` for this family."""

    vocabulary: str | None = Field(
        None,
        min_length=2,
        pattern=r"^[^\s|]*$",
        description="letters of a new vocabulary; the head is then new; by default the vocabulary of the checkpoint",
    )


class CTC(AudioEncoderFamily):
    """Models that write a letter for each frame of the audio."""

    Options = CTCOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_CTC_MAPPING_NAMES

        return set(MODEL_FOR_CTC_MAPPING_NAMES) - UNTESTED if auto_class == "AutoModelForCTC" else set()

    def load_processor(self, source: str, model_options: Model, config: Any, options: CTCOptions) -> tuple[Any, Any]:
        """Return the config and the processor; raises UserError if the checkpoint has no vocabulary and gets none."""
        import transformers
        from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

        extractor = load_feature_extractor(source, model_options, config)
        tokenizer = _load_tokenizer(source, model_options, options)
        config.update({name: value for name, value in TRAINING_CONFIG.items() if hasattr(config, name)})
        config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
        processor_name = PROCESSOR_MAPPING_NAMES.get(config.model_type)
        processor_class = getattr(transformers, processor_name or "Wav2Vec2Processor")
        return config, processor_class(feature_extractor=extractor, tokenizer=tokenizer)

    def load(
        self, source: str, model_options: Model, config: Any, options: CTCOptions, features: Features, auto_class: str
    ) -> tuple[Any, Any]:
        """Return the model in fp32 with a head for the vocabulary, and its processor.

        Raises UserError if the checkpoint lacks more than the head.
        """
        import transformers

        model_class = getattr(transformers, auto_class)
        config, processor = self.load_processor(source, model_options, config, options)
        if model_options.init == "random":
            return model_class.from_config(config, dtype="float32"), processor
        model, missing = load_with_new_head(model_class, source, model_options, config)
        heads = tuple(f"{name}." for name in self.modules_to_save(model))
        required = missing - self.unused_parameters(model)
        check_missing_keys((key for key in required if not key.startswith(heads)), model, model_options)
        return model, processor

    def make_transcriber(self, config: Any, processor: Any) -> CTCTranscriber:
        """Return how `speech_recognition` calls the model: with audio features and labels of letters."""
        return CTCTranscriber(config, processor)


def _load_tokenizer(source: str, model_options: Model, options: CTCOptions) -> Any:
    from transformers import AutoTokenizer, Wav2Vec2CTCTokenizer

    if options.vocabulary is None:
        try:
            return AutoTokenizer.from_pretrained(source, revision=model_options.revision)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"model.checkpoint: the vocabulary of {model_options.checkpoint} could not be loaded. A checkpoint "
                "that was only pretrained has none: set model.vocabulary to the letters of your transcripts, for "
                f'example "abcdefghijklmnopqrstuvwxyz\'". The error was: {first_line(error)}'
            ) from error
    tokens = ["<pad>", "<unk>", "|", *dict.fromkeys(options.vocabulary)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocab.json")
        path.write_text(json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(str(path), bos_token=None, eos_token=None)


FAMILY = CTC()
