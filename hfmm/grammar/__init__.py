"""English verbs in pure Python: the verb grid, its surface forms, texts about them, and a parser of verb forms."""

from hfmm.grammar.captions import captions, hard_negatives, wrong_captions
from hfmm.grammar.parse import Reading, parse
from hfmm.grammar.verbs import CELLS, LEMMAS, PERSONS, TENSES, Person, Tense, VerbCell, surface_form

__all__ = [
    "CELLS",
    "LEMMAS",
    "PERSONS",
    "TENSES",
    "Person",
    "Reading",
    "Tense",
    "VerbCell",
    "captions",
    "hard_negatives",
    "parse",
    "surface_form",
    "wrong_captions",
]
