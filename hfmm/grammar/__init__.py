"""The domain in pure Python: the verb universe, its surface forms, and verb forms found in text."""

from hfmm.grammar.parse import Reading, parse
from hfmm.grammar.verbs import CELLS, LEMMAS, PERSONS, TENSES, Cell, Person, Tense, surface_form

__all__ = ["CELLS", "LEMMAS", "PERSONS", "TENSES", "Cell", "Person", "Reading", "Tense", "parse", "surface_form"]
