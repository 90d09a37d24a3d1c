import pytest

from hfmm.grammar import CELLS, VerbCell, captions, hard_negatives, parse, wrong_captions


def test_first_caption_is_unique_to_its_cell() -> None:
    for cell in CELLS:
        assert [other for other in CELLS if captions(cell)[0] in captions(other)] == [cell]


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_caption_parses_to_its_cell(cell: VerbCell) -> None:
    tense = {"participle": "past participle", "infinitive": "infinitive"}.get(cell.tense, f"{cell.tense} simple")
    pronoun = {"1sg": "I", "2sg": "you", "3sg": "he/she/it"}[cell.person]
    person = {"1sg": "1st", "2sg": "2nd", "3sg": "3rd"}[cell.person] + " person singular"
    for caption in captions(cell):
        if " of " in caption:
            name = caption.removeprefix(f"{person} ").removesuffix(f", {person}").removesuffix(f", {pronoun}")
            assert name == f"{tense} of {cell.lemma}"
        else:
            assert cell in {reading[:3] for reading in parse(caption)}, caption


def test_captions_are_short_distinct_and_lower_case() -> None:
    for cell in CELLS:
        texts = captions(cell)
        assert len(set(texts)) == len(texts) >= 5
        for text in texts:
            assert len(text) <= 60
            assert text == text.strip() and not text.endswith(".")
            assert [word for word in text.split() if word != word.lower() and word != "I"] == []


def test_captions_of_known_cells() -> None:
    assert captions(VerbCell("work", "present", "3sg")) == (
        "3rd person singular present simple of work",
        "he works",
        "she works",
        "it works",
        "present simple of work, he/she/it",
        "present simple of work",
        "works",
    )
    assert {"for me to work", "to work"} <= set(captions(VerbCell("work", "infinitive", "1sg")))
    assert "she has written" in captions(VerbCell("write", "participle", "3sg"))
    assert "I will be" in captions(VerbCell("be", "future", "1sg"))
    assert "you were" in captions(VerbCell("be", "past", "2sg"))


def test_ambiguous_caption_belongs_to_all_its_cells() -> None:
    cells = {cell for cell in CELLS if "you put" in captions(cell)}
    assert cells == {VerbCell("put", "present", "2sg"), VerbCell("put", "past", "2sg")}


def test_hard_negatives_differ_only_in_tense_or_person() -> None:
    for cell in CELLS:
        others = hard_negatives(cell)
        assert len(set(others)) == 6
        assert {sum(a != b for a, b in zip(cell, other, strict=True)) for other in others} == {1}
        assert {other.lemma for other in others} == {cell.lemma}


def test_wrong_captions_come_from_hard_negatives_only() -> None:
    for cell in CELLS:
        negatives = wrong_captions(cell)
        assert not set(negatives) & set(captions(cell))
        assert set(negatives) <= {text for other in hard_negatives(cell) for text in captions(other)}
        assert len(negatives) >= 6
