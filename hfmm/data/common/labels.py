"""Labels as `datasets` features: one class per row, or one value for each of several attributes.

Several attributes share one multi-label feature with names such as ``tense: past``. The name includes the attribute, so
the grouping is part of the ``id2label`` of a published model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from datasets import ClassLabel, List
from datasets.features import Features

SEPARATOR = ": "


def label_feature(columns: Mapping[str, Sequence[str]]) -> ClassLabel | List:
    """Return the feature for a mapping of attributes to values. A single attribute becomes a plain ClassLabel."""
    if len(columns) == 1:
        return ClassLabel(names=list(next(iter(columns.values()))))
    return List(
        ClassLabel(names=[attribute_label(name, value) for name, values in columns.items() for value in values])
    )


def attribute_label(attribute: str, value: str) -> str:
    """Return the label name of an attribute value, such as ``tense: past``."""
    return f"{attribute}{SEPARATOR}{value}"


def label_names(features: Features) -> list[str]:
    """Return the class names of the ``label`` column."""
    feature = features["label"]
    names: list[str] = (feature.feature if isinstance(feature, List) else feature).names
    return names


def is_multi_attribute(features: Features) -> bool:
    """Check whether the label of a row has one value for each of several attributes."""
    return isinstance(features["label"], List)


def attribute_of(label: str) -> str:
    """Return the attribute of a label name, or an empty string for a plain class."""
    attribute, separator, _ = label.partition(SEPARATOR)
    return attribute if separator else ""


def label_indices_by_attribute(names: Iterable[str]) -> dict[str, list[int]]:
    """Return the indices of the labels of each attribute, in order of appearance."""
    indices: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        indices.setdefault(attribute_of(name), []).append(index)
    return indices
