"""Share of the verb forms said that are heard exactly, and the tense and person that the others were taken for.

A reference brings the readings of its verb forms, as `hfmm.grammar.parse` gives them, and whoever asks what a form was
taken for brings the parser, so that this file needs no grammar. Loadable by path, ``evaluate.load("verb_form.py")``,
with no network and without hfmm; ``quotients.py`` and ``transcripts.py`` lie beside it.
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
REFERENCE_COLUMNS = ("group", "text")
SUMMARY = "verb forms heard exactly, auxiliaries included"  # what the slice "" is, for people

AUXILIARIES = ("to", "will", "have", "has", "had")  # in front of the same word they make another form of it
CONTRACTIONS = ("'ll", "'ve", "'s", "'d")
ALL_PERSONS = 3  # the readings of a form that goes with each person, such as an infinitive

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
Reading = dict[str, Any]  # lemma, tense, person, form, and its start and end in the text
Parse = Callable[[str], Iterable[Any]]  # from a text to its readings, as named tuples


class AlignedForm(NamedTuple):
    """A verb form of a reference, and the words of the prediction that the alignment sets against it."""

    readings: list[Reading]
    true: str
    said: str
    place: int  # where those words begin in the prediction, lightly normalised
    heard: bool


class Confusion(NamedTuple):
    """How often one tense and person was taken for another, and the words of the first time."""

    true: str
    taken_for: str
    times: int
    form: str
    heard: str


def derive_reference(row: dict[str, Any]) -> dict[str, Any]:
    """Return the readings of the verb forms in the text of a dataset row. This needs hfmm, the scores do not."""
    # Imported by name: `evaluate` demands every package that it finds in an import statement of this file.
    grammar = import_module("hfmm.grammar")
    forms = list(grammar.parse(row["text"]))
    # The group of a row of the verb grid is its cell, which says what an ambiguous form is.
    cell = next((cell for cell in grammar.CELLS if "/".join(cell) == row.get("group")), None)
    cell_spans = {(form.start, form.end) for form in forms if form[:3] == cell}
    readings = [form._asdict() for form in forms if (form.start, form.end) not in cell_spans or form[:3] == cell]
    return {"readings": readings}


def row_statistics(predictions: list[str], references: list[dict[str, Any]]) -> Statistics:
    """Return, for each slice, the forms heard and the forms said in each row, whose quotient of sums is the share.

    ``references`` give the ``text`` and the ``readings`` of each row. A form is heard when its words, lightly
    normalised, are what the alignment sets against them, with none between and no auxiliary that makes another form of
    them: ``worked`` is not heard in ``has worked``. A form on whose tense or person all its readings agree is also in
    the slice ``tense: past``, ``person: 3sg`` and so on. Without any verb form there is no slice. Raises ValueError
    where rows are missing.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    slices: Statistics = {}
    for row, pair in enumerate(zip(predictions, references, strict=True)):
        for form in _align_forms(*pair):
            for name in _slices(form.readings):
                heard, said = slices.setdefault(name, (np.zeros(len(references)), np.zeros(len(references))))
                heard[row] += form.heard
                said[row] += 1
    return dict(sorted(slices.items()))


def confusions(predictions: list[str], references: list[dict[str, Any]], parse: Parse) -> list[Confusion]:
    """Return what the forms that were not heard were taken for, the most frequent first.

    ``parse`` reads the predictions. Among several readings of the same verb those count that agree best with the form;
    without one, the form was taken for ``another word``, or for ``nothing``.
    """
    counts: Counter[tuple[str, str]] = Counter()
    words: dict[tuple[str, str], tuple[str, str]] = {}
    for prediction, reference in zip(predictions, references, strict=True):
        for form in _align_forms(prediction, reference):
            if not form.heard:
                taken_for, heard = _heard_as(form, normalize_words(prediction), parse)
                pair = _name(form.readings), taken_for
                counts[pair] += 1
                words.setdefault(pair, (form.true, heard))
    return [Confusion(*pair, times, *words[pair]) for pair, times in counts.most_common()]


