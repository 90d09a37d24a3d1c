"""Plots of embeddings: retrieval curves, the modality gap during training, and a projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from hfmm.metrics import retrieval

matplotlib.use("Agg")
from matplotlib import pyplot

MAX_K = 50  # the last rank of the retrieval curves


def draw(
    predictions: list[dict[str, Any]], records: list[dict[str, Any]], log: list[dict[str, Any]], folder: Path
) -> None:
    """Draw retrieval.png, gap.png and embeddings.png into ``folder`` from the rows of predictions.parquet."""
    vectors = {name: np.array([row[name] for row in predictions], dtype=np.float32) for name in ("image", "text")}
    retrieval_curves(vectors, [row["reference"] for row in predictions], folder / "retrieval.png")
    gap_history(records, log, folder / "gap.png")
    projection(vectors["image"], vectors["text"], folder / "embeddings.png")


def retrieval_curves(vectors: dict[str, np.ndarray], references: list[dict[str, Any]], path: Path) -> None:
    """Draw, for each direction, the share of queries with a correct match in the top k."""
    figure, axis = pyplot.subplots(figsize=(6, 3.8), layout="constrained")
    cutoffs = np.arange(1, MAX_K + 1)
    for name, ranks in retrieval.ranks_by_direction(vectors, references).items():
        valid_ranks = ranks[ranks > 0]
        axis.plot(cutoffs, [100 * np.mean(valid_ranks <= cutoff) for cutoff in cutoffs], label=name, linewidth=1.4)
    axis.set(xlabel="k", ylabel="R@k, %", xscale="log", ylim=(0, 102))
    axis.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axis.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def gap_history(records: list[dict[str, Any]], log: list[dict[str, Any]], path: Path) -> None:
    """Draw the distance of the centroids during training, and those of the baselines; nothing without a log."""
    history: list[tuple[int, float]] = []
    offset = 0
    for stage in dict.fromkeys(line["stage"] for line in log):
        lines = [line for line in log if line["stage"] == stage]
        history += [(offset + line["step"], line["eval_gap"]) for line in lines if "eval_gap" in line]
        offset += max((line["step"] for line in lines), default=0)
    if not history:
        return
    figure, axis = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    axis.plot(*zip(*history, strict=True), marker="o", markersize=3, linewidth=1.2, label="validation, during training")
    distances = [record for record in records if record["metric"] == "modality_gap" and record["slice"] == "distance"]
    for record, color in zip(distances, ("tab:green", "tab:red", "tab:grey"), strict=False):
        label = f"test, {record['baseline'] or 'this model'}"
        axis.axhline(record["value"], linestyle="--", linewidth=1, color=color, label=label)
    highest = max(value for value in (*(record["value"] for record in distances), *(gap for _, gap in history)))
    axis.set(xlabel="step", ylabel="distance of centroids", ylim=(0, 1.08 * highest))
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def projection(images: np.ndarray, texts: np.ndarray, path: Path) -> None:
    """Draw both sets of embeddings on the direction between their centroids and the widest one orthogonal to it.

    Args:
        images: The image embeddings, (num_images, dim), of any norm.
        texts: The text embeddings, (num_texts, dim), of any norm.
        path: The PNG file to write.
    """
    images, texts = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (images, texts))
    gap = images.mean(0) - texts.mean(0)
    first = gap / (np.linalg.norm(gap) or 1.0)
    both = np.concatenate([images, texts])
    orthogonal = both - both.mean(0)
    orthogonal = orthogonal - np.outer(orthogonal @ first, first)
    second = np.linalg.svd(orthogonal, full_matrices=False)[2][0]
    figure, axis = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for vectors, name, color in ((images, "image", "tab:blue"), (texts, "text", "tab:orange")):
        axis.scatter(vectors @ first, vectors @ second, s=6, alpha=0.4, linewidths=0, label=name, color=color)
    axis.set(xlabel="along the modality gap", ylabel="widest orthogonal direction")
    axis.legend(frameon=False, markerscale=3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
