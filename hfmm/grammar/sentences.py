"""Sentences for the cells of the verb grid, generated from templates such as ``SUBJ has PARTICIPLE``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hfmm.grammar.verbs import PERSONS, Person, Tense, VerbCell, surface_form

if TYPE_CHECKING:
    import numpy as np


class Template(NamedTuple):
    """A pattern with its tense and persons. SUBJ is the slot of the subject, the other capitals are the verb form."""

    text: str
    tense: Tense
    persons: tuple[Person, ...]


class Sentence(NamedTuple):
    """A sentence with the text of its template and the cell of its verb."""

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

# *It* can come or eat, like a cat. These verbs need a subject that can speak, read or own a key.
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
    """Return the templates that express a cell unambiguously.

    ``You put the key on the table`` can be present or past, so an ambiguous form needs a time expression.
    """
    lemma, tense, person = cell
    syncretic = tense in ("present", "past") and (
        surface_form(lemma, "present", person) == surface_form(lemma, "past", person)
    )
    return tuple(
        template
        for template in TEMPLATES
        if template.tense == tense
        and person in template.persons
        and not (syncretic and template.text.startswith("SUBJ"))
    )


def sentences(cell: VerbCell, complements: bool = True) -> tuple[Sentence, ...]:
    """Return every sentence of a cell: each template with each subject and each complement.

    Without ``complements`` the sentences end with the verb: ``My sister has written.``
    """
    form, slot = surface_form(*cell), _SLOTS[cell.tense]
    endings = [f" {complement}." for complement in _COMPLEMENTS[cell.lemma]] if complements else ["."]
    return tuple(
        Sentence(_capitalize(f"{pattern.replace('SUBJ', subject).replace(slot, form)}{ending}"), pattern, cell)
        for pattern, *_ in templates(cell)
        for subject in _SUBJECTS[cell.person]
        if not (subject == "it" and cell.lemma in _HUMAN_SUBJECT_VERBS)
        for ending in endings
    )


def sentence(cell: VerbCell, rng: np.random.Generator) -> Sentence:
    """Return one sentence of a cell, drawn uniformly."""
    choices = sentences(cell)
    return choices[int(rng.integers(len(choices)))]


def matching_templates(sentence: Sentence) -> tuple[str, ...]:
    """Return the templates that a sentence matches: its own, then the same one without the time expression."""
    others = [template.text for template in TEMPLATES if template.text != sentence.template]
    return (sentence.template, *(pattern for pattern in others if sentence.template.endswith(pattern)))


def verb_group(sentence: Sentence) -> str:
    """Return the words of a sentence that form its verb: ``writes``, ``has written``, ``wants to write``."""
    pattern = sentence.template.partition("SUBJ ")[2]
    return pattern.replace(_SLOTS[sentence.cell.tense], surface_form(*sentence.cell))


def with_verb_group(sentence: Sentence, group: str) -> str:
    """Return the text of a sentence with its verb group replaced."""
    # Subjects and time expressions contain no verb form, so the first match is the verb.
    return sentence.text.replace(f" {verb_group(sentence)}", f" {group}", 1)


def _capitalize(text: str) -> str:
    return text[0].upper() + text[1:]
