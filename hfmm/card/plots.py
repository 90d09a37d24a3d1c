"""The plots of a run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from hfmm.card import embedding_plots
from hfmm.evaluation.predict import SavedModel
from hfmm.metrics import confusion
from hfmm.run_directory import RunDirectory
from hfmm.tasks.common.inputs import ImageInput
from hfmm.utils.files import atomic_directory

matplotlib.use("Agg")
from matplotlib import pyplot

from hfmm.run_directory import read_log

MOST_CLASSES = 40  # a larger matrix is not readable
MATRICES_PER_ROW = 3
MOST_EXAMPLES = 12


def draw_plots(run: RunDirectory, metric: str, saved: SavedModel) -> list[str]:
    """Draw the plots that the run has data for into plots/, and return their file names in alphabetical order."""
    with atomic_directory(run.plots) as folder:
        loss_curve(read_log(run.log), metric, folder / "loss.png")
        predictions = saved.predictions
        if predictions and isinstance(predictions[0]["reference"], list):
            confusion_matrices(predictions, folder)
            if saved.task.input is ImageInput:
                misclassified_grid(predictions, folder / "mistakes.png")
        if predictions and {"image", "text"} <= predictions[0].keys():
            embedding_plots.draw(predictions, run.read_results()["records"], read_log(run.log), folder)
        return sorted(path.name for path in folder.iterdir())


def loss_curve(log: list[dict[str, Any]], metric: str, path: Path) -> None:
    """Draw the training loss and the validation score over the steps of all stages."""
    figure, left = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    right = left.twinx()
    offset = 0
    for stage in dict.fromkeys(line["stage"] for line in log):
        lines = [line for line in log if line["stage"] == stage]
        losses = [(line["step"] + offset, line["loss"]) for line in lines if "loss" in line]
        scores = [(line["step"] + offset, line[f"eval_{metric}"]) for line in lines if f"eval_{metric}" in line]
        if losses:
            left.plot(*zip(*losses, strict=True), color="tab:blue", linewidth=1.2)
        if scores:
            right.plot(*zip(*scores, strict=True), color="tab:orange", marker="o", markersize=3, linewidth=1.2)
        if offset:
            left.axvline(offset, color="grey", linewidth=0.8, linestyle=":")
        left.text(offset, 1.01, f" {stage}", transform=left.get_xaxis_transform(), fontsize=9, color="grey")
        offset += max((line["step"] for line in lines), default=0)
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    left.yaxis.label.set_color("tab:blue")
    scored = [line[f"eval_{metric}"] for line in log if f"eval_{metric}" in line]
    right.set(ylabel=f"validation {metric}", ylim=(0, 1.02 * max([1.0, *scored])), visible=bool(scored))
    right.yaxis.label.set_color("tab:orange")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def confusion_matrices(predictions: list[dict[str, Any]], folder: Path) -> None:
    """Draw one matrix per attribute, each row normalized, into confusion.png."""
    predicted = [row["prediction"] for row in predictions]
    references = [row["reference"] for row in predictions]
    attributes = [label.partition(": ")[0] for label in references[0]] if len(references[0]) > 1 else [""]
    tables = [(name, *confusion.matrix(predicted, references, name)) for name in attributes]
    tables = [table for table in tables if len(table[2]) <= MOST_CLASSES]
    if not tables:
        return
    side = max(3.0, 0.32 * max(len(names) for _, _, names in tables) + 1.2)
    columns = min(MATRICES_PER_ROW, len(tables))
    lines = -(-len(tables) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(side * columns, side * lines), layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(tables) :]:
        axis.axis("off")
    for axis, (name, counts, names) in zip(axes.flat, tables, strict=False):
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set(xlabel="prediction", ylabel="reference", title=name or "class")
        for reference, prediction in np.argwhere(counts):
            light = shares[reference, prediction] > 0.5
            axis.text(prediction, reference, counts[reference, prediction], ha="center", va="center", fontsize=6,
                      color="white" if light else "black")  # fmt: skip
    # Without a tight bounding box the titles of square matrices are cut off.
    figure.savefig(folder / "confusion.png", dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def misclassified_grid(predictions: list[dict[str, Any]], path: Path) -> None:
    """Draw the first misclassified images, titled "reference → prediction"; nothing if all are correct."""
    wrong = [row for row in predictions if row["wrong"] and row["input"] is not None]
    if not wrong:
        return
    wrong = wrong[:MOST_EXAMPLES]
    columns = min(6, len(wrong))
    lines = -(-len(wrong) // columns)
    figure, axes = pyplot.subplots(
        lines, columns, figsize=(1.7 * columns, 2.1 * lines), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, row in zip(axes.flat, wrong, strict=False):
        axis.imshow(Image.open(io.BytesIO(row["input"])).convert("RGB"))
        pairs = zip(row["reference"], row["prediction"], strict=True)
        titles = [
            f"{reference.rpartition(': ')[2]} → {prediction.rpartition(': ')[2]}"
            for reference, prediction in pairs
            if reference != prediction
        ]
        axis.set_title("\n".join(titles), fontsize=8, color="tab:red")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
