"""Labels as `datasets` features: one class a row, or one value of each of several attributes.

Several attributes share one multi-label feature whose names read ``tense: past``. The name alone says
which attribute a label belongs to, so a published model carries the grouping in its ``id2label``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from datasets import ClassLabel, List
from datasets.features import Features

SEPARATOR = ": "


def label_feature(columns: Mapping[str, Sequence[str]]) -> ClassLabel | List:
    """Return the feature for attributes given as name -> values; a single attribute becomes a plain class."""
    if len(columns) == 1:
        return ClassLabel(names=list(next(iter(columns.values()))))
    return List(ClassLabel(names=[attribute_label(key, value) for key, values in columns.items() for value in values]))


def attribute_label(attribute: str, value: str) -> str:
    """Return the label name of one attribute's value, such as ``tense: past``."""
    return f"{attribute}{SEPARATOR}{value}"


def label_names(features: Features) -> list[str]:
    """Return the class names behind the ``label`` column."""
    feature = features["label"]
    names: list[str] = (feature.feature if isinstance(feature, List) else feature).names
    return names


def is_multi_attribute(features: Features) -> bool:
    """Tell whether a row's label holds one value of each of several attributes."""
    return isinstance(features["label"], List)


def attribute_of(label: str) -> str:
    """Return the attribute of a label name; empty for a plain class."""
    attribute, separator, _ = label.partition(SEPARATOR)
    return attribute if separator else ""


def label_indices_by_attribute(names: Iterable[str]) -> dict[str, list[int]]:
    """Return, for each attribute in order of appearance, the indices of its labels."""
    positions: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        positions.setdefault(attribute_of(name), []).append(index)
    return positions
