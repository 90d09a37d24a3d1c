"""Share of verb forms that are transcribed exactly, and the confusions of tense and person among the others.

A reference contains the readings of its verb forms as returned by `hfmm.grammar.parse`, and `confusions` receives the
parser as an argument. Can be loaded by path with ``evaluate.load("verb_form.py")``, without network and without hfmm.
``_edit_rates.py`` and ``_scores.py`` must be in the same folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import groupby
from typing import Any, NamedTuple

import datasets
import evaluate
import numpy as np

from ._edit_rates import align, normalize_words
from ._scores import ratio_scores

GREATER_IS_BETTER = True
PERCENT = True
REFERENCE_COLUMNS = ("group", "text")
SUMMARY = "verb forms transcribed exactly, auxiliaries included"  # describes the slice "" in a model card

AUXILIARIES = ("to", "will", "have", "has", "had")  # before the same word they make another verb form
CONTRACTIONS = ("'ll", "'ve", "'s", "'d")
ALL_PERSONS = 3  # the number of readings of a form that fits every person, such as an infinitive

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
Reading = dict[str, Any]  # lemma, tense, person, form, and its start and end in the text
Parse = Callable[[str], Iterable[Any]]  # maps a text to its readings, as named tuples


class AlignedForm(NamedTuple):
    """A verb form of a reference, and the words of the prediction that are aligned with it."""

    readings: list[Reading]
    reference: str
    prediction: str
    start: int  # character offset of these words in the normalized prediction
    is_exact: bool


class Confusion(NamedTuple):
    """A confusion of one tense and person with another: its count, and the words of its first occurrence."""

    true: str
    taken_for: str
    times: int
    form: str
    heard: str


def derive_reference(row: dict[str, Any]) -> dict[str, Any]:
    """Return the readings of the verb forms in the text of a dataset row. This needs hfmm, but the scores do not."""
    # Imported by name, because `evaluate` requires every package in an import statement of this file.
    grammar = import_module("hfmm.grammar")
    forms = list(grammar.parse(row["text"]))
    # The group of a row of the verb grid is its cell. It determines the reading of an ambiguous form.
    cell = next((cell for cell in grammar.CELLS if "/".join(cell) == row.get("group")), None)
    cell_spans = {(form.start, form.end) for form in forms if form[:3] == cell}
    readings = [form._asdict() for form in forms if (form.start, form.end) not in cell_spans or form[:3] == cell]
    return {"readings": readings}


def row_statistics(predictions: list[str], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the exact forms and all forms of each row. The score is the ratio of their sums.

    ``references`` have the ``text`` and the ``readings`` of each row. A form is exact if its normalized words equal the
    aligned words of the prediction, with no other word between them and no auxiliary that makes another form:
    ``has worked`` does not match ``worked``. If all readings of a form agree on the tense or person, it also counts in
    the slice ``tense: past``, ``person: 3sg`` and so on. Without any verb form there is no slice. Raises ValueError if
    rows are missing.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    slices: Statistics = {}
    for row, pair in enumerate(zip(predictions, references, strict=True)):
        for form in _align_forms(*pair):
            for slice_name in _slices(form.readings):
                exact, counts = slices.setdefault(slice_name, (np.zeros(len(references)), np.zeros(len(references))))
                exact[row] += form.is_exact
                counts[row] += 1
    return dict(sorted(slices.items()))


def confusions(predictions: list[str], references: list[dict[str, Any]], parse: Parse) -> list[Confusion]:
    """Return the confusions of the forms that were not transcribed exactly, the most frequent first.

    ``parse`` reads the predictions. Among several readings of the same verb, those that agree best with the form count.
    Without any reading, the form was confused with ``another word`` or ``nothing``.
    """
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], tuple[str, str]] = {}
    for prediction, reference in zip(predictions, references, strict=True):
        for form in _align_forms(prediction, reference):
            if not form.is_exact:
                predicted_name, predicted_words = _heard_as(form, normalize_words(prediction), parse)
                pair = _name(form.readings), predicted_name
                counts[pair] += 1
                examples.setdefault(pair, (form.reference, predicted_words))
    return [Confusion(*pair, count, *examples[pair]) for pair, count in counts.most_common()]


def _align_forms(prediction: str, reference: dict[str, Any]) -> Iterator[AlignedForm]:
    """Yield the verb forms of a reference, in text order."""
    text = reference["text"]
    words, predicted_words = normalize_words(text).split(), normalize_words(prediction).split()
    pairs = align(words, predicted_words)
    aligned = {index: predicted for index, predicted in pairs if index is not None and predicted is not None}
    insertions = {predicted for index, predicted in pairs if index is None}
    spans = groupby(reference["readings"], lambda reading: (reading["start"], reading["end"]))
    for (start_char, end_char), readings in spans:
        # Count the words up to the first letter of the form, because a form can begin inside a word: he'll go.
        start = len(normalize_words(text[: start_char + 1]).split()) - 1
        end = len(normalize_words(text[:end_char]).split())
        predicted_indices = [aligned[index] for index in range(start, end) if index in aligned]
        if not predicted_indices:
            yield AlignedForm(list(readings), " ".join(words[start:end]), "", 0, is_exact=False)
            continue
        predicted_start, predicted_end = predicted_indices[0], predicted_indices[-1] + 1
        is_exact = words[start:end] == predicted_words[predicted_start:predicted_end]
        if end - start == 1:  # has and worked are forms, and has worked is another one
            is_exact = is_exact and _auxiliary(words, start) == _auxiliary(predicted_words, predicted_start)
            is_exact = is_exact and not (words[start] in AUXILIARIES and predicted_end in insertions)
        if not is_exact:
            start = _with_auxiliary(words, start)
            predicted_start = _with_auxiliary(predicted_words, predicted_start)
        yield AlignedForm(
            list(readings),
            " ".join(words[start:end]),
            " ".join(predicted_words[predicted_start:predicted_end]),
            len(" ".join([*predicted_words[:predicted_start], ""])),
            is_exact,
        )


def _with_auxiliary(words: list[str], index: int) -> int:
    """Return the index of the first word of a form, including the auxiliary before it."""
    return index - 1 if _auxiliary(words, index) and words[index] not in AUXILIARIES else index


def _auxiliary(words: list[str], index: int) -> str:
    """Return the auxiliary or contraction before a word, or an empty string."""
    previous = words[index - 1] if index else ""
    if previous in AUXILIARIES:
        return previous
    return next((contraction for contraction in CONTRACTIONS if previous.endswith(contraction)), "")


def _slices(readings: list[Reading]) -> list[str]:
    values_by_name = {name: {reading[name] for reading in readings} for name in ("tense", "person")}
    return ["", *(f"{name}: {next(iter(values))}" for name, values in values_by_name.items() if len(values) == 1)]


def _heard_as(form: AlignedForm, text: str, parse: Parse) -> tuple[str, str]:
    """Return the tense and person that a form was confused with in ``text``, and the words there."""
    if not form.prediction:
        return "nothing", ""
    lemmas = {reading["lemma"] for reading in form.readings}
    end = form.start + len(form.prediction)
    overlapping = [reading._asdict() for reading in parse(text) if reading.start < end and form.start < reading.end]
    # A form that does not agree with its subject, such as he work, can only be parsed without the subject.
    isolated = [reading._asdict() for reading in parse(form.prediction)]
    for source, readings in ((text, overlapping), (form.prediction, isolated)):
        if same_verb := [reading for reading in readings if reading["lemma"] in lemmas]:
            best_agreement = max(_agreement(reading, form.readings) for reading in same_verb)
            best = [reading for reading in same_verb if _agreement(reading, form.readings) == best_agreement]
            # Only a part may be aligned with the form, and the parser excludes he from he'll go.
            words = max(form.prediction, source[best[0]["start"] : best[0]["end"]], key=len)
            if words != form.reference:
                return _name(best), words
    # In he has said, the word has equals the form, but it is part of another form.
    containing = [
        text[reading["start"] : reading["end"]] for reading in overlapping if form.prediction == form.reference
    ]
    return "another word", max([form.prediction, *containing], key=len)


def _agreement(reading: Reading, others: list[Reading]) -> tuple[int, bool]:
    """Return how well a reading agrees with the closest of others. The tense counts more than the person."""
    agreements = [(reading["tense"] == other["tense"], reading["person"] == other["person"]) for other in others]
    return max((tense + person, tense) for tense, person in agreements)


def _name(readings: list[Reading]) -> str:
    """Return tense and person, such as ``past 3sg`` or ``present 1sg/2sg``. A form of all persons has no person."""
    tenses, persons = (dict.fromkeys(reading[name] for reading in readings) for name in ("tense", "person"))
    return "/".join(tenses) + (f" {'/'.join(persons)}" if len(persons) < ALL_PERSONS else "")


class VerbForm(evaluate.Metric):
    """The `evaluate` metric. Predictions are texts. References are texts with the readings of their verb forms."""

    def _info(self) -> evaluate.MetricInfo:
        string, number = datasets.Value("string"), datasets.Value("int64")
        reading = {name: string for name in ("lemma", "tense", "person", "form")} | {"start": number, "end": number}
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions: a text for each row; references: rows with the text and its readings, "
            "each with lemma, tense, person, form, and its start and end in the text",
            features=datasets.Features(
                {"predictions": string, "references": {"text": string, "readings": datasets.List(reading)}}
            ),
        )

    def _compute(self, predictions: list[str], references: list[dict[str, Any]]) -> dict[str, float]:
        return ratio_scores(row_statistics(predictions, references), overall="verb_form", prefix="verb_form ")
