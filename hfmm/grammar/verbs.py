"""The verb grid: 20 common English verbs, five tenses and three persons, with every surface form."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Tense = Literal["infinitive", "present", "past", "participle", "future"]
Person = Literal["1sg", "2sg", "3sg"]

TENSES: tuple[Tense, ...] = get_args(Tense)
PERSONS: tuple[Person, ...] = get_args(Person)


class PrincipalParts(NamedTuple):
    """The forms from which all others are derived. Only *be* has further forms for other persons."""

    present_3sg: str
    past: str
    participle: str


VERBS: dict[str, PrincipalParts] = {
    "be": PrincipalParts("is", "was", "been"),
    "have": PrincipalParts("has", "had", "had"),
    "do": PrincipalParts("does", "did", "done"),
    "go": PrincipalParts("goes", "went", "gone"),
    "say": PrincipalParts("says", "said", "said"),
    "see": PrincipalParts("sees", "saw", "seen"),
    "come": PrincipalParts("comes", "came", "come"),
    "take": PrincipalParts("takes", "took", "taken"),
    "give": PrincipalParts("gives", "gave", "given"),
    "write": PrincipalParts("writes", "wrote", "written"),
    "speak": PrincipalParts("speaks", "spoke", "spoken"),
    "read": PrincipalParts("reads", "read", "read"),
    "eat": PrincipalParts("eats", "ate", "eaten"),
    "put": PrincipalParts("puts", "put", "put"),
    "work": PrincipalParts("works", "worked", "worked"),
    "walk": PrincipalParts("walks", "walked", "walked"),
    "play": PrincipalParts("plays", "played", "played"),
    "study": PrincipalParts("studies", "studied", "studied"),
    "stop": PrincipalParts("stops", "stopped", "stopped"),
    "live": PrincipalParts("lives", "lived", "lived"),
}

LEMMAS: tuple[str, ...] = tuple(VERBS)

_FORMS_OF_BE: dict[tuple[Tense, Person], str] = {
    ("present", "1sg"): "am",
    ("present", "2sg"): "are",
    ("past", "2sg"): "were",
}


class VerbCell(NamedTuple):
    """A cell of the grid: a verb in a tense and a person."""

    lemma: str
    tense: Tense
    person: Person


CELLS: tuple[VerbCell, ...] = tuple(
    VerbCell(lemma, tense, person) for lemma in LEMMAS for tense in TENSES for person in PERSONS
)


def surface_form(lemma: str, tense: Tense, person: Person) -> str:
    """Return the surface form of a cell, such as ``does``, ``went``, ``written`` or ``will have``.

    The infinitive and the participle do not depend on the person. Raises KeyError for a verb outside the grid.
    """
    parts = VERBS[lemma]
    if lemma == "be" and (tense, person) in _FORMS_OF_BE:
        return _FORMS_OF_BE[tense, person]
    match tense:
        case "infinitive":
            return lemma
        case "present":
            return parts.present_3sg if person == "3sg" else lemma
        case "past":
            return parts.past
        case "participle":
            return parts.participle
        case "future":
            return f"will {lemma}"
