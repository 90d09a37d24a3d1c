"""The base class of the model families: what hfmm asks of a kind of checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from datasets import Features
from pydantic import BaseModel

from hfmm.recipe.schema import Model


class ModelFamily(ABC):
    """A kind of checkpoint that hfmm can train: how it is loaded, and which of its modules LoRA adapts.

    A family module defines a subclass and an instance of it: ``FAMILY = MyFamily()``. Six members are required, the
    others have defaults. What only some tasks ask of a family, such as the embeddings of a dual encoder, is a further
    method of its class; a task calls it on ``self.family`` and never imports a family.

    Example:
        >>> from hfmm.models.whisper import FAMILY
        >>> FAMILY.supported_model_types("AutoModelForSpeechSeq2Seq")
        {'whisper'}
    """

    Options: ClassVar[type[BaseModel]]
    """What a recipe's ``model`` takes besides ``checkpoint``, ``revision`` and ``init``."""

    supports_quantization: ClassVar[bool] = False
    """LoRA can train on quantized weights: no module trains in full. Default: it cannot."""

    @abstractmethod
    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that the family loads under an Auto class.

        Args:
            auto_class: The name of the Auto class that the task trains, such as ``AutoModelForImageClassification``.

        Returns:
            Values of ``config.model_type``; empty if the family does not load this Auto class.
        """

    @abstractmethod
    def load_processor(self, source: str, model_options: Model, config: Any, options: Any) -> tuple[Any, Any]:
        """Return the config and the processor that the model will have. No weights are read.

        Args:
            source: A folder or a Hub id, as `from_pretrained` takes it.
            model_options: The ``model`` section of the recipe.
            config: The config of the checkpoint.
            options: The checked `Options` of this family.

        Returns:
            The config, changed as the options ask, and the processor.

        Raises:
            UserError: The processor could not be loaded, or the options do not fit the checkpoint.
        """

    @abstractmethod
    def load(
        self, source: str, model_options: Model, config: Any, options: Any, features: Features, auto_class: str
    ) -> tuple[Any, Any]:
        """Return the model in fp32 and its processor.

        Args:
            source: A folder or a Hub id, as `from_pretrained` takes it.
            model_options: The ``model`` section of the recipe; ``init: random`` asks for random weights.
            config: The config of the checkpoint.
            options: The checked `Options` of this family.
            features: The features of the training data. A classification head gets its labels from them.
            auto_class: The Auto class that the task trains.

        Returns:
            The model, with the head that the task needs, and its processor.

        Raises:
            UserError: The weights could not be loaded, or tensors are missing.
        """

    @abstractmethod
    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the modules that train in full beside an adapter, such as a new head (peft's term)."""

    @abstractmethod
    def target_modules(self, model: Any) -> list[str]:
        """Return the names of the linear modules that LoRA adapts by default (peft's term)."""

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no output depends on. They are never trained. Default: none."""
        return set()

    def original_options(self, options: Any) -> Any:
        """Return the options with which the checkpoint behaves as published. Default: the options as they are."""
        return options

    def is_unmodified_checkpoint(self, options: Any) -> bool:
        """Tell whether the options load one checkpoint as it is, so that an adapter can name it as its base model."""
        return True
