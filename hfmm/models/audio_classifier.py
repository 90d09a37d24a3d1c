"""The family of audio classifiers: every model that `AutoModelForAudioClassification` loads."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features
from pydantic import Field

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.data.common.labels import is_multi_attribute, label_names
from hfmm.errors import UserError
from hfmm.models.common.checkpoint import check_missing_keys, load_pretrained, load_weights
from hfmm.models.common.classification_head import permute_head, reinit_head
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.models.common.whisper_window import resize_positional_embedding, set_window
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

FRAME_LENGTH, HOP_LENGTH = 400, 160  # samples of a spectrogram frame, where the config has no convolutions


class AudioClassifierOptions(StrictModel):
    """The options of `model` for this family."""

    window_seconds: int | None = Field(
        None, ge=1, le=30, description="length of the input of a Whisper encoder; by default that of the checkpoint, 30"
    )


class AudioClassifier(ModelFamily):
    """Audio classifiers: the encoder of Whisper, wav2vec 2.0, HuBERT, AST and others."""

    Options = AudioClassifierOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        if auto_class != "AutoModelForAudioClassification":
            return set()
        from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

        return set(MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES)

    def original_options(self, options: AudioClassifierOptions) -> AudioClassifierOptions:
        """Return the options with the window of the checkpoint, because a new window needs training."""
        return options.model_copy(update={"window_seconds": None})

    def is_unmodified_checkpoint(self, options: AudioClassifierOptions) -> bool:
        """Tell whether the options load one checkpoint as it is, so that an adapter can name it as its base model."""
        return options.window_seconds is None

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: AudioClassifierOptions
    ) -> tuple[Any, Any]:
        """Return the config and the feature extractor; raises UserError for another sampling rate than 16 kHz."""
        from transformers import AutoFeatureExtractor

        extractor = load_pretrained(AutoFeatureExtractor, source, model_options)
        if extractor.sampling_rate != SAMPLE_RATE:
            raise UserError(
                f"model.checkpoint: {model_options.checkpoint} takes audio at {extractor.sampling_rate:,} Hz, and hfmm "
                f"decodes audio at {SAMPLE_RATE:,} Hz. Choose a checkpoint for {SAMPLE_RATE:,} Hz."
            )
        if options.window_seconds is not None:
            if config.model_type != "whisper":
                raise UserError(
                    f"model.window_seconds: a {config.model_type!r} model has no window that can be cut, only a Whisper "
                    "encoder has. Remove the key."
                )
            set_window(config, extractor, options.window_seconds)
        if getattr(config, "feat_extract_norm", None) == "layer":
            extractor.return_attention_mask = True  # so that plain `pipeline` masks the padding of a batch as well
        return config, extractor

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: AudioClassifierOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model in fp32 with a head for the labels of ``features``, and its feature extractor.

        A head that was trained for the same labels is kept, with its rows in the new order. Raises UserError if the
        checkpoint lacks more than the head.
        """
        import transformers

        if is_multi_attribute(features):
            raise UserError("data: audio classifiers need one class a row, and this label has several attributes.")
        names = label_names(features)
        old_names = [config.id2label[index] for index in sorted(config.id2label)]
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
        config.problem_type = "single_label_classification"
        # A skipped layer has no gradient. The masks of SpecAugment are longer than a short clip.
        config.layerdrop, config.apply_spec_augment = 0.0, False
        model_class = getattr(transformers, auto_class)
        if model_options.init == "random":
            config, extractor = self.load_processor(source, model_options, config, options)
            return model_class.from_config(config, dtype="float32"), extractor
        model, info = load_weights(model_class, source, model_options, config=config, ignore_mismatched_sizes=True)
        missing = {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}
        encoder = f"{_encoder_name(model)}."
        check_missing_keys((key for key in missing if key.startswith(encoder)), model, model_options)
        if not missing and sorted(old_names) == sorted(names):
            permute_head(model, self.modules_to_save(model), [old_names.index(name) for name in names])
        elif not missing:
            reinit_head(model, self.modules_to_save(model), len(names))
        model.config, extractor = self.load_processor(source, model_options, model.config, options)
        if options.window_seconds is not None:
            resize_positional_embedding(model.encoder, model.config.max_source_positions)
        return model, extractor

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the modules of the head: the children besides the encoder."""
        return [name for name, _ in model.named_children() if name != _encoder_name(model)]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of the encoder."""
        return find_linear_modules(model, model.get_submodule(_encoder_name(model)))

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the embeddings of masked frames, because nothing is masked."""
        return {name for name, _ in model.named_parameters() if name.endswith("masked_spec_embed")}

    def ignores_padding(self, config: Any) -> bool:
        """Tell whether the logits of a clip do not depend on the clips that share its batch.

        A group norm over time averages over the padding as well.
        """
        return getattr(config, "feat_extract_norm", None) != "group"

    def clip_lengths(self, config: Any, extractor: Any) -> tuple[int, float]:
        """Return the minimum and the maximum length of a clip, in samples."""
        if hasattr(extractor, "n_samples"):
            return 1, extractor.n_samples
        if hasattr(config, "max_length") and hasattr(extractor, "mean"):
            return FRAME_LENGTH, FRAME_LENGTH + HOP_LENGTH * (extractor.max_length - 1)
        length = 1
        for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
            length = (length - 1) * stride + kernel
        return length, math.inf


def _encoder_name(model: Any) -> str:
    return "encoder" if hasattr(model, "encoder") else str(model.base_model_prefix)


FAMILY = AudioClassifier()
