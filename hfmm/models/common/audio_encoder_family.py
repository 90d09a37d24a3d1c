"""What the families of audio encoders with a head share: which modules train, and which parameters do not."""

from __future__ import annotations

from typing import Any

from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules


class AudioEncoderFamily(ModelFamily):
    """The base class of `audio_classifier` and `ctc`."""

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the modules of the head: the children besides the encoder that have weights."""
        encoder = encoder_name(model)
        return [
            name for name, child in model.named_children() if name != encoder and any(True for _ in child.parameters())
        ]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of the encoder."""
        return find_linear_modules(model, model.get_submodule(encoder_name(model)))

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the name of the embedding of masked frames, because no frame is masked."""
        return {name for name, _ in model.named_parameters() if name.endswith("masked_spec_embed")}


def encoder_name(model: Any) -> str:
    """Return the name of the module that makes frames of the audio."""
    return "encoder" if hasattr(model, "encoder") else str(model.base_model_prefix)
