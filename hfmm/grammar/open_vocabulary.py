"""English sentences without the 20 verbs of the grid, for pretraining.

No word in them is a form of the 20 verbs. This excludes the perfect, the progressive and the passive. The sentences
combine 330 verbs with people, things, places and times, so that all sounds and letters of English occur.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import lru_cache
from random import Random

from hfmm.grammar.captions import OBJECTS, SUBJECTS, as_sentence, clauses
from hfmm.grammar.verbs import CELLS, PERSONS, Person, Tense, VerbCell, surface_form

SENTENCES_PER_CELL = 6  # sentences per verb, tense and person
MAX_VERB_LETTERS = 6  # of the verb in a phrase; the 20 verbs are short too
OUTSIDE_TENSES: tuple[Tense, ...] = ("infinitive", "present", "past", "future")


def _split_list(text: str, separator: str | None = None) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(separator))


INTRANSITIVE = _split_list(
    """
    appear arrive behave blush bow breathe camp cheer climb complain cough crawl cry dance disappear dive dream drift
    escape faint fall flee float fly freeze frown gallop giggle grin grow grumble hesitate hide hop hurry improve
    juggle jump kneel knock laugh lean leap leave lie listen march melt moan mumble nod panic paint pause practise
    pray race relax rest return ride rise row run rush sail scream shake shiver shout shrug sigh sing sink sit skate
    sketch sleep slide slip smile snarl sneeze snore stand stare stay stumble succeed swear sweat swim tremble travel
    vanish wait wake wander wave weep whisper whistle win wink worry yawn yell
    """
)
TRANSITIVE_INANIMATE = _split_list(
    """
    admire bake bend blow boil borrow break bring brush build burn buy carry catch change choose chop clean close
    collect cook copy count cover cross cut decorate deliver describe design destroy dig discover draw drop dry earn
    empty enjoy examine explore fetch fill find finish fix fold forget gather get grab grind guard hang hate hear hide
    hold imagine inspect iron keep kick knit launch leave lend lift like load lock lose love make mark measure mend
    mention miss mix move need notice offer open order own pack paint peel pick plan plant polish pour prepare prefer
    print protect prove pull push raise reach receive refuse remember remove rent repair replace return roll rub save
    scratch sell send sew shake share show shut sign sketch smash smell solve sort spill split spread squeeze steal
    stir stretch sweep swing taste tear throw tie touch trade translate try turn unfold untie use visit want wash
    waste watch water weigh wind wipe wrap
    """
)
TRANSITIVE_ANIMATE = _split_list(
    """
    advise amuse annoy answer ask avoid beat believe blame bother call chase cheat comfort congratulate convince
    embarrass encourage entertain fear feed fight find follow forget forgive frighten greet guide hate hear help hug
    ignore impress interrupt introduce invite join judge kiss know lead leave like love marry meet miss need notice
    obey phone please praise promise protect punish push question recognise remember remind rescue respect reward
    scare serve shock support surprise teach tease thank touch trick trust understand upset visit warn watch
    welcome
    """
)
_PEOPLE = _split_list(
    """
    my uncle; her grandmother; the young doctor; Anna; Victor; our cousin; the queen; a shy boy; the jealous king;
    Zoe; Jack; the captain; a brave soldier; his daughter; the judge; the baker; an old fisherman; the chief engineer;
    their nephew; Mister Brown; the girl next door; a tall stranger; the dentist; Charlotte; Felix; the youngest
    pupil; the whole orchestra; a huge giraffe; the quiet fox; that zebra; the yellow parrot; our thirsty horse; the
    measuring machine
    """,
    ";",
)
_THINGS = _split_list(
    """
    the bicycle; a heavy box; the blue jacket; an orange; eleven eggs; the broken vase; both windows; a thousand
    coins; the kitchen floor; fresh bread; some chocolate; her new violin; the wooden chair; his passport; the
    birthday present; a cheap watch; their tent; twelve roses; the exam paper; a pair of gloves; the spicy noodles;
    that huge umbrella; the leather suitcase; a silver spoon; my telephone; the toy ship; a jar of honey; the village
    church; every question; the whole pizza; a quiet evening; cold water; the garage door; seven oysters; a beautiful
    picture; these mushrooms; the thick rope
    """,
    ";",
)
_PLACES = _split_list(
    """
    in the kitchen; under the bridge; behind the old theatre; near the airport; at the zoo; across the ocean; on the
    roof; in Africa; between two mountains; outside the museum; at university; on a desert island; in front of the
    mirror; through the jungle; beside the motorway; at the edge of the forest; upstairs; in the hospital; around the
    corner; over the fence
    """,
    ";",
)
_MANNERS = _split_list(
    """
    quickly; with joy; without a sound; again and again; rather badly; for an hour; like a child; with both hands; for
    the fourth time; very carefully; together; as usual; just for fun; in silence; with great pleasure; much too fast;
    almost every day
    """,
    ";",
)
_TIMES: dict[Tense, tuple[str, ...]] = {
    "infinitive": ("sometimes", "after lunch", "at midnight", "on Thursday", "in January"),
    "present": ("every morning", "twice a week", "at noon", "in winter", "on Sundays", "usually", "as a rule"),
    "past": ("yesterday", "last night", "three years ago", "on Tuesday", "in August", "at once", "before the war"),
    "future": ("tomorrow", "next month", "in a few minutes", "on Friday", "sooner or later", "one day", "this evening"),
}
_MODALS = ("can", "could", "must", "should", "may", "might", "would")
_CATENATIVES = ("want", "need", "try", "hope", "plan", "learn", "refuse", "decide", "love")


@lru_cache(maxsize=1)
def open_vocabulary_sentences() -> tuple[tuple[VerbCell, str], ...]:
    """Return about 23,000 distinct sentences, each with its verb, tense and person. The result is deterministic."""
    rng = Random(0)
    lemmas = sorted({*INTRANSITIVE, *TRANSITIVE_INANIMATE, *TRANSITIVE_ANIMATE})
    cells = [VerbCell(lemma, tense, person) for lemma in lemmas for tense in OUTSIDE_TENSES for person in PERSONS]
    cell_by_text = {text: cell for cell in cells for text in _sentences(cell, rng)}
    return tuple((cell, text) for text, cell in cell_by_text.items())


@lru_cache(maxsize=1)
def open_vocabulary_phrases() -> tuple[tuple[VerbCell, str], ...]:
    """Return phrases of a pronoun and a verb form (``She weaves.``) for all short English verbs except the 20.

    Each comes with its cell. There are too many verbs to memorize, so a transcriber has to listen.
    """
    cells = (VerbCell(lemma, tense, person) for lemma in _verbs() for tense in OUTSIDE_TENSES for person in PERSONS)
    cell_by_text = {
        as_sentence(clause): cell for cell in cells for clause in clauses(_surface_form(cell), cell.tense, cell.person)
    }
    return tuple((cell, text) for text, cell in cell_by_text.items())


def _verbs() -> list[str]:
    """Return the short verbs that lemminflect inflects, except those that share a form with one of the 20 verbs."""
    from lemminflect import Inflections

    grid_words = {word for cell in CELLS for word in surface_form(*cell).split()}
    with gzip.open(Inflections().infl_lu_fn, "rt", encoding="utf-8") as table:
        rows = [line.rstrip("\n").split(",") for line in table]
    forms = {lemma: {lemma, *"/".join(others).split("/")} for lemma, kind, *others in rows if kind == "verb"}
    return sorted(
        lemma
        for lemma, words in forms.items()
        if len(lemma) <= MAX_VERB_LETTERS
        and lemma.islower()
        and all(map(str.isalpha, words - {""}))
        and not words & grid_words
    )


def has_unambiguous_tense(cell: VerbCell, text: str) -> bool:
    """Check that a sentence has one verb in a form of one tense. *wants to jump* and *I cut the bread* do not."""
    if cell.tense == "infinitive":
        return any(f" {modal} {cell.lemma}" in text for modal in _MODALS)
    return cell.tense == "future" or _inflected(cell.lemma, "past", cell.person) != cell.lemma


def _sentences(cell: VerbCell, rng: Random) -> Iterator[str]:
    complements = [(*_PLACES, *_MANNERS, *[""] * 8)] if cell.lemma in INTRANSITIVE else []
    complements += [_THINGS] if cell.lemma in TRANSITIVE_INANIMATE else []
    complements += [(*_PEOPLE, "him", "her", "them", "us")] if cell.lemma in TRANSITIVE_ANIMATE else []
    for _ in range(SENTENCES_PER_CELL):
        complement = rng.choice(rng.choice(complements))
        if cell.tense == "infinitive" and rng.random() < 0.3:
            clause = f"for {rng.choice(OBJECTS[cell.person])} to {cell.lemma} {complement}"
        else:
            subject = rng.choice((*SUBJECTS[cell.person], *(_PEOPLE if cell.person == "3sg" else ())))
            clause = f"{subject} {_verb_group(cell, rng)} {complement}"
        if rng.random() < 0.35:
            time = rng.choice(_TIMES[cell.tense])
            clause = f"{time} {clause}" if rng.random() < 0.5 else f"{clause} {time}"
        yield as_sentence(" ".join(clause.split()))


def _verb_group(cell: VerbCell, rng: Random) -> str:
    """Return the verb with its auxiliaries: ``jumps``, ``will jump``, ``might jump``."""
    match cell.tense:
        case "infinitive" if rng.random() < 0.5:
            return f"{rng.choice(_MODALS)} {cell.lemma}"
        case "infinitive":
            return f"{_inflected(rng.choice(_CATENATIVES), 'present', cell.person)} to {cell.lemma}"
        case _:
            return _surface_form(cell)


def _surface_form(cell: VerbCell) -> str:
    match cell.tense:
        case "infinitive":
            return cell.lemma
        case "future":
            return f"will {cell.lemma}"
        case tense:
            return _inflected(cell.lemma, tense, cell.person)


def _inflected(lemma: str, tense: Tense, person: Person) -> str:
    # Imported here because lemminflect loads its tables on import.
    from lemminflect import getInflection

    if tense == "present" and person != "3sg":
        return lemma
    form: str = getInflection(lemma, "VBZ" if tense == "present" else "VBD")[0]
    return form
