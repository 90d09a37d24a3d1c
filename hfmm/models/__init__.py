"""The model families, one a file: how a kind of checkpoint is loaded, and which of its modules train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Features

from hfmm import registry
from hfmm.errors import UserError
from hfmm.models.common import checkpoint, quantization
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.malloc import configure_malloc
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import validate

MAX_MODEL_TYPES = 30  # names in a message


@dataclass(frozen=True)
class ResolvedModel:
    """The model of a recipe: its family, its checkpoint, the Auto class that loads it, and its checked options."""

    family: ModelFamily
    source: str
    auto_class: str
    model_options: Model
    options: Any

    def load_processor(self) -> tuple[Any, Any]:
        """Return the config and the processor that the model will have; raises UserError if they do not load."""
        return self.family.load_processor(self.source, self.model_options, self._config(), self.options)

    def load(self, features: Features, init: str | None = None, quantize: bool = False) -> tuple[Any, Any]:
        """Return the model in fp32 and its processor.

        Args:
            features: The features of the training data, for the labels of the head.
            init: ``pretrained`` or ``random`` weights; by default those of the recipe.
            quantize: Quantize the weights as ``model.load.quantization_config`` asks. Only training does.

        Raises:
            UserError: The checkpoint could not be loaded, or it does not fit the task.
        """
        changes = {"init": init or self.model_options.init, "load": self.load_arguments(quantize)}
        return self._load(features, self.model_options.model_copy(update=changes), self.options)

    def load_stage(self, directory: str, quantize: bool = False) -> tuple[Any, Any]:
        """Return the model that an earlier stage saved, and its processor, loaded as the recipe asks."""
        in_any_format = ("attn_implementation", "experts_implementation", "quantization_config")
        arguments = {name: value for name, value in self.load_arguments(quantize).items() if name in in_any_format}
        return checkpoint.load_saved(directory, **checkpoint.from_pretrained_arguments(arguments))

    def load_arguments(self, quantize: bool) -> dict[str, Any]:
        """Return ``model.load``, with its quantization config only if asked for."""
        load = self.model_options.load
        return {name: value for name, value in load.items() if quantize or name != "quantization_config"}

    def load_original(self, features: Features, seed: int) -> tuple[Any, Any]:
        """Return the checkpoint as published and its processor: pretrained weights, on its own input size.

        Modules that the checkpoint lacks, such as a head, are drawn from ``seed`` as in the first stage.
        """
        from transformers import set_seed

        set_seed(seed)
        changes = {"init": "pretrained", "load": self.load_arguments(quantize=False)}
        pretrained = self.model_options.model_copy(update=changes)
        return self._load(features, pretrained, self.family.original_options(self.options))

    def is_unmodified_checkpoint(self) -> bool:
        """Tell whether the model is one pretrained checkpoint as it is, which an adapter can name as its base model."""
        return self.model_options.init != "random" and self.family.is_unmodified_checkpoint(self.options)

    def _config(self) -> Any:
        # Read for each load, because families change the config that they are given.
        return checkpoint.config(self.source, self.model_options)

    def _load(self, features: Features, model_options: Model, options: Any) -> tuple[Any, Any]:
        configure_malloc()
        model, processor = self.family.load(
            self.source, model_options, self._config(), options, features, self.auto_class
        )
        if implementation := model_options.load.get("attn_implementation"):
            model.set_attn_implementation(implementation)  # not every model comes from one call of from_pretrained
        for part in vars(model.config).values():
            if hasattr(part, "_name_or_path"):
                part._name_or_path = ""  # the config of a tower remembers its folder, which must not be published
        return model, processor


def resolve(model_options: Model, key_locations: Mapping[str, str], auto_classes: Sequence[str]) -> ResolvedModel:
    """Return the model of a recipe, found by the config of its checkpoint.

    Args:
        model_options: The ``model`` section of the recipe.
        key_locations: Where each recipe key was written, for messages.
        auto_classes: The Auto classes that the task can train, in order of preference.

    Raises:
        UserError: The checkpoint could not be found, does not fit the task, or does not take an option.
    """
    source = checkpoint.resolve_checkpoint(model_options)
    model_type = checkpoint.config(source, model_options).model_type
    if model_options.family is not None:
        where = f"{key_locations.get('model.family', 'recipe')}: model.family"
        families = [registry.get("models", model_options.family, where).FAMILY]
    else:
        families = built_in_families()
    family, auto_class = find_family(model_type, auto_classes, model_options.checkpoint, families)
    options = validate(family.Options, model_options.options, key_locations, prefix="model")
    if "quantization_config" in model_options.load and not family.supports_quantization:
        raise UserError(
            f"{key_locations.get('model.load', 'recipe')}: {quantization.KEY}: a model for {auto_class} trains modules "
            "that must not be quantized, such as a new head. Remove the key; gradient_checkpointing in "
            "training_arguments also saves memory."
        )
    return ResolvedModel(family, source, auto_class, model_options, options)


def built_in_families() -> list[ModelFamily]:
    """Return the families of hfmm."""
    return [module.FAMILY for module in registry.load_all("models").values()]


def find_family(
    model_type: str, auto_classes: Sequence[str], name: str, families: Sequence[ModelFamily] | None = None
) -> tuple[ModelFamily, str]:
    """Return the family that supports a model type, and the first Auto class under which it does.

    Args:
        model_type: ``config.model_type`` of the checkpoint.
        auto_classes: The Auto classes of the task, in order of preference.
        name: The name of the checkpoint, for the message.
        families: The families to search; by default those of hfmm.

    Raises:
        UserError: No family supports the model type under one of the Auto classes.
    """
    families = built_in_families() if families is None else families
    for auto_class in auto_classes:
        matches = [family for family in families if model_type in family.supported_model_types(auto_class)]
        if len(matches) > 1:
            names = ", ".join(type(family).__name__ for family in matches)
            raise RuntimeError(f"{model_type!r} is supported by several families: {names}")
        if matches:
            return matches[0], auto_class
    supported = sorted(
        {
            name
            for family in families
            for auto_class in auto_classes
            for name in family.supported_model_types(auto_class)
        }
    )
    choices = ", ".join(supported[:MAX_MODEL_TYPES]) + (", ..." if len(supported) > MAX_MODEL_TYPES else "")
    raise UserError(
        f"model.checkpoint: {name} is a {model_type!r} model, which does not fit this task. The task needs a model "
        f"that {' or '.join(auto_classes)} loads ({choices}). Choose another checkpoint, or another task for this one."
    )
