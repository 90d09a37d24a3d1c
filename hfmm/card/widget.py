"""The example of a card for the inference widget of the Hub: its input, and the output that was verified.

https://huggingface.co/docs/hub/models-widgets describes the format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hfmm.tasks import BaseTask, RecordedPrediction
from hfmm.tasks.common.inputs import numbered_filename

SCORE_LINE = r"(\d+\.\d+) (.+)"  # a line that the snippet of a task with scores prints


def widget_example(
    task: BaseTask, recorded: Sequence[RecordedPrediction], example: str, printed: str, files_url: str
) -> dict[str, Any] | None:
    """Return the first recorded row with its output; None if the widget cannot show it.

    The Hub splits candidate labels at commas, so texts with a comma are left out. The scores are those that the snippet
    prints.

    Args:
        task: The task of the model.
        recorded: The rows of predictions.parquet. Candidate labels are texts of these rows.
        example: The name of the example file.
        printed: What the snippet of the card prints.
        files_url: The URL of the files of the repository.
    """
    entry: dict[str, Any] = {"example_title": "Example of the test split"}
    if task.input.modality in ("chat", "text"):
        entry["messages"] = _messages(task, recorded[0]["input"], example, files_url)
        return {**entry, "output": {"text": printed}}
    entry["src"] = f"{files_url}/{example}"
    if not task.outputs_scores:
        return {**entry, "output": {"text": printed}}
    candidates = task.pipeline_kwargs(recorded).get("candidate_labels")
    scores = [(match[2], float(match[1])) for match in re.finditer(f"^{SCORE_LINE}$", printed, re.MULTILINE)]
    if candidates is not None:
        labels = [label for label in candidates if "," not in label]
        if len(labels) < 2:
            return None
        entry["candidate_labels"] = ", ".join(labels)
        if scores and scores[0][0] not in labels:
            scores = []  # without the best label the output would be misleading
        scores = [(label, score) for label, score in scores if label in labels]
    return {**entry, "output": [{"label": label, "score": score} for label, score in scores]} if scores else entry


def _messages(task: BaseTask, stored: bytes, example: str, files_url: str) -> list[dict[str, Any]]:
    """Return the conversation of a stored input, its images as URLs of the example files."""
    messages: list[dict[str, Any]] = task.input.from_bytes(stored)["messages"]
    num_images = 0
    for message in messages:
        if isinstance(message["content"], str):
            continue
        for index, part in enumerate(message["content"]):
            if part["type"] == "image":
                url = f"{files_url}/{numbered_filename(example, num_images)}"
                message["content"][index] = {"type": "image_url", "image_url": {"url": url}}
                num_images += 1
    return messages
