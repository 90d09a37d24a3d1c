"""Captions for the cells of the verb grid, for image-text retrieval.

A caption can be correct for several cells (``you put``). A text is correct for a cell exactly when ``captions(cell)``
contains it, whichever cell it was drawn for.
"""

from __future__ import annotations

from hfmm.grammar.verbs import CELLS, Person, Tense, VerbCell, surface_form

SUBJECTS: dict[Person, tuple[str, ...]] = {"1sg": ("I",), "2sg": ("you",), "3sg": ("he", "she", "it")}
OBJECTS: dict[Person, tuple[str, ...]] = {"1sg": ("me",), "2sg": ("you",), "3sg": ("him", "her", "it")}

TENSE_NAMES: dict[Tense, str] = {
    "infinitive": "infinitive",
    "present": "present simple",
    "past": "past simple",
    "participle": "past participle",
    "future": "future simple",
}
_PERSONS: dict[Person, str] = {
    "1sg": "1st person singular",
    "2sg": "2nd person singular",
    "3sg": "3rd person singular",
}


def captions(cell: VerbCell) -> tuple[str, ...]:
    """Return the captions of a cell without duplicates. The first is not a caption of any other cell."""
    tense, form = TENSE_NAMES[cell.tense], surface_form(*cell)
    texts = [
        description(cell),
        *phrases(cell),
        f"{tense} of {cell.lemma}, {'/'.join(SUBJECTS[cell.person])}",
        f"{tense} of {cell.lemma}",
        form,
    ]
    if cell.tense == "infinitive":
        texts.append(f"to {form}")
    return tuple(dict.fromkeys(texts))


def description(cell: VerbCell) -> str:
    """Return the grammatical description of a cell, such as ``3rd person singular present simple of work``."""
    tense, person = TENSE_NAMES[cell.tense], _PERSONS[cell.person]
    if cell.tense in ("infinitive", "participle"):
        return f"{tense} of {cell.lemma}, {person}"
    return f"{person} {tense} of {cell.lemma}"


def phrases(cell: VerbCell) -> tuple[str, ...]:
    """Return the form with each pronoun of its person: ``he works``, ``he has worked``, ``for him to work``."""
    return clauses(surface_form(*cell), cell.tense, cell.person)


def clauses(form: str, tense: Tense, person: Person) -> tuple[str, ...]:
    """Return a clause for each pronoun of the person, given the form of any verb in that tense and person.

    A participle gets its person from the perfect, an infinitive from *for*.
    """
    match tense:
        case "infinitive":
            return tuple(f"for {pronoun} to {form}" for pronoun in OBJECTS[person])
        case "participle":
            perfect = surface_form("have", "present", person)
            return tuple(f"{pronoun} {perfect} {form}" for pronoun in SUBJECTS[person])
        case _:
            return tuple(f"{pronoun} {form}" for pronoun in SUBJECTS[person])


def as_sentence(clause: str) -> str:
    """Return a clause as a sentence: capitalized, with a full stop."""
    return f"{clause[0].upper()}{clause[1:]}."


def hard_negatives(cell: VerbCell) -> tuple[VerbCell, ...]:
    """Return the cells of the same verb that differ only in the tense or only in the person."""
    return tuple(
        other
        for other in CELLS
        if other.lemma == cell.lemma and (other.tense == cell.tense) != (other.person == cell.person)
    )


def wrong_captions(cell: VerbCell) -> tuple[str, ...]:
    """Return the captions of a cell's hard negatives that are not captions of the cell itself, without duplicates."""
    correct = set(captions(cell))
    texts = (text for other in hard_negatives(cell) for text in captions(other))
    return tuple(dict.fromkeys(text for text in texts if text not in correct))
