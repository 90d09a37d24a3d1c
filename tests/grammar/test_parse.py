import pytest

from hfmm.grammar import CELLS, VerbCell, parse, surface_form

PRONOUN = {"1sg": "I", "2sg": "you", "3sg": "she"}


def cells(text: str) -> set[tuple[str, str, str]]:
    return {(reading.lemma, reading.tense, reading.person) for reading in parse(text)}


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_surface_form_is_read_back(cell: VerbCell) -> None:
    assert cell in cells(surface_form(*cell))


@pytest.mark.parametrize("cell", [cell for cell in CELLS if cell[1] in ("present", "past", "future")], ids="-".join)
def test_behind_its_pronoun_a_finite_form_has_only_readings_of_that_person(cell: VerbCell) -> None:
    found = cells(f"{PRONOUN[cell[2]]} {surface_form(*cell)}")
    assert cell in found
    assert {person for _, _, person in found} == {cell[2]}


def test_syncretic_forms_keep_all_their_readings() -> None:
    assert len(cells("walked")) == 6
    assert {tense for _, tense, _ in cells("put")} == {"infinitive", "present", "past", "participle"}
    assert cells("I put") == {("put", "present", "1sg"), ("put", "past", "1sg")}
    assert cells("she put") == {("put", "past", "3sg")}


def test_a_form_that_does_not_agree_has_no_reading() -> None:
    assert parse("she work") == []
    assert parse("I goes") == []


def test_auxiliaries_make_one_group_with_their_verb() -> None:
    (reading,) = parse("He has never written it.")
    assert reading[:4] == ("write", "participle", "3sg", "has never written")
    assert "He has never written it."[reading.start : reading.end] == "has never written"
    assert cells("I'll go") == {("go", "future", "1sg")}
    assert cells("to be") == {("be", "infinitive", person) for person in ("1sg", "2sg", "3sg")}


def test_have_by_itself_is_a_main_verb() -> None:
    assert cells("I have a pen") == {("have", "present", "1sg")}


def test_verbs_outside_the_universe_are_analysed() -> None:
    assert cells("she jumps") == {("jump", "present", "3sg")}
    assert cells("they will sing") >= {("sing", "future", "3sg")}


def test_a_noun_is_not_taken_for_a_verb() -> None:
    assert parse("the table") == []
