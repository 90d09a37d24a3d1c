"""Mistakes in the verb of a sentence: each a wrong sentence beside the right one that it comes from.

None of the wrong sentences is right in another reading: ``She put``, beside ``She puts``, is no mistake but the past.
The right sentence is the nearest, the one that keeps subject, auxiliary and word for the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from hfmm.grammar.sentences import Sentence, sentences, verb_group, with_verb_group
from hfmm.grammar.verbs import PERSONS, Tense, VerbCell, surface_form

MistakeKind = Literal["agreement", "tense", "form", "inflection"]

MISTAKE_KINDS: tuple[MistakeKind, ...] = get_args(MistakeKind)


class Mistake(NamedTuple):
    """A wrong text, what is wrong with its verb, and the right sentence."""

    kind: MistakeKind
    wrong: str
    right: Sentence


# What comes of inflecting by rule, or of spelling by ear where the rule is right.
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

# Words that are right behind the auxiliary of a tense after all: `She has work at night`, `He can saw`.
_ACCIDENTALLY_CORRECT: dict[Tense, tuple[str, ...]] = {
    "participle": ("work", "study"),
    "infinitive": ("saw",),
    "future": ("saw",),
}

# A word for the time, the tenses that clash with it, and the tense whose form would be right there after all.
_CLASHES: dict[str, tuple[tuple[Tense, ...], Tense]] = {
    "last week": (("present", "future"), "past"),
    "next week": (("past",), "present"),  # `Next week I put the key back` tells a plan
}


def mistakes(cell: VerbCell, kind: MistakeKind, complements: bool = True) -> tuple[Mistake, ...]:
    """Return every mistake of a kind in every sentence of a cell; none where the cell cannot be got wrong that way."""
    return tuple(
        Mistake(kind, with_verb_group(one, group), one)
        for one in sentences(cell, complements)
        for group in _WRONG_GROUPS[kind](one)
    )


def _agreement(one: Sentence) -> list[str]:
    """Return the groups that go with another person: ``write`` for ``writes``, ``have written`` for ``has written``."""
    lemma, tense, person = one.cell
    first, *rest = verb_group(one).split()
    if tense in ("present", "past"):
        forms = dict.fromkeys(surface_form(lemma, tense, other) for other in PERSONS)
        return [form for form in forms if form not in (first, surface_form(lemma, "past", person))]
    return [" ".join([_NUMBER_AGREEMENT[first], *rest])] if first in _NUMBER_AGREEMENT else []


def _tense(one: Sentence) -> list[str]:
    """Return the groups that clash with the word for the time: ``Last week I write``."""
    lemma, _, person = one.cell
    clashing, fitting = _CLASHES.get(one.template.partition(" SUBJ")[0], ((), "past"))
    forms = (surface_form(lemma, tense, person) for tense in clashing)
    return [form for form in forms if form != surface_form(lemma, fitting, person)]


def _form(one: Sentence) -> list[str]:
    """Return the groups with another form behind the auxiliary: ``has wrote``, ``can went``, ``will goes``."""
    lemma, tense, person = one.cell
    *auxiliaries, right = verb_group(one).split()
    if not auxiliaries:
        return []
    others: tuple[Tense, ...] = ("infinitive", "past") if tense == "participle" else ("present", "past", "participle")
    forms = dict.fromkeys(surface_form(lemma, other, person) for other in others)
    return [" ".join([*auxiliaries, form]) for form in forms if form not in (right, *_ACCIDENTALLY_CORRECT[tense])]


def _inflection(one: Sentence) -> list[str]:
    """Return the group with a form that does not exist: ``goed``, ``has writed``, ``studys``."""
    lemma, tense, person = one.cell
    *auxiliaries, _ = verb_group(one).split()
    if tense in ("past", "participle"):
        return [" ".join([*auxiliaries, _MISINFLECTED_ED[lemma]])]
    return [_MISINFLECTED_S[lemma]] if tense == "present" and person == "3sg" and lemma in _MISINFLECTED_S else []


_WRONG_GROUPS: dict[MistakeKind, Callable[[Sentence], list[str]]] = {
    "agreement": _agreement,
    "tense": _tense,
    "form": _form,
    "inflection": _inflection,
}
