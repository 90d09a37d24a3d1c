import pytest

from hfmm.grammar import CELLS, VerbCell, parse, surface_form

PRONOUNS = {"1sg": "I", "2sg": "you", "3sg": "she"}


def cells(text: str) -> set[tuple[str, str, str]]:
    return {(reading.lemma, reading.tense, reading.person) for reading in parse(text)}


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_surface_form_parses_to_its_cell(cell: VerbCell) -> None:
    assert cell in cells(surface_form(*cell))


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell.tense in ("present", "past", "future")], ids="-".join)
def test_pronoun_restricts_a_finite_form_to_its_person(cell: VerbCell) -> None:
    readings = cells(f"{PRONOUNS[cell.person]} {surface_form(*cell)}")
    assert cell in readings
    assert {person for _, _, person in readings} == {cell.person}


def test_ambiguous_form_has_all_its_readings() -> None:
    assert len(cells("walked")) == 6
    assert {tense for _, tense, _ in cells("put")} == {"infinitive", "present", "past", "participle"}
    assert cells("I put") == {("put", "present", "1sg"), ("put", "past", "1sg")}
    assert cells("she put") == {("put", "past", "3sg")}


def test_form_that_does_not_agree_has_no_reading() -> None:
    assert parse("she work") == []
    assert parse("I goes") == []


def test_auxiliary_and_verb_form_one_group() -> None:
    (reading,) = parse("He has never written it.")
    assert reading[:4] == ("write", "participle", "3sg", "has never written")
    assert "He has never written it."[reading.start : reading.end] == "has never written"
    assert cells("I'll go") == {("go", "future", "1sg")}
    assert cells("to be") == {("be", "infinitive", person) for person in ("1sg", "2sg", "3sg")}


def test_have_without_participle_is_a_main_verb() -> None:
    assert cells("I have a pen") == {("have", "present", "1sg")}


def test_verbs_outside_the_grid_are_analyzed() -> None:
    assert cells("she jumps") == {("jump", "present", "3sg")}
    assert cells("they will sing") >= {("sing", "future", "3sg")}


def test_noun_has_no_reading() -> None:
    assert parse("the table") == []
