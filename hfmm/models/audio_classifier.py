"""The family of audio classifiers: every model that `AutoModelForAudioClassification` loads."""

from __future__ import annotations

from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.data.common.labels import is_multi_attribute, label_names
from hfmm.errors import UserError
from hfmm.models.common.audio_encoder_family import AudioEncoderFamily, encoder_name
from hfmm.models.common.audio_inputs import load_feature_extractor
from hfmm.models.common.checkpoint import check_missing_keys, load_with_new_head
from hfmm.models.common.classification_head import fit_trained_head, set_labels
from hfmm.models.common.whisper_window import resize_positional_embedding, set_window
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

# A skipped layer has no gradient, and a mask of SpecAugment may be longer than a clip.
TRAINING_CONFIG = {"layerdrop": 0.0, "encoder_layerdrop": 0.0, "apply_spec_augment": False}


class AudioClassifierOptions(StrictModel):
    """The options of `model` for this family."""

    window_seconds: int | None = Field(
        None, ge=1, le=30, description="length of the input of a Whisper encoder; by default that of the checkpoint, 30"
    )


class AudioClassifier(AudioEncoderFamily):
    """Audio classifiers: the encoder of Whisper, wav2vec 2.0, HuBERT, AST and others."""

    Options = AudioClassifierOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

        is_supported = auto_class == "AutoModelForAudioClassification"
        return set(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES) if is_supported else set()

    def original_options(self, options: AudioClassifierOptions) -> AudioClassifierOptions:
        """Return the options with the window of the checkpoint, because a new window needs training."""
        return options.model_copy(update={"window_seconds": None})

    def is_unmodified_checkpoint(self, options: AudioClassifierOptions) -> bool:
        """Tell whether the options load one checkpoint as it is, so that an adapter can name it as its base model."""
        return options.window_seconds is None

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: AudioClassifierOptions
    ) -> tuple[Any, Any]:
        """Return the config and the feature extractor; raises UserError if they do not fit the audio or the window."""
        extractor = load_feature_extractor(source, model_options, config)
        if options.window_seconds is not None:
            if config.model_type != "whisper":
                raise UserError(
                    f"model.window_seconds: only a Whisper encoder has such a window, and "
                    f"{model_options.checkpoint} is a {config.model_type!r} model. Remove the key."
                )
            set_window(config, extractor, options.window_seconds)
        return config, extractor

    def load(
        self, source: str, model_options: Model, config: Any, options: Any, features: Features, auto_class: str
    ) -> tuple[Any, Any]:
        """Return the model in fp32 with a head for the labels of ``features``, and its feature extractor.

        A head that was trained for the same labels is kept, with its rows in the new order. Raises UserError if the
        checkpoint lacks more than the head.
        """
        import transformers

        if is_multi_attribute(features):
            raise UserError("data: an audio classifier needs one class per row, and the label has several attributes.")
        config.update({name: value for name, value in TRAINING_CONFIG.items() if hasattr(config, name)})
        config.problem_type = "single_label_classification"
        old_names = set_labels(config, names := label_names(features))
        model_class = getattr(transformers, auto_class)
        if model_options.init == "random":
            config, extractor = self.load_processor(source, model_options, config, options)
            return model_class.from_config(config, dtype="float32"), extractor
        model, missing = load_with_new_head(model_class, source, model_options, config)
        encoder = f"{encoder_name(model)}."
        check_missing_keys((key for key in missing if key.startswith(encoder)), model, model_options)
        if not missing:
            fit_trained_head(model, self.modules_to_save(model), old_names, names)
        model.config, extractor = self.load_processor(source, model_options, model.config, options)
        if options.window_seconds is not None:
            resize_positional_embedding(model.encoder, model.config.max_source_positions)
        return model, extractor


FAMILY = AudioClassifier()
