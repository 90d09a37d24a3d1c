"""Sentences over the verb universe, each an instance of a grammar template such as ``SUBJ has PARTICIPLE``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hfmm.grammar.verbs import PERSONS, Person, Tense, VerbCell, surface_form

if TYPE_CHECKING:
    import numpy as np


class Template(NamedTuple):
    """A pattern, and the cells that it can say; SUBJ stands for the subject, the other capitals for the form."""

    text: str
    tense: Tense
    persons: tuple[Person, ...]


class Sentence(NamedTuple):
    """A sentence, the text of its template, and the cell of its verb."""

    text: str
    template: str
    cell: VerbCell


TEMPLATES: tuple[Template, ...] = (
    Template("SUBJ can VERB", "infinitive", PERSONS),
    Template("SUBJ want to VERB", "infinitive", ("1sg", "2sg")),
    Template("SUBJ wants to VERB", "infinitive", ("3sg",)),
    Template("SUBJ PRESENT", "present", PERSONS),
    Template("in summer SUBJ PRESENT", "present", PERSONS),
    Template("SUBJ PAST", "past", PERSONS),
    Template("last week SUBJ PAST", "past", PERSONS),
    Template("SUBJ have PARTICIPLE", "participle", ("1sg", "2sg")),
    Template("SUBJ has PARTICIPLE", "participle", ("3sg",)),
    Template("SUBJ had PARTICIPLE", "participle", PERSONS),
    Template("SUBJ will VERB", "future", PERSONS),
    Template("next week SUBJ will VERB", "future", PERSONS),
)

_SLOTS: dict[Tense, str] = {
    "infinitive": "VERB",
    "present": "PRESENT",
    "past": "PAST",
    "participle": "PARTICIPLE",
    "future": "will VERB",
}

_SUBJECTS: dict[Person, tuple[str, ...]] = {
    "1sg": ("I",),
    "2sg": ("you",),
    "3sg": ("he", "she", "it", "my sister", "the teacher", "our neighbour"),
}

# A cat may come or eat; with these verbs *it* would have to be able to speak, read or own a key.
_HUMAN_SUBJECT_VERBS = {"have", "do", "say", "take", "give", "write", "speak", "read", "put", "play", "study"}

_COMPLEMENTS: dict[str, tuple[str, ...]] = {
    "be": ("tired", "ready", "at home", "in the garden", "very quiet"),
    "have": ("a garden", "an old car", "two brothers", "time for tea"),
    "do": ("the right thing", "the washing", "nothing at all", "a good job"),
    "go": ("to the market", "home", "up the hill", "down to the river"),
    "say": ("hello", "nothing", "a few words", "good night to the children"),
    "see": ("a bird", "the sea", "an owl", "a ship on the river"),
    "come": ("home", "to the party", "back early", "by train"),
    "take": ("the bus", "an apple", "a short break", "the last train"),
    "give": ("them an apple", "me a book", "the dog a bone", "a talk at school"),
    "write": ("a letter", "an essay", "two poems", "to a friend"),
    "speak": ("English", "to the class", "in a loud voice", "about the weather"),
    "read": ("a book", "the newspaper", "an old letter", "a story to the children"),
    "eat": ("an apple", "breakfast", "some bread", "a bowl of soup"),
    "put": ("the key on the table", "a cup on the shelf", "the milk in the fridge", "an egg in the pan"),
    "work": ("in the garden", "very hard", "at night", "with great care"),
    "walk": ("to the station", "along the river", "in the park", "very slowly"),
    "play": ("chess", "the piano", "football in the park", "a new game"),
    "study": ("history", "the map", "in the library", "an old language"),
    "stop": ("at the corner", "for a moment", "near the bridge", "all at once"),
    "live": ("by the sea", "in the city", "on a small farm", "near an old mill"),
}


def templates(cell: VerbCell) -> tuple[Template, ...]:
    """Return the templates that say a cell and no other cell of its verb.

    ``You put the key on the table`` may be present or past, so there the word for the time must be said.
    """
    lemma, tense, person = cell
    syncretic = tense in ("present", "past") and (
        surface_form(lemma, "present", person) == surface_form(lemma, "past", person)
    )
    return tuple(
        one
        for one in TEMPLATES
        if one.tense == tense and person in one.persons and not (syncretic and one.text.startswith("SUBJ"))
    )


def sentences(cell: VerbCell, complements: bool = True) -> tuple[Sentence, ...]:
    """Return every sentence that says a cell: each template with each subject and each complement.

    Without ``complements`` they end with the verb: ``My sister has written.``
    """
    form, slot = surface_form(*cell), _SLOTS[cell.tense]
    return tuple(
        Sentence(_capitalised(f"{one.text.replace('SUBJ', subject).replace(slot, form)}{complement}."), one.text, cell)
        for one in templates(cell)
        for subject in _SUBJECTS[cell.person]
        if not (subject == "it" and cell.lemma in _HUMAN_SUBJECT_VERBS)
        for complement in ((f" {one}" for one in _COMPLEMENTS[cell.lemma]) if complements else ("",))
    )


def sentence(cell: VerbCell, rng: np.random.Generator) -> Sentence:
    """Return one of the sentences that say a cell, drawn evenly."""
    choices = sentences(cell)
    return choices[int(rng.integers(len(choices)))]


def matching_templates(one: Sentence) -> tuple[str, ...]:
    """Return the templates that a sentence fits: its own, then the one that it has without the word for the time."""
    others = [other.text for other in TEMPLATES if other.text != one.template]
    return (one.template, *(other for other in others if one.template.endswith(other)))


def verb_group(one: Sentence) -> str:
    """Return the words of a sentence that stand for its verb: ``writes``, ``has written``, ``wants to write``."""
    pattern = one.template.partition("SUBJ ")[2]
    return pattern.replace(_SLOTS[one.cell.tense], surface_form(*one.cell))


def with_verb_group(one: Sentence, group: str) -> str:
    """Return the text of a sentence with other words for its verb."""
    # No subject and no word for the time holds a verb form, so the first match is the verb.
    return one.text.replace(f" {verb_group(one)}", f" {group}", 1)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