def _align_forms(prediction: str, reference: dict[str, Any]) -> Iterator[AlignedForm]:
    """Yield the verb forms of a reference, in its order."""
    text = reference["text"]
    true, said = normalize_words(text).split(), normalize_words(prediction).split()
    pairs = align(true, said)
    against = {place: other for place, other in pairs if place is not None and other is not None}
    extra = {other for place, other in pairs if place is None}
    for (start, end), readings in groupby(reference["readings"], lambda one: (one["start"], one["end"])):
        # Counting words up to the form's own first letter, because a form may begin inside one: he'll go.
        first, last = len(normalize_words(text[: start + 1]).split()) - 1, len(normalize_words(text[:end]).split())
        places = [against[place] for place in range(first, last) if place in against]
        if not places:
            yield AlignedForm(list(readings), " ".join(true[first:last]), "", 0, heard=False)
            continue
        at, until = places[0], places[-1] + 1
        heard = true[first:last] == said[at:until]
        if last - first == 1:  # has is a form and worked is one, but has worked is a third
            heard = heard and _auxiliary(true, first) == _auxiliary(said, at)
            heard = heard and not (true[first] in AUXILIARIES and until in extra)
        if not heard:
            first, at = _with_auxiliary(true, first), _with_auxiliary(said, at)
        form, words = " ".join(true[first:last]), " ".join(said[at:until])
        yield AlignedForm(list(readings), form, words, len(" ".join([*said[:at], ""])), heard)


def _with_auxiliary(words: list[str], at: int) -> int:
    """Return where a form begins, the auxiliary before it included."""
    return at - 1 if _auxiliary(words, at) and words[at] not in AUXILIARIES else at


def _auxiliary(words: list[str], at: int) -> str:
    """Return the auxiliary, or its contraction, that stands before a place; empty where there is none."""
    before = words[at - 1] if at else ""
    return before if before in AUXILIARIES else next((one for one in CONTRACTIONS if before.endswith(one)), "")


def _slices(readings: list[Reading]) -> list[str]:
    agreed = {name: {one[name] for one in readings} for name in ("tense", "person")}
    return ["", *(f"{name}: {next(iter(values))}" for name, values in agreed.items() if len(values) == 1)]


def _heard_as(form: AlignedForm, text: str, parse: Parse) -> tuple[str, str]:
    """Return the name of what a form was taken for in ``text``, and its words there."""
    if not form.said:
        return "nothing", ""
    lemmas = {one["lemma"] for one in form.readings}
    end = form.place + len(form.said)
    readings = [one._asdict() for one in parse(text) if one.start < end and form.place < one.end]
    # A form that does not agree with its subject, he work, has a reading only by itself.
    for source, found in ((text, readings), (form.said, [one._asdict() for one in parse(form.said)])):
        if same := [one for one in found if one["lemma"] in lemmas]:
            best = max(_agreement(one, form.readings) for one in same)
            chosen = [one for one in same if _agreement(one, form.readings) == best]
            # The alignment may have set only a part against the form, and the parser leaves he out of he'll go.
            words = max(form.said, source[chosen[0]["start"] : chosen[0]["end"]], key=len)
            if words != form.true:
                return _name(chosen), words
    # In he has said, has is the form itself by its words, and part of another.
    around = [text[one["start"] : one["end"]] for one in readings if form.said == form.true]
    return "another word", max([form.said, *around], key=len)


def _agreement(reading: Reading, others: list[Reading]) -> tuple[int, bool]:
    """Return how near a reading comes to the nearest of others; the same tense is nearer than the same person."""
    agreed = [(reading["tense"] == other["tense"], reading["person"] == other["person"]) for other in others]
    return max((tense + person, tense) for tense, person in agreed)


def _name(readings: list[Reading]) -> str:
    """Return the tense and person of readings, such as ``past 3sg`` or ``present 1sg/2sg``; no person means any."""
    tenses, persons = (dict.fromkeys(one[name] for one in readings) for name in ("tense", "person"))
    return "/".join(tenses) + (f" {'/'.join(persons)}" if len(persons) < ALL_PERSONS else "")


def is_share(group: str) -> bool:
    """Tell whether a slice is a share of 1, which reads best in percent: it is."""
    return True


class VerbForm(evaluate.Metric):
    """The `evaluate` face: a text for each row, and the reference's text with the readings of its verb forms."""

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
        return ratio_scores("verb_form", row_statistics(predictions, references), between=" ")
