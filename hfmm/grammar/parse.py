"""Find verb forms in text: lemma, tense and person, with all readings of an ambiguous form."""

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
    """One reading of a verb form. ``start`` and ``end`` are its character span, auxiliaries included."""

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
    """Return every reading of every verb form in ``text``, in text order.

    A pronoun before the verb restricts the persons: ``she works`` has one reading, ``walked`` alone has six (past and
    participle, three persons each), and ``she work`` has none, because no reading agrees. A participle gets its person
    from the subject of the perfect. Verbs outside the grid are analyzed by lemminflect. A word that can also be another
    part of speech counts as a verb only after a pronoun, ``to`` or an auxiliary.
    """
    tokens = list(_tokens(text))
    readings: list[Reading] = []
    index = 0
    while index < len(tokens):
        group, index = _read_verb_group(tokens, index)
        readings += group
    return readings


def _tokens(text: str) -> Iterable[_Token]:
    """Yield the lower-case words of a text. A contraction such as ``he'll`` yields two."""
    for match in _WORD.finditer(text.replace("’", "'")):
        word, start = match.group().lower(), match.start()
        for suffix, auxiliary in _CONTRACTIONS.items():
            if word.endswith(suffix):
                boundary = start + len(word) - len(suffix)
                yield _Token(word.removesuffix(suffix), start, boundary)
                yield _Token(auxiliary, boundary, match.end())
                break
        else:
            yield _Token(word, start, match.end())


def _read_verb_group(tokens: list[_Token], start: int) -> tuple[list[Reading], int]:
    """Return the readings of the verb group that starts at token ``start``, and the index of the next token."""
    head = tokens[start].text
    subject = _subject(tokens, start)
    persons = _PRONOUNS.get(subject, PERSONS)
    has_pronoun = subject in _PRONOUNS
    main = _skip_adverbs(tokens, start + 1)
    if main < len(tokens):
        if head == "will":
            analyses = _analyses(tokens[main].text, trusted=True)
            if lemmas := [lemma for lemma, tense, _ in analyses if tense == "infinitive"]:
                futures = [(lemma, "future", person) for lemma in lemmas for person in persons]
                return _readings(tokens, start, main, futures)
        if head == "to":
            analyses = _analyses(tokens[main].text, trusted=True)
            if infinitives := [analysis for analysis in analyses if analysis[1] == "infinitive"]:
                return _readings(tokens, start, main, infinitives)
        if head in _PERFECT:
            agreeing = [person for person in _PERFECT[head] if person in persons]
            analyses = _analyses(tokens[main].text, trusted=True)
            if lemmas := [lemma for lemma, tense, _ in analyses if tense == "participle"]:
                perfects = [(lemma, "participle", person) for lemma in dict.fromkeys(lemmas) for person in agreeing]
                return _readings(tokens, start, main, perfects)
    finite = [
        (lemma, tense, person)
        for lemma, tense, person in _analyses(head, trusted=has_pronoun)
        if person in persons and not (has_pronoun and tense in ("infinitive", "participle"))
    ]
    return _readings(tokens, start, start, finite)


def _subject(tokens: list[_Token], verb: int) -> str:
    """Return the last word before the verb that is not an adverb, or an empty string."""
    index = verb - 1
    while index >= 0 and tokens[index].text in _ADVERBS:
        index -= 1
    return tokens[index].text if index >= 0 else ""


def _skip_adverbs(tokens: list[_Token], index: int) -> int:
    while index < len(tokens) and tokens[index].text in _ADVERBS:
        index += 1
    return index


Analysis = tuple[str, Tense, Person]


def _readings(
    tokens: list[_Token], first: int, last: int, cells: Iterable[tuple[str, str, str]]
) -> tuple[list[Reading], int]:
    form = " ".join(token.text for token in tokens[first : last + 1])
    start, end = tokens[first].start, tokens[last].end
    return [Reading(*cell, form, start, end) for cell in dict.fromkeys(cells)], last + 1  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _known_forms() -> dict[str, list[Analysis]]:
    """Return every one-word form of the grid with all its cells."""
    forms: dict[str, list[Analysis]] = {}
    for lemma, tense, person in CELLS:
        if tense != "future":
            forms.setdefault(surface_form(lemma, tense, person), []).append((lemma, tense, person))
    return forms


@lru_cache(maxsize=4096)
def _analyses(word: str, trusted: bool) -> list[Analysis]:
    """Return the analyses of one word. ``trusted`` means that its context marks it as a verb."""
    if word in _known_forms():
        return _known_forms()[word]
    if word in _PRONOUNS or word in _ADVERBS or word in ("to", "will"):
        return []
    return _analyze_unknown_verb(word, trusted)


def _analyze_unknown_verb(word: str, trusted: bool) -> list[Analysis]:
    # Imported here because lemminflect loads its tables on import, and the verbs of the grid do not need them.
    from lemminflect import getAllLemmas, getInflection

    lemmas_by_pos = getAllLemmas(word)
    if "VERB" not in lemmas_by_pos or (not trusted and len(lemmas_by_pos) > 1):
        return []
    analyses: list[Analysis] = []
    for lemma in lemmas_by_pos["VERB"]:
        tags: list[tuple[str, Tense, tuple[Person, ...]]] = [
            ("VB", "infinitive", PERSONS),
            ("VBP", "present", ("1sg", "2sg")),
            ("VBZ", "present", ("3sg",)),
            ("VBD", "past", PERSONS),
            ("VBN", "participle", PERSONS),
        ]
        for tag, tense, persons in tags:
            if word in getInflection(lemma, tag):
                analyses += [(lemma, tense, person) for person in persons]
    return analyses
