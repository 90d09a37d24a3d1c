"""Softmax regression on 64-bin colour histograms of the training pictures: what colour alone gives away.

Of texts it is told which are right for which training rows, so that text->text comes free, and of questions their kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from hfmm.data.common.images import decode
from hfmm.data.common.labels import label_indices_by_attribute
from hfmm.recipe.schema import Recipe
from hfmm.tasks import BaseTask, references
from hfmm.utils.progress import progress_bar

NAME = "colour histogram"
SMOOTHING = 1e-3  # so that a text that no training row has still has an embedding
SIDE = 32  # pictures are reduced to this many pixels a side before counting


def predict(recipe: Recipe, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Fit on the training split and return one prediction for each row of the test split.

    For a task of embeddings these are the probabilities of the training groups, and a text's embedding says in which
    of them it is right.
    """
    known = references(task, data["train"])
    train, test = (_features(_pictures(data[split]), split) for split in ("train", "test"))
    if isinstance(known[0], dict):
        by_form = _answers if "answers" in known[0] else _embeddings
        return by_form(known, references(task, data["test"]), train, test)
    return _labels(known, train, test)


def _pictures(rows: Dataset) -> list[Any]:
    """Return the picture of each row, the first where it has several."""
    return [own[0] for own in rows["images"][:]] if "images" in rows.column_names else list(rows["image"][:])


def _labels(references: list[list[str]], train: np.ndarray, test: np.ndarray) -> list[dict[str, Any]]:
    classes = sorted({label for row in references for label in row})
    attributes = label_indices_by_attribute(classes) if len(references[0]) > 1 else {"": list(range(len(classes)))}
    columns = []
    for positions in attributes.values():
        names = [classes[position] for position in positions]
        known = {name: index for index, name in enumerate(names)}
        targets = np.array([next(known[label] for label in row if label in known) for row in references])
        best = _softmax_regression(train, targets, len(names), test).argmax(-1)
        columns.append([names[index] for index in best])
    order = [label.partition(": ")[0] for label in references[0]] if len(references[0]) > 1 else [""]
    by_attribute = dict(zip(attributes, columns, strict=True))
    return [{"prediction": [by_attribute[name][row] for name in order]} for row in range(len(test))]


def _embeddings(
    references: list[dict[str, Any]], asked: list[dict[str, Any]], train: np.ndarray, test: np.ndarray
) -> list[dict[str, Any]]:
    groups, targets = np.unique([row["group"] for row in references], return_inverse=True)
    right: dict[str, set[int]] = {}
    for row, group in zip(references, targets, strict=True):
        for text in row["captions"]:
            right.setdefault(text, set()).add(int(group))

    def embed(text: str) -> np.ndarray:
        vector = np.full(len(groups), SMOOTHING)
        vector[list(right.get(text, ()))] = 1
        unit: np.ndarray = vector / np.linalg.norm(vector)
        return unit

    scores = _softmax_regression(train, targets, len(groups), test)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= np.linalg.norm(shares, axis=1, keepdims=True)
    return [
        {"image": image, "text": embed(row["text"]), "class": embed(row["class"])}
        for image, row in zip(shares, asked, strict=True)
    ]


def _answers(
    references: list[dict[str, Any]], asked: list[dict[str, Any]], train: np.ndarray, test: np.ndarray
) -> list[dict[str, Any]]:
    found = [{"prediction": [""] * len(row["answers"])} for row in asked]
    known, questions = (_by_kind(rows) for rows in (references, asked))
    for kind, places in questions.items():
        answers = [references[row]["answers"][at] for row, at in known.get(kind, ())]
        frequent = [answer for answer, count in Counter(answers).items() if count > 1]
        taught = [
            (row, answer)
            for (row, _), answer in zip(known.get(kind, ()), answers, strict=True)
            if answer in set(frequent)
        ]
        if taught:
            targets = np.array([frequent.index(answer) for _, answer in taught])
            rows = [row for row, _ in places]
            best = _softmax_regression(train[[row for row, _ in taught]], targets, len(frequent), test[rows]).argmax(-1)
            for (row, at), choice in zip(places, best, strict=True):
                found[row]["prediction"][at] = frequent[choice]
    return found


def _by_kind(rows: list[dict[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    """Return row and place in the row of the questions of each kind."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row, one in enumerate(rows):
        for at, kind in enumerate(one.get("kinds") or [""] * len(one["answers"])):
            found.setdefault(kind, []).append((row, at))
    return found


def _features(images: Iterable[Any], split: str) -> np.ndarray:
    """Return (rows, 64) shares of pixels by 16 hues, 2 saturations and 2 values."""
    rows = []
    for image in progress_bar(images, f"histograms of {split}"):
        hue, saturation, value = np.asarray(decode(image).resize((SIDE, SIDE)).convert("HSV")).reshape(-1, 3).T
        bins = hue // 16 * 4 + saturation // 128 * 2 + value // 128
        rows.append(np.bincount(bins, minlength=64) / len(bins))
    return np.array(rows, dtype=np.float32)


def _softmax_regression(train: np.ndarray, targets: np.ndarray, classes: int, test: np.ndarray) -> np.ndarray:
    """Return the logits (rows of test, classes)."""
    import torch
    from torch.nn import functional

    mean, deviation = train.mean(0), train.std(0) + 1e-6
    inputs, others = (torch.from_numpy((part - mean) / deviation) for part in (train, test))
    weight = torch.zeros(64, classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")
    wanted = torch.from_numpy(targets)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(inputs @ weight + bias, wanted) + 1e-3 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call, arg-type]
    logits: np.ndarray = (others @ weight + bias).detach().numpy()
    return logits
