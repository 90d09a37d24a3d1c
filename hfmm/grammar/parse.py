"""Verb forms found in text: lemma, tense and person, with every reading where a form is syncretic."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from hfmm.grammar.verbs import CELLS, PERSONS, Person, Tense, surface_form

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")

_PRONOUNS: dict[str, tuple[Person, ...]] = {
    "i": ("1sg",),
    "you": ("2sg",),
    "he": ("3sg",),
    "she": ("3sg",),
    "it": ("3sg",),
}
_PERFECT: dict[str, tuple[Person, ...]] = {"have": ("1sg", "2sg"), "has": ("3sg",), "had": PERSONS}
_CONTRACTIONS = {"'ll": "will", "'ve": "have", "'m": "am", "'re": "are"}
_ADVERBS = {"not", "never", "always", "often", "already", "just", "also", "still", "now", "soon"}


class Reading(NamedTuple):
    """One way to read a verb form; ``start`` and ``end`` are its place in the text, auxiliaries included."""

    lemma: str
    tense: Tense
    person: Person
    form: str
    start: int
    end: int


class _Token(NamedTuple):
    text: str
    start: int
    end: int


def parse(text: str) -> list[Reading]:
    """Return every reading of every verb form in ``text``, in the order of the text.

    A pronoun before the verb narrows the persons: ``she works`` has one reading, ``walked`` alone has
    six (past and participle, three persons each), and ``she work`` has none, because no reading agrees.
    A participle takes its person from the subject of the perfect it stands in. Verbs outside the
    universe are analysed by lemminflect; a word that is more often another part of speech counts
    as a verb only behind a pronoun, ``to`` or an auxiliary.
    """
    tokens = list(_tokens(text))
    readings: list[Reading] = []
    at = 0
    while at < len(tokens):
        group, following = _read_verb_group(tokens, at)
        readings += group
        at = following
    return readings


def _tokens(text: str) -> Iterable[_Token]:
    """Split into lower-case words, a contraction such as ``he'll`` into its two."""
    for match in _WORD.finditer(text.replace("’", "'")):
        word, start = match.group().lower(), match.start()
        for ending, full in _CONTRACTIONS.items():
            if word.endswith(ending):
                cut = start + len(word) - len(ending)
                yield _Token(word.removesuffix(ending), start, cut)
                yield _Token(full, cut, match.end())
                break
        else:
            yield _Token(word, start, match.end())


def _read_verb_group(tokens: list[_Token], at: int) -> tuple[list[Reading], int]:
    """Read the verb group that starts at ``at``; return its readings and where to go on."""
    head = tokens[at].text
    subject = _subject(tokens, at)
    persons = _PRONOUNS.get(subject, PERSONS)
    anchored = subject in _PRONOUNS
    main = _skip_adverbs(tokens, at + 1)
    if main < len(tokens):
        if head == "will":
            found = _analyses(tokens[main].text, trusted=True)
            if lemmas := [lemma for lemma, tense, _ in found if tense == "infinitive"]:
                return _readings(tokens, at, main, [(lemma, "future", one) for lemma in lemmas for one in persons])
        if head == "to":
            found = _analyses(tokens[main].text, trusted=True)
            if infinitives := [one for one in found if one[1] == "infinitive"]:
                return _readings(tokens, at, main, infinitives)
        if head in _PERFECT:
            agreeing = [one for one in _PERFECT[head] if one in persons]
            found = _analyses(tokens[main].text, trusted=True)
            if lemmas := [lemma for lemma, tense, _ in found if tense == "participle"]:
                cells = [(lemma, "participle", one) for lemma in dict.fromkeys(lemmas) for one in agreeing]
                return _readings(tokens, at, main, cells)
    found = [
        one
        for one in _analyses(head, trusted=anchored)
        if one[2] in persons and not (anchored and one[1] in ("infinitive", "participle"))
    ]
    return _readings(tokens, at, at, found)


def _subject(tokens: list[_Token], at: int) -> str:
    """Return the word before the verb, adverbs passed over; empty at the start."""
    before = at - 1
    while before >= 0 and tokens[before].text in _ADVERBS:
        before -= 1
    return tokens[before].text if before >= 0 else ""


def _skip_adverbs(tokens: list[_Token], at: int) -> int:
    while at < len(tokens) and tokens[at].text in _ADVERBS:
        at += 1
    return at


Analysis = tuple[str, Tense, Person]


def _readings(
    tokens: list[_Token], first: int, last: int, cells: Iterable[tuple[str, str, str]]
) -> tuple[list[Reading], int]:
    form = " ".join(token.text for token in tokens[first : last + 1])
    start, end = tokens[first].start, tokens[last].end
    return [Reading(*cell, form, start, end) for cell in dict.fromkeys(cells)], last + 1  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _known_forms() -> dict[str, list[Analysis]]:
    """Return every one-word form of the universe with all its cells."""
    forms: dict[str, list[Analysis]] = {}
    for lemma, tense, person in CELLS:
        if tense != "future":
            forms.setdefault(surface_form(lemma, tense, person), []).append((lemma, tense, person))
    return forms


@lru_cache(maxsize=4096)
def _analyses(word: str, trusted: bool) -> list[Analysis]:
    """Return the cells of one word; ``trusted`` when its place says that it is a verb."""
    if word in _known_forms():
        return _known_forms()[word]
    if word in _PRONOUNS or word in _ADVERBS or word in ("to", "will"):
        return []
    return _analyze_unknown_verb(word, trusted)


def _analyze_unknown_verb(word: str, trusted: bool) -> list[Analysis]:
    # Imported here because it loads its tables on import, which a text inside the universe never needs.
    from lemminflect import getAllLemmas, getInflection

    known = getAllLemmas(word)
    if "VERB" not in known or (not trusted and len(known) > 1):
        return []
    found: list[Analysis] = []
    for lemma in known["VERB"]:
        tags: list[tuple[str, Tense, tuple[Person, ...]]] = [
            ("VB", "infinitive", PERSONS),
            ("VBP", "present", ("1sg", "2sg")),
            ("VBZ", "present", ("3sg",)),
            ("VBD", "past", PERSONS),
            ("VBN", "participle", PERSONS),
        ]
        for tag, tense, persons in tags:
            if word in getInflection(lemma, tag):
                found += [(lemma, tense, person) for person in persons]
    return found
