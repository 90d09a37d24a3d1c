"""The plan of a run: every name of a recipe resolved, and every option checked, once and before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from datasets import DatasetDict
from pydantic import BaseModel

from hfmm import data, models, registry
from hfmm.data.common.screening import InvalidRow
from hfmm.errors import UserError
from hfmm.models import ResolvedModel
from hfmm.models.common import quantization
from hfmm.recipe.passthrough import check_load_arguments, check_lora_arguments, check_training_arguments
from hfmm.recipe.schema import Data, Recipe
from hfmm.recipe.validation import validate
from hfmm.tasks import BaseTask


class CheckedDataset(NamedTuple):
    """The splits of a dataset without the rows that cannot be used."""

    splits: DatasetDict
    invalid_rows: list[InvalidRow]
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """What a recipe names, resolved: the task, the metrics, the baselines and, on first use, the model.

    It is made by `resolve_plan` and passed down the spine. Nothing below looks a name up again.
    """

    recipe: Recipe
    task_class: type[BaseTask]
    task_options: BaseModel
    metrics: Mapping[str, ModuleType]
    baselines: Mapping[str, ModuleType]

    @cached_property
    def model(self) -> ResolvedModel:
        """The model of the recipe. Its family is found by the config of the checkpoint, which may be on the Hub."""
        return models.resolve(self.recipe.model, self.recipe.key_locations, self.task_class.auto_classes)

    @property
    def primary_metric(self) -> str:
        """The name of the first metric, which chooses the best epoch and is the score of the run."""
        return self.recipe.metrics[0]

    def make_task(self, model: Any, processor: Any) -> BaseTask:
        """Return the task for a model and its processor."""
        return self.task_class(model.config, processor, self.task_options, self.model.family)

    def build_dataset(self, cache: Path, num_proc: int = 1) -> CheckedDataset:
        """Build the dataset of the recipe, and check every row; raises UserError as `on_invalid_row` says."""
        splits = data.build(self.recipe.data, self.recipe.key_locations, cache, num_proc)
        return self.check_rows(splits, self.recipe.data)

    def check_rows(self, splits: DatasetDict, data_options: Data) -> CheckedDataset:
        """Return the splits without the rows that cannot be used.

        Args:
            splits: The splits of a dataset, media not decoded.
            data_options: Its section of the recipe; ``on_invalid_row: skip`` drops invalid rows.

        Raises:
            UserError: A column is missing, or a row is invalid and must not be skipped.
        """
        config, processor = self.model.load_processor()
        valid, invalid_rows = self.task_class.drop_invalid_rows(
            self.model.family, config, processor, splits, data_options.on_invalid_row
        )
        return CheckedDataset(valid, invalid_rows, data.fingerprint(valid))


def resolve_plan(recipe: Recipe) -> Plan:
    """Return the plan of a recipe. Nothing heavy is loaded for it.

    Raises:
        UserError: A part does not exist, does not take its options, or does not go with another.
    """
    locations = recipe.key_locations
    task_class, task_options = resolve_task(recipe)
    metrics_key, baselines_key = (f"{locations.get(key, 'recipe')}: {key}" for key in ("metrics", "baselines"))
    metrics = {name: registry.get("metrics", name, metrics_key) for name in recipe.metrics}
    baselines = {name: registry.get("baselines", name, baselines_key) for name in recipe.baselines}
    for baseline in baselines.values():
        if hasattr(baseline, "require"):
            baseline.require()
    data.find_builder(recipe.data, locations)
    for index, data_options in enumerate(recipe.forgetting):
        data.find_builder(data_options, locations, f"forgetting.{index}")
    _check_combinations(recipe, task_class)
    _check_passed_through(recipe)
    return Plan(recipe, task_class, task_options, metrics, baselines)


def resolve_task(recipe: Recipe) -> tuple[type[BaseTask], BaseModel]:
    """Return the task class of a recipe and its checked options; raises UserError for an unknown task or option."""
    locations = recipe.key_locations
    where = locations.get("task.name", locations.get("task", "recipe"))
    task_class: type[BaseTask] = registry.get("tasks", recipe.task.name, f"{where}: task").TASK
    return task_class, validate(task_class.Options, recipe.task.options, locations, prefix="task")


def _check_passed_through(recipe: Recipe) -> None:
    """Raise UserError for a setting that the installed libraries do not take, or that hfmm sets."""
    locations = recipe.key_locations
    for index, stage in enumerate(recipe.stages):
        where = f"{locations.get(f'stages.{index}.training_arguments', 'recipe')}: stages.{stage.name}"
        check_training_arguments(stage.training_arguments, f"{where}.training_arguments")
        check_lora_arguments(stage.lora.options, f"{where}.lora")
    check_load_arguments(recipe.model.load, f"{locations.get('model.load', 'recipe')}: model.load")
    if "quantization_config" in recipe.model.load:
        _check_quantization(recipe)


def _check_quantization(recipe: Recipe) -> None:
    """Raise UserError for a quantization config that could not be made, or that the stages cannot train with."""
    where = f"{recipe.key_locations.get('model.load', 'recipe')}: {quantization.KEY}"
    quantization.make_quantization_config(recipe.model.load["quantization_config"], where)
    for stage in recipe.stages:
        if stage.trainable != "lora":
            raise UserError(
                f"{where}: quantized weights cannot be trained, and stage {stage.name} trains them. Set "
                f"stages.{stage.name}.trainable=lora, or remove the key."
            )
    if recipe.model.init == "random":
        raise UserError(f"{where}: with init: random no weights are loaded. Remove one of the two keys.")


def _check_combinations(recipe: Recipe, task_class: type[BaseTask]) -> None:
    """Raise UserError for keys that the task does not support."""
    locations = recipe.key_locations
    if recipe.data.cache_vision_features and not task_class.accepts_cached_features:
        raise UserError(
            f"{locations.get('data.cache_vision_features', 'recipe')}: data.cache_vision_features: the task "
            f"{recipe.task.name} cannot train on cached features. Remove the key."
        )
    if recipe.publish.dtype != "float32" and task_class.outputs_scores:
        raise UserError(
            f"{locations.get('publish.dtype', 'recipe')}: publish.dtype: {recipe.task.name} outputs scores, and with "
            f"weights in {recipe.publish.dtype} plain pipeline gives other scores than those recorded. Remove the key; "
            "`hfmm predict` computes in bf16 anyway where that is fast."
        )
