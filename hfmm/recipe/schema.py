"""The recipe schema: all keys of a recipe, their meaning, and which of them cannot be combined."""

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

FORMAT: Literal[2] = 2  # of recipe.yaml and results.json; raised when keys are renamed


class _OpenSettings(StrictModel):
    """A section with extra keys: options of the component that it names, or fields of a library class."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def options(self) -> dict[str, Any]:
        """The extra keys of this section."""
        return dict(self.model_extra or {})


class Lora(_OpenSettings):
    """LoRA (Hu et al. 2021, arXiv:2106.09685), as implemented in peft. Further keys are fields of `LoraConfig`."""

    r: int = Field(16, ge=1, description="rank of the update matrices")
    lora_alpha: float = Field(32.0, gt=0, description="the adapter is scaled by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: list[str] | None = Field(
        None, description="names of linear modules; by default all except the head"
    )


class Stage(StrictModel):
    """One training stage: which parameters are trained, for how long and with which settings."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    trainable: Literal["all", "lora"] | list[str] = Field(
        description="all, lora, or names of modules; the rest is frozen"
    )
    num_train_epochs: float = Field(gt=0)
    learning_rate: float = Field(gt=0)
    per_device_train_batch_size: int = Field(32, ge=1)
    gradient_accumulation: int = Field(1, ge=1, description="batches per optimizer step")
    weight_decay: float = Field(0.05, ge=0)
    warmup_steps: float = Field(0.1, ge=0, description="number of steps, or if below 1 the fraction of all steps")
    lr_scheduler_type: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    early_stopping_patience: int | None = Field(
        None, ge=1, description="stop after this many epochs without a better validation score, and keep the best epoch"
    )
    wise_ft_alpha: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="interpolate between the weights before (0) and after (1) the stage, to forget less (WiSE-FT)",
    )
    lora: Lora = Field(Lora(), description="only used if trainable is lora; takes any field of LoraConfig")
    training_arguments: dict[str, Any] = Field(
        {}, description="further fields of TrainingArguments, such as {gradient_checkpointing: true, optim: adafactor}"
    )

    @model_validator(mode="before")
    @classmethod
    def _wrap_single_module_in_list(cls, values: Any) -> Any:
        if (
            isinstance(values, dict)
            and isinstance(values.get("trainable"), str)
            and values["trainable"] not in ("all", "lora")
        ):
            return {**values, "trainable": [values["trainable"]]}
        return values

    @model_validator(mode="after")
    def _reject_wise_ft_with_lora(self) -> Stage:
        if self.wise_ft_alpha is not None and self.trainable == "lora":
            raise ValueError(
                "wise_ft_alpha cannot be combined with trainable: lora; set lora.lora_alpha to scale the adapter"
            )
        return self


class Task(_OpenSettings):
    """The task. Without options it is written as its name alone."""

    name: str = Field(description="a task of `hfmm list`, or the dotted path of your own")

    @model_validator(mode="before")
    @classmethod
    def _accept_name_alone(cls, values: Any) -> Any:
        return {"name": values} if isinstance(values, str) else values

    @model_serializer(mode="wrap")
    def _serialize_without_options_as_name(self, serialize: SerializerFunctionWrapHandler) -> Any:
        return serialize(self) if self.options else self.name


class Data(_OpenSettings):
    """The dataset, and what to do with invalid rows."""

    builder: str = Field(description="a dataset of `hfmm list`, or the dotted path of your own")
    on_invalid_row: Literal["error", "skip"] = Field(
        "error", description="skip: leave invalid rows out and list them in the card"
    )
    cache_vision_features: bool = Field(
        False, description="compute the features of a frozen vision tower once and cache them on disk"
    )


class Model(_OpenSettings):
    """The checkpoint and how it is initialized."""

    checkpoint: str = Field(description="a Hub id, a folder, or builtin:<name> of `hfmm list`")
    revision: str | None = None
    init: Literal["pretrained", "random"] = Field(
        "pretrained", description="random: the same architecture with random weights"
    )
    family: str | None = Field(None, description="the dotted path of your own model family")
    load: dict[str, Any] = Field(
        {}, description="further arguments of from_pretrained, such as {attn_implementation: eager}"
    )


class Publish(StrictModel):
    """Card metadata that cannot be derived from the run, and the dtype of the saved weights."""

    license: str = "apache-2.0"
    language: str = "en"
    title: str | None = None
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: half the size, and faster in a pipeline on hardware with fast bf16"
    )


class Recipe(StrictModel):
    """The configuration of a run. The resolved recipe is saved in the run directory and is enough to repeat the run."""

    format: Literal[2] = Field(FORMAT, description="version of the recipe keys")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Task
    data: Data
    model: Model
    stages: list[Stage] = Field(
        min_length=1, description="run in this order; each starts from the weights of the one before"
    )
    metrics: list[str] = Field(min_length=1, description="the first is the primary metric")
    baselines: list[str] = Field([], description="evaluated on the test split for comparison")
    forgetting: list[Data] = Field(
        [], description="other datasets, evaluated before and after training to measure forgetting"
    )
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "bf16", "fp32"] = Field("auto", description="auto: bf16 if the hardware is fast at it")
    torch_compile: bool = Field(False, description="use torch.compile, which pays off in long runs")
    dataloader_num_workers: int = Field(0, ge=0, description="processes that prepare batches")
    report_to: list[str] = Field([], description="as in transformers: tensorboard, trackio, ...")
    publish: Publish = Publish()

    _key_locations: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_stage_names_differ(self) -> Recipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"stages must have different names, but they are {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _reject_cached_features_in_forgetting(self) -> Recipe:
        if any(dataset.cache_vision_features for dataset in self.forgetting):
            raise ValueError(
                "cache_vision_features is not supported in forgetting, as each row is seen only twice; use it in data"
            )
        return self

    @property
    def key_locations(self) -> dict[str, str]:
        """Map each dotted key to the file and line, or the `--set` option, that set it; for error messages."""
        return self._key_locations

    def to_yaml(self) -> str:
        """Return the resolved recipe as YAML, with all defaults."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=10_000)
