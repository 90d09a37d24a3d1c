"""The modality gap of a model on a dataset, or of embeddings in files, and the effect of closing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from datasets import DatasetDict

from hfmm import data, metrics, models
from hfmm.card.embedding_plots import projection
from hfmm.errors import UserError
from hfmm.evaluation.predict import predict_rows
from hfmm.recipe.schema import Data, Model
from hfmm.tasks import collect_references
from hfmm.tasks.contrastive import ContrastiveTask
from hfmm.utils.progress import progress_bar

matplotlib.use("Agg")
from matplotlib import pyplot

from hfmm.models.common.checkpoint import load_saved

SHIFTS = tuple(np.arange(-1, 2.01, 0.25).round(2).tolist())  # as fractions of the gap: 0 changes nothing, 1 closes it


class PairedEmbeddings(NamedTuple):
    """Embeddings of images, texts and, if a model computed them, class prompts, with the references for the metrics.

    Each array has shape (num_rows, embed_dim). Row i of the image and of the text embeddings are a pair.
    """

    embeddings: dict[str, np.ndarray]
    references: list[dict[str, Any]]


def embed_test_split(name: str, data_options: Data, cache: Path) -> PairedEmbeddings:
    """Embed the test split of a dataset with a model. Raises UserError if the model or the data cannot be used."""
    resolved = models.resolve(Model(checkpoint=name), {}, ContrastiveTask.auto_classes)
    config, processor = resolved.load_processor()
    model = load_saved(resolved.source)[0].float().eval()
    task = ContrastiveTask(config, processor, ContrastiveTask.Options(), resolved.family)
    test = data.build(data_options, {}, cache)["test"]
    splits, _ = task.drop_invalid_rows(
        resolved.family, config, processor, DatasetDict(test=test), data_options.on_invalid_row
    )
    predictions = predict_rows(task, model, splits["test"], "embed")
    return PairedEmbeddings(task.metric_inputs(predictions), collect_references(task, splits["test"]))


def load_embeddings(images: Path, texts: Path) -> PairedEmbeddings:
    """Load two .npy files of the same shape (num_rows, embed_dim). Raises UserError for anything else."""
    embeddings = {"image": _load_npy(images), "text": _load_npy(texts)}
    shapes = {name: vectors.shape for name, vectors in embeddings.items()}
    if shapes["image"][1] != shapes["text"][1]:
        raise UserError(
            f"{images} has embeddings of size {shapes['image'][1]}, but {texts} of size {shapes['text'][1]}. They must "
            "come from the same embedding space."
        )
    if shapes["image"][0] != shapes["text"][0]:
        raise UserError(
            f"{images} has {shapes['image'][0]:,} rows, but {texts} has {shapes['text'][0]:,}. Row i of both files "
            "must be a pair."
        )
    names = [str(index) for index in range(shapes["image"][0])]
    return PairedEmbeddings(embeddings, [{"text": name, "captions": [name], "group": name} for name in names])


def _load_npy(path: Path) -> np.ndarray:
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a .npy file of numbers: {error}") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise UserError(
            f"{path} must contain one array of numbers with shape (num_rows, embed_dim), saved by numpy.save."
        )
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    for is_invalid, problem in ((~np.isfinite(norms), "contains NaN or infinity"), (norms == 0, "is all zeros")):
        if is_invalid.any():
            rows = ", ".join(map(str, np.flatnonzero(is_invalid)[:5]))
            raise UserError(
                f"{path}: row {rows} {problem} ({int(is_invalid.sum())} such rows), so it cannot be normalized. Check "
                "the code that computes the embeddings. Common causes are overflow in half precision and empty texts."
            )
    return np.asarray(vectors, dtype=np.float32)


def measure(pairs: PairedEmbeddings) -> dict[str, float]:
    """Return the scores of the modality gap, of retrieval and, if there are class prompts, of zero-shot classification.

    Raises UserError if there are too few rows.
    """
    measures: dict[str, float] = {}
    ones = np.ones(len(pairs.references))
    for name in ("modality_gap", "retrieval", *(["zero_shot"] if "class" in pairs.embeddings else [])):
        slices, functionals = metrics.compute(name, *pairs)
        scores = {group: numerators.sum() / denominators.sum() for group, (numerators, denominators) in slices.items()}
        scores |= {group: function(ones) for group, function in functionals.items()}
        measures |= {f"{name} {group}".strip().replace("_", " "): float(score) for group, score in scores.items()}
    return measures


def shift(pairs: PairedEmbeddings, amount: float) -> PairedEmbeddings:
    """Return the embeddings shifted towards the other modality by half of ``amount`` times the gap, and normalized.

    0 changes nothing, 1 makes the centroids equal before normalization, and a negative amount widens the gap. This is
    the experiment of Liang et al. 2022 (arXiv:2203.02053).
    """
    normalized = {name: _normalize(vectors) for name, vectors in pairs.embeddings.items()}
    step = (normalized["image"].mean(axis=0) - normalized["text"].mean(axis=0)) * amount / 2
    return pairs._replace(
        embeddings={
            name: _normalize(vectors - step if name == "image" else vectors + step)
            for name, vectors in normalized.items()
        }
    )


def sweep(pairs: PairedEmbeddings) -> list[dict[str, float]]:
    """Return the scores after each shift of `SHIFTS`, with the amount under ``shift``."""
    return [{"shift": amount, **measure(shift(pairs, amount))} for amount in progress_bar(SHIFTS, "shift", len(SHIFTS))]


def draw(pairs: PairedEmbeddings, shifts: list[dict[str, float]], folder: Path) -> list[Path]:
    """Write the plots embeddings.png and, if there are shifts, sweep.png to a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "embeddings.png"]
    projection(pairs.embeddings["image"], pairs.embeddings["text"], paths[0])
    if shifts:
        paths.append(folder / "sweep.png")
        _draw_sweep(shifts, paths[1])
    return paths


def _draw_sweep(shifts: list[dict[str, float]], path: Path) -> None:
    figure, axis = pyplot.subplots(figsize=(6, 3.8), layout="constrained")
    amounts = [scores["shift"] for scores in shifts]
    for name in ("retrieval image->text R@1", "retrieval text->image R@1", "zero shot"):
        if name in shifts[0]:
            axis.plot(amounts, [100 * scores[name] for scores in shifts], marker="o", markersize=3, label=name)
    axis.set(xlabel="shift, as a fraction of the gap (0: unchanged, 1: closed)", ylabel="%", ylim=(0, 102))
    right_axis = axis.twinx()
    distances = [scores["modality gap distance"] for scores in shifts]
    right_axis.plot(amounts, distances, color="grey", linestyle="--", label="distance of centroids (right axis)")
    right_axis.set(ylabel="distance of centroids", ylim=(0, None))
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _normalize(vectors: np.ndarray) -> np.ndarray:
    normalized: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalized
