"""What to do, as data: every key that a recipe may hold, what it means, and what does not go together."""

from __future__ import annotations

from typing import Any, Literal

import yaml
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from hfmm.recipe.validation import StrictModel


class Lora(StrictModel):
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685) through peft."""

    r: int = Field(16, ge=1, description="rank of the update matrices")
    lora_alpha: float = Field(32.0, gt=0, description="the adapter is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: list[str] | None = Field(None, description="names of linear modules; by default all but the head")


class Stage(StrictModel):
    """One training stage: what trains, for how long, how fast."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    trainable: Literal["all", "lora"] | list[str] = Field(description="all, lora, or module names; the rest is frozen")
    num_train_epochs: float = Field(gt=0)
    learning_rate: float = Field(gt=0)
    per_device_train_batch_size: int = Field(32, ge=1)
    gradient_accumulation: int = Field(1, ge=1, description="batches that make one step")
    weight_decay: float = Field(0.05, ge=0)
    warmup_steps: float = Field(0.1, ge=0, description="a number of steps, or below 1 a share of all steps")
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    early_stopping_patience: int | None = Field(
        None, ge=1, description="stop after so many epochs without a better validation score, and keep the best"
    )
    wise_ft_alpha: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="interpolate between the weights before (0) and after (1) the stage (WiSE-FT); less is forgotten",
    )
    lora: Lora = Field(Lora(), description="only read where trainable is lora")

    @model_validator(mode="before")
    @classmethod
    def _one_module_is_a_list(cls, values: Any) -> Any:
        if (
            isinstance(values, dict)
            and isinstance(values.get("trainable"), str)
            and values["trainable"] not in ("all", "lora")
        ):
            return {**values, "trainable": [values["trainable"]]}
        return values

    @model_validator(mode="after")
    def _an_adapter_has_its_own_scale(self) -> Stage:
        if self.wise_ft_alpha is not None and self.trainable == "lora":
            raise ValueError("wise_ft_alpha does not go with trainable: lora; there lora.lora_alpha says how far")
        return self


class _OpenSettings(StrictModel):
    """A part whose further keys belong to the builder or family it names, which checks them itself."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def options(self) -> dict[str, Any]:
        """The keys that this class does not know."""
        return dict(self.model_extra or {})


class Task(_OpenSettings):
    """Which task; one without options of its own is written as its name alone."""

    name: str = Field(description="a task of `hfmm list`, or a dotted path of your own")

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_enough(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values

    @model_serializer(mode="wrap")
    def _shortest(self, serialize: SerializerFunctionWrapHandler) -> Any:
        return serialize(self) if self.options else self.name


class Data(_OpenSettings):
    """Which dataset, and what to do with rows that cannot be used."""

    builder: str = Field(description="a dataset of `hfmm list`, or a dotted path of your own")
    on_invalid_row: Literal["error", "skip"] = Field(
        "error", description="skip: go on without them, listed in the card"
    )
    cache_vision_features: bool = Field(
        False, description="keep what a frozen vision tower sees on disk, computed once; off where it trains"
    )


class Model(_OpenSettings):
    """Which checkpoint: a Hub id, a folder, or ``builtin:`` and the name of an embedded one."""

    checkpoint: str = Field(description="a Hub id, a folder, or builtin:<name> of `hfmm list`")
    revision: str | None = None
    init: Literal["pretrained", "random"] = Field(
        "pretrained", description="random: the same architecture from scratch, for comparison"
    )
    family: str | None = Field(None, description="a dotted path to a model family of your own")


class Publish(StrictModel):
    """What the card says that the run cannot know, and in which dtype the weights are written."""

    license: str = "apache-2.0"
    language: str = "en"
    title: str | None = None
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: half the bytes, and quicker in plain pipeline where the hardware is"
    )


class Recipe(StrictModel):
    """A whole run as data; the resolved recipe is saved with the run and is enough to repeat it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Task
    data: Data
    model: Model
    stages: list[Stage] = Field(min_length=1, description="one after another, each from where the last one ended")
    metrics: list[str] = Field(min_length=1, description="the first is the primary one")
    baselines: list[str] = Field([], description="what else predicts the test rows, for comparison")
    forgetting: list[Data] = Field([], description="other datasets, scored before and after: what was forgotten")
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="auto: bf16 where the hardware is fast at it"
    )
    torch_compile: bool = Field(False, description="torch.compile; pays off in long runs")
    dataloader_num_workers: int = Field(0, ge=0, description="processes that prepare batches")
    report_to: list[str] = Field([], description="as in transformers: tensorboard, trackio, ...")
    publish: Publish = Publish()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _stage_names_differ(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages need different names, these are {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _features_are_cached_in_training(self) -> Recipe:
        if any(other.cache_vision_features for other in self.forgetting):
            raise ValueError(
                "forgetting has rows that are seen twice, too seldom for cache_vision_features; it goes into data"
            )
        return self

    @property
    def key_locations(self) -> dict[str, str]:
        """Where each dotted key was written, for messages."""
        return self._origins

    def to_yaml(self) -> str:
        """Return the resolved recipe, every default spelled out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=10_000)
