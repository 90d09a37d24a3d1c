"""Load a saved model with its task, and predict the files of a user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import ModelCard

from hfmm import registry
from hfmm.errors import UserError
from hfmm.models.common.checkpoint import load_saved, run_folder_hint
from hfmm.plan import Plan, resolve_task
from hfmm.recipe.load import load_recipe
from hfmm.run_directory import RunDirectory, read_predictions
from hfmm.tasks import BATCH_SIZE, BaseTask, Prediction, find_task_by_pipeline_tag
from hfmm.utils import hardware
from hfmm.utils.progress import progress_bar


class SavedModel(NamedTuple):
    """The model that a run has saved, its task, and the recorded predictions of the test split."""

    model: Any
    task: BaseTask
    predictions: list[dict[str, Any]]  # the rows of predictions.parquet


def load_saved_model(plan: Plan, run: RunDirectory) -> SavedModel:
    """Return the saved model of an evaluated run; raises UserError if the run has none, or was not evaluated."""
    model, processor = load_model(run.model)
    return SavedModel(model, plan.make_task(model, processor), read_predictions(run))


def load_model(folder: Path, dtype: str = "auto") -> tuple[Any, Any]:
    """Return (model, processor) of a saved model, ready to predict.

    Args:
        folder: A folder with ``config.json``, weights and processor.
        dtype: The dtype of the weights; ``auto`` is the one that they were saved in.

    Raises:
        UserError: The folder does not hold a model, or it could not be loaded.
    """
    _require_config(folder)
    model, processor = load_saved(str(folder), dtype)
    return model.eval(), processor


def load_model_and_task(folder: Path, dtype: str = "auto") -> tuple[Any, BaseTask]:
    """Return (model, task) for the folder of a published model.

    The task is the one that the card's ``pipeline_tag`` names, or a task of the user's own that ``recipe.yaml`` names.

    Raises:
        UserError: The folder does not hold a model, or nothing in it names its task.
    """
    _require_config(folder)
    task_class, options = _find_task(folder)
    model, processor = load_saved(str(folder), dtype)
    return model.eval(), task_class(model.config, processor, options)


def _require_config(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} does not hold a model: config.json is missing.{run_folder_hint(folder)}")


def _find_task(folder: Path) -> tuple[type[BaseTask], Any]:
    """Return the task class of a published model and its options."""
    recipe_path = folder / "recipe.yaml"
    if recipe_path.is_file() and "." in (recipe := load_recipe(str(recipe_path))).task.name:
        return resolve_task(recipe)
    card = folder / "README.md"
    tag = ModelCard.load(card).data.pipeline_tag if card.is_file() else None
    task_class = find_task_by_pipeline_tag(tag) if tag else _find_task_by_architecture(folder)
    return task_class, task_class.Options()


def _find_task_by_architecture(folder: Path) -> type[BaseTask]:
    """Return the built-in task that has an Auto class for the first of the config's ``architectures``."""
    import transformers

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    architectures, model_type = config.get("architectures") or [""], config.get("model_type", "")
    task_classes = [module.TASK for module in registry.load_all("tasks").values()]
    for task_class in task_classes:
        for auto_class in task_class.auto_classes:
            names = getattr(transformers, auto_class)._model_mapping._model_mapping.get(model_type, ())
            if architectures[0] in (names if isinstance(names, tuple) else (names,)):
                return task_class  # type: ignore[no-any-return]
    raise UserError(
        f"{folder} is a {architectures[0] or 'model without architectures'}, and no task of hfmm trains this class. "
        "If it is a model of a task of your own, its folder needs the recipe.yaml that hfmm writes."
    )


def predict_rows(task: BaseTask, model: Any, rows: Any, description: str) -> list[Prediction]:
    """Return the predictions of a dataset, under a progress bar."""
    return list(progress_bar(task.predict(model, rows, BATCH_SIZE), description, len(rows)))


def predict_files(
    folder: Path,
    paths: Sequence[str],
    texts: Sequence[str] = (),
    precision: Literal["auto", "bf16", "fp32"] = "auto",
) -> list[dict[str, Any]]:
    """Return a dict with the prediction for each file, or for each text about it.

    Args:
        folder: The folder of a published model.
        paths: The files.
        texts: Labels to choose from, or questions, for a model that takes them.
        precision: ``auto`` computes in bf16 where the hardware is fast at it.

    Raises:
        UserError: A file could not be read, or texts are missing or not used.
    """
    model, task = load_model_and_task(folder, hardware.inference_dtype(precision))
    if task.example_prompts and not texts:
        example = " ".join(f'--text "{text}"' for text in task.example_prompts)
        raise UserError(f"This model needs texts beside each file, for example {example}.")
    if texts and not task.example_prompts:
        raise UserError("This model takes files only, and no --text.")
    for path in paths:
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist.")
    rows = [row for path in paths for row in task.input.rows_from_file(path, texts)]
    predictions = task.format_predictions(model, list(task.predict(model, rows, BATCH_SIZE)), texts)
    return [{"file": row["id"], **prediction} for row, prediction in zip(rows, predictions, strict=True)]


def to_json_lines(predictions: Sequence[dict[str, Any]]) -> list[str]:
    """Return each prediction as a line of JSON."""
    return [json.dumps(prediction, ensure_ascii=False) for prediction in predictions]
