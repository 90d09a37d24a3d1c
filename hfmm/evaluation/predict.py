"""Load a saved model with its task, and predict the files that a user gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import ModelCard

from hfmm.errors import UserError
from hfmm.models.common.checkpoint import load_saved, run_folder_hint
from hfmm.tasks import BATCH_SIZE, BaseTask, for_pipeline_tag
from hfmm.utils import hardware


def load_model_and_task(
    directory: Path, task_class: type[BaseTask] | None = None, options: Any = None, dtype: str = "auto"
) -> tuple[Any, BaseTask]:
    """Return (model, task) for a saved model; the task is found by the card's pipeline tag unless given.

    ``auto`` is the dtype it was saved in.
    Raises UserError when the folder holds no model or no card that names its task.
    """
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory} holds no model: config.json is missing.{run_folder_hint(directory)}")
    if task_class is None:
        card = directory / "README.md"
        tag = ModelCard.load(card).data.pipeline_tag if card.is_file() else None
        if not tag:
            raise UserError(f"{directory} has no README.md with a pipeline_tag, so its task is unknown.")
        task_class = for_pipeline_tag(tag)
    model, processor = load_saved(str(directory), dtype)
    model.eval()
    return model, task_class(model.config, processor, options or task_class.Options())


def predict_files(
    directory: Path,
    paths: Sequence[str],
    texts: Sequence[str] = (),
    precision: Literal["auto", "bf16", "fp32"] = "auto",
) -> list[str]:
    """Return a JSON line with the prediction for each file, or for each text asked about it.

    It computes in bf16 where the hardware is fast at it, or in the precision given.
    Raises UserError for a file that cannot be read, and for texts that are missing or that nobody reads.
    """
    model, task = load_model_and_task(directory, dtype=hardware.inference_dtype(precision))
    if task.example_prompts and not texts:
        example = " ".join(f'--text "{text}"' for text in task.example_prompts)
        raise UserError(f"This model is given texts beside each file, for example {example}.")
    if texts and not task.example_prompts:
        raise UserError("This model is given files alone and reads no --text.")
    for path in paths:
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist.")
    rows = [row for path in paths for row in task.rows_from_file(path, texts)]
    answers = task.format_predictions(model, list(task.predict(model, rows, BATCH_SIZE)), texts)
    return [json.dumps({"file": row["id"], **one}, ensure_ascii=False) for row, one in zip(rows, answers, strict=True)]
