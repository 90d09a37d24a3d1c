"""The modality gap of a model on a dataset, or of embeddings in files, and what shifting it away does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from datasets import DatasetDict

from hfmm import data, metrics, models
from hfmm.card.embedding_plots import projection
from hfmm.data.common.screening import drop_invalid_rows, require_columns
from hfmm.errors import UserError
from hfmm.evaluation.predict import predict_rows
from hfmm.recipe.schema import Data, Model
from hfmm.tasks import collect_references
from hfmm.tasks.contrastive import ContrastiveTask
from hfmm.utils.progress import progress_bar

matplotlib.use("Agg")
from matplotlib import pyplot

from hfmm.models.common.checkpoint import load_saved

SHIFTS = tuple(np.arange(-1, 2.01, 0.25).round(2).tolist())  # in gaps: 0 leaves it, 1 closes it


class PairedEmbeddings(NamedTuple):
    """Embeddings (n, d) of images, texts and, where a model made them, class prompts; row i of each is a pair."""

    embeddings: dict[str, np.ndarray]
    references: list[dict[str, Any]]


def embed_test_split(name: str, data_options: Data, cache: Path) -> PairedEmbeddings:
    """Return the embeddings of a dataset's test split; raises UserError for a model or data that cannot be used."""
    resolved = models.resolve(Model(checkpoint=name), {}, ContrastiveTask.auto_classes)
    config, processor = resolved.load_processor()
    model = load_saved(resolved.source)[0].float().eval()
    task = ContrastiveTask(config, processor, ContrastiveTask.Options(), resolved.family)
    test = data.build(data_options, {}, cache)["test"]
    require_columns(task.required_columns, DatasetDict(test=test))
    validate_row = task.make_row_validator(resolved.family, config, processor, test.features)
    splits, _ = drop_invalid_rows(validate_row, DatasetDict(test=test), data_options.on_invalid_row)
    predictions = predict_rows(task, model, splits["test"], "embed")
    return PairedEmbeddings(task.metric_inputs(predictions), collect_references(task, splits["test"]))


def load_embeddings(images: Path, texts: Path) -> PairedEmbeddings:
    """Return the clouds in two .npy files of one shape (n, d); raises UserError for anything else."""
    embeddings = {"image": _load_npy(images), "text": _load_npy(texts)}
    shapes = {name: vectors.shape for name, vectors in embeddings.items()}
    if shapes["image"][1] != shapes["text"][1]:
        raise UserError(
            f"{images} has embeddings of width {shapes['image'][1]} and {texts} of width {shapes['text'][1]}: "
            "they come from different spaces and cannot be compared."
        )
    if shapes["image"][0] != shapes["text"][0]:
        raise UserError(
            f"{images} has {shapes['image'][0]:,} rows and {texts} has {shapes['text'][0]:,}: row i of one must be the "
            "pair of row i of the other."
        )
    names = [str(index) for index in range(shapes["image"][0])]
    return PairedEmbeddings(embeddings, [{"text": one, "captions": [one], "group": one} for one in names])


def _load_npy(path: Path) -> np.ndarray:
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is no .npy file of numbers: {error}") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise UserError(f"{path} must hold one array of numbers, rows by dimensions, as numpy.save writes it.")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    for wrong, what in ((~np.isfinite(lengths), "holds NaN or infinity"), (lengths == 0, "is zero everywhere")):
        if wrong.any():
            rows = ", ".join(map(str, np.flatnonzero(wrong)[:5]))
            raise UserError(
                f"{path}: row {rows} {what}, so it has no direction ({int(wrong.sum())} such rows). Look at the code "
                "that made them: a half-precision overflow and an empty text are the usual reasons."
            )
    return np.asarray(vectors, dtype=np.float32)


def measure(clouds: PairedEmbeddings) -> dict[str, float]:
    """Return each measure of the gap, of retrieval and, where class prompts are there, of zero-shot classification.

    Raises UserError where there are too few rows.
    """
    found: dict[str, float] = {}
    ones = np.ones(len(clouds.references))
    for name in ("modality_gap", "retrieval", *(["zero_shot"] if "class" in clouds.embeddings else [])):
        slices, functionals = metrics.compute(name, *clouds)
        scores = {group: tops.sum() / bottoms.sum() for group, (tops, bottoms) in slices.items()}
        scores |= {group: function(ones) for group, function in functionals.items()}
        found |= {f"{name} {group}".strip().replace("_", " "): float(score) for group, score in scores.items()}
    return found


def shift(clouds: PairedEmbeddings, amount: float) -> PairedEmbeddings:
    """Return the clouds moved half of ``amount`` gaps towards each other, and normalised again.

    0 leaves them, 1 puts the centroids together (before the normalising), a negative amount widens the gap: the
    experiment of Liang et al. 2022 (arXiv:2203.02053).
    """
    unit = {name: _unit(vectors) for name, vectors in clouds.embeddings.items()}
    step = (unit["image"].mean(axis=0) - unit["text"].mean(axis=0)) * amount / 2
    return clouds._replace(
        embeddings={
            name: _unit(vectors - step if name == "image" else vectors + step) for name, vectors in unit.items()
        }
    )


def sweep(clouds: PairedEmbeddings) -> list[dict[str, float]]:
    """Return the measures at each shift of `AMOUNTS`, the shift under ``shift``."""
    return [
        {"shift": amount, **measure(shift(clouds, amount))} for amount in progress_bar(SHIFTS, "shift", len(SHIFTS))
    ]


def draw(clouds: PairedEmbeddings, shifts: list[dict[str, float]], folder: Path) -> list[Path]:
    """Draw embeddings.png, and sweep.png where there are shifts, into ``folder``; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "embeddings.png"]
    projection(clouds.embeddings["image"], clouds.embeddings["text"], paths[0])
    if shifts:
        paths.append(folder / "sweep.png")
        _draw_sweep(shifts, paths[1])
    return paths


def _draw_sweep(shifts: list[dict[str, float]], path: Path) -> None:
    figure, axis = pyplot.subplots(figsize=(6, 3.8), layout="constrained")
    amounts = [one["shift"] for one in shifts]
    for name in ("retrieval image->text R@1", "retrieval text->image R@1", "zero shot"):
        if name in shifts[0]:
            axis.plot(amounts, [100 * one[name] for one in shifts], marker="o", markersize=3, label=name)
    axis.set(xlabel="shift, in gaps (0 as it is, 1 closed)", ylabel="%", ylim=(0, 102))
    beside = axis.twinx()
    distances = [one["modality gap distance"] for one in shifts]
    beside.plot(amounts, distances, color="grey", linestyle="--", label="distance of centroids (right)")
    beside.set(ylabel="distance of centroids", ylim=(0, None))
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
