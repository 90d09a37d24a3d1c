"""Pairs of a sentence with a wrong verb and its correction.

A wrong sentence is wrong in every reading: ``She put`` is not a mistake for ``She puts``, because it is a correct past.
The correction is the closest correct sentence. It keeps the subject, the auxiliary and the time expression.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from hfmm.grammar.sentences import Sentence, sentences, verb_group, with_verb_group
from hfmm.grammar.verbs import PERSONS, Tense, VerbCell, surface_form

MistakeKind = Literal["agreement", "tense", "form", "inflection"]

MISTAKE_KINDS: tuple[MistakeKind, ...] = get_args(MistakeKind)


class Mistake(NamedTuple):
    """The kind of a mistake, the wrong text, and the correct sentence."""

    kind: MistakeKind
    wrong: str
    right: Sentence


# Regular inflection of irregular verbs, and phonetic spelling of regular ones.
_MISINFLECTED_ED: dict[str, str] = {
    "be": "beed", "have": "haved", "do": "doed", "go": "goed", "say": "sayed", "see": "seened", "come": "comed",
    "take": "taked", "give": "gived", "write": "writed", "speak": "speaked", "read": "readed", "eat": "eated",
    "put": "puted", "work": "workt", "walk": "walkt", "play": "plaied", "study": "studyed", "stop": "stoped",
    "live": "liveed",
}  # fmt: skip
_MISINFLECTED_S: dict[str, str] = {
    "be": "bes", "have": "haves", "do": "dos", "go": "gos", "say": "saies", "play": "plaies", "study": "studys",
}  # fmt: skip

_NUMBER_AGREEMENT = {"have": "has", "has": "have", "want": "wants", "wants": "want"}

# Forms that are accidentally correct after the auxiliary of a tense: `She has work at night`, `He can saw`.
_ACCIDENTALLY_CORRECT: dict[Tense, tuple[str, ...]] = {
    "participle": ("work", "study"),
    "infinitive": ("saw",),
    "future": ("saw",),
}

# For each time expression: the tenses that clash with it, and the tense whose form would be correct nevertheless.
_CLASHES: dict[str, tuple[tuple[Tense, ...], Tense]] = {
    "last week": (("present", "future"), "past"),
    "next week": (("past",), "present"),  # `Next week I put the key back` is a plan
}


def mistakes(cell: VerbCell, kind: MistakeKind, complements: bool = True) -> tuple[Mistake, ...]:
    """Return every mistake of a kind in every sentence of a cell. The result is empty if the cell allows none."""
    return tuple(
        Mistake(kind, with_verb_group(sentence, group), sentence)
        for sentence in sentences(cell, complements)
        for group in _WRONG_GROUPS[kind](sentence)
    )


def _agreement(sentence: Sentence) -> list[str]:
    """Return the verb groups of another person: ``write`` for ``writes``, ``have written`` for ``has written``."""
    lemma, tense, person = sentence.cell
    first, *rest = verb_group(sentence).split()
    if tense in ("present", "past"):
        forms = dict.fromkeys(surface_form(lemma, tense, other) for other in PERSONS)
        return [form for form in forms if form not in (first, surface_form(lemma, "past", person))]
    return [" ".join([_NUMBER_AGREEMENT[first], *rest])] if first in _NUMBER_AGREEMENT else []


def _tense(sentence: Sentence) -> list[str]:
    """Return the verb groups that clash with the time expression: ``Last week I write``."""
    lemma, _, person = sentence.cell
    clashing_tenses, correct_tense = _CLASHES.get(sentence.template.partition(" SUBJ")[0], ((), "past"))
    forms = (surface_form(lemma, tense, person) for tense in clashing_tenses)
    return [form for form in forms if form != surface_form(lemma, correct_tense, person)]


def _form(sentence: Sentence) -> list[str]:
    """Return the verb groups with another form after the auxiliary: ``has wrote``, ``can went``, ``will goes``."""
    lemma, tense, person = sentence.cell
    *auxiliaries, main_verb = verb_group(sentence).split()
    if not auxiliaries:
        return []
    tenses: tuple[Tense, ...] = ("infinitive", "past") if tense == "participle" else ("present", "past", "participle")
    forms = dict.fromkeys(surface_form(lemma, other, person) for other in tenses)
    correct = (main_verb, *_ACCIDENTALLY_CORRECT[tense])
    return [" ".join([*auxiliaries, form]) for form in forms if form not in correct]


def _inflection(sentence: Sentence) -> list[str]:
    """Return the verb group with a form that does not exist: ``goed``, ``has writed``, ``studys``."""
    lemma, tense, person = sentence.cell
    *auxiliaries, _ = verb_group(sentence).split()
    if tense in ("past", "participle"):
        return [" ".join([*auxiliaries, _MISINFLECTED_ED[lemma]])]
    return [_MISINFLECTED_S[lemma]] if tense == "present" and person == "3sg" and lemma in _MISINFLECTED_S else []


_WRONG_GROUPS: dict[MistakeKind, Callable[[Sentence], list[str]]] = {
    "agreement": _agreement,
    "tense": _tense,
    "form": _form,
    "inflection": _inflection,
}
