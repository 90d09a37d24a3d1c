"""Softmax regression on 64-bin HSV histograms of the images: how far color alone goes.

For retrieval it also receives the captions of each training image, so its text-to-text scores are trivial. For question
answering it receives the question type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from hfmm.data.common.images import decode
from hfmm.data.common.labels import label_indices_by_attribute
from hfmm.plan import Plan
from hfmm.tasks import BaseTask, collect_references
from hfmm.utils.progress import progress_bar

NAME = "colour histogram"
SMOOTHING = 1e-3  # gives an embedding to a text that does not occur in the training split
SIDE = 32  # images are resized to this many pixels per side before counting


def predict(plan: Plan, task: BaseTask, tuned: Any, data: DatasetDict) -> list[dict[str, Any]]:
    """Fit on the training split and return one prediction per test row.

    For an embedding task, an image embedding holds the probabilities of the training groups, and a text embedding marks
    the groups that have the text among their captions.
    """
    train_references = collect_references(task, data["train"])
    train, test = (_histograms(_first_images(data[split]), split) for split in ("train", "test"))
    if isinstance(train_references[0], dict):
        predict_rows = _predict_answers if "answers" in train_references[0] else _predict_embeddings
        return predict_rows(train_references, collect_references(task, data["test"]), train, test)
    return _predict_labels(train_references, train, test)


def _first_images(rows: Dataset) -> list[Any]:
    """Return the image of each row, or the first if it has several."""
    return [images[0] for images in rows["images"][:]] if "images" in rows.column_names else list(rows["image"][:])


def _predict_labels(references: list[list[str]], train: np.ndarray, test: np.ndarray) -> list[dict[str, Any]]:
    classes = sorted({label for row in references for label in row})
    attributes = label_indices_by_attribute(classes) if len(references[0]) > 1 else {"": list(range(len(classes)))}
    columns = []
    for label_indices in attributes.values():
        names = [classes[index] for index in label_indices]
        name_to_index = {name: index for index, name in enumerate(names)}
        targets = np.array(
            [next(name_to_index[label] for label in row if label in name_to_index) for row in references]
        )
        best = _softmax_regression(train, targets, len(names), test).argmax(-1)
        columns.append([names[index] for index in best])
    order = [label.partition(": ")[0] for label in references[0]] if len(references[0]) > 1 else [""]
    by_attribute = dict(zip(attributes, columns, strict=True))
    return [{"prediction": [by_attribute[name][row] for name in order]} for row in range(len(test))]


def _predict_embeddings(
    train_references: list[dict[str, Any]], test_references: list[dict[str, Any]], train: np.ndarray, test: np.ndarray
) -> list[dict[str, Any]]:
    groups, targets = np.unique([reference["group"] for reference in train_references], return_inverse=True)
    text_groups: dict[str, set[int]] = {}
    for reference, group in zip(train_references, targets, strict=True):
        for text in reference["captions"]:
            text_groups.setdefault(text, set()).add(int(group))

    def embed(text: str) -> np.ndarray:
        vector = np.full(len(groups), SMOOTHING)
        vector[list(text_groups.get(text, ()))] = 1
        unit: np.ndarray = vector / np.linalg.norm(vector)
        return unit

    logits = _softmax_regression(train, targets, len(groups), test)
    image_embeddings = np.exp(logits - logits.max(1, keepdims=True))
    image_embeddings /= np.linalg.norm(image_embeddings, axis=1, keepdims=True)
    return [
        {"image": embedding, "text": embed(reference["text"]), "class": embed(reference["class"])}
        for embedding, reference in zip(image_embeddings, test_references, strict=True)
    ]


def _predict_answers(
    train_references: list[dict[str, Any]], test_references: list[dict[str, Any]], train: np.ndarray, test: np.ndarray
) -> list[dict[str, Any]]:
    predictions = [{"prediction": [""] * len(reference["answers"])} for reference in test_references]
    train_questions, test_questions = (_questions_by_kind(rows) for rows in (train_references, test_references))
    for kind, questions in test_questions.items():
        examples = [(row, train_references[row]["answers"][turn]) for row, turn in train_questions.get(kind, ())]
        classes = [answer for answer, count in Counter(answer for _, answer in examples).items() if count > 1]
        examples = [(row, answer) for row, answer in examples if answer in set(classes)]
        if examples:
            targets = np.array([classes.index(answer) for _, answer in examples])
            inputs, queries = train[[row for row, _ in examples]], test[[row for row, _ in questions]]
            best = _softmax_regression(inputs, targets, len(classes), queries).argmax(-1)
            for (row, turn), choice in zip(questions, best, strict=True):
                predictions[row]["prediction"][turn] = classes[choice]
    return predictions


def _questions_by_kind(references: list[dict[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    """Return, for each kind of question, the index of the row and of the question in the row."""
    questions: dict[str, list[tuple[int, int]]] = {}
    for row, reference in enumerate(references):
        for turn, kind in enumerate(reference.get("kinds") or [""] * len(reference["answers"])):
            questions.setdefault(kind, []).append((row, turn))
    return questions


def _histograms(images: Iterable[Any], split: str) -> np.ndarray:
    """Return the color histograms, (num_rows, 64): 16 hues x 2 saturations x 2 values."""
    rows = []
    for image in progress_bar(images, f"histograms of {split}"):
        hue, saturation, value = np.asarray(decode(image).resize((SIDE, SIDE)).convert("HSV")).reshape(-1, 3).T
        bins = hue // 16 * 4 + saturation // 128 * 2 + value // 128
        rows.append(np.bincount(bins, minlength=64) / len(bins))
    return np.array(rows, dtype=np.float32)


def _softmax_regression(train: np.ndarray, targets: np.ndarray, classes: int, test: np.ndarray) -> np.ndarray:
    """Return the logits of the test rows, (num_rows, num_classes)."""
    import torch
    from torch.nn import functional

    mean, deviation = train.mean(0), train.std(0) + 1e-6
    train_inputs, test_inputs = (torch.from_numpy((features - mean) / deviation) for features in (train, test))
    weight = torch.zeros(64, classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")
    labels = torch.from_numpy(targets)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(train_inputs @ weight + bias, labels) + 1e-3 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call, arg-type]
    logits: np.ndarray = (test_inputs @ weight + bias).detach().numpy()
    return logits
