from hfmm.grammar import CELLS, LEMMAS, PERSONS, TENSES, Person, Tense, surface_form


def test_grid_has_twenty_verbs_five_tenses_three_persons() -> None:
    assert (len(LEMMAS), len(TENSES), len(PERSONS), len(set(CELLS))) == (20, 5, 3, 300)


def test_irregular_forms() -> None:
    expected: dict[tuple[str, Tense, Person], str] = {
        ("do", "present", "3sg"): "does",
        ("go", "past", "2sg"): "went",
        ("write", "participle", "1sg"): "written",
        ("have", "future", "3sg"): "will have",
        ("be", "present", "1sg"): "am",
        ("be", "present", "2sg"): "are",
        ("be", "present", "3sg"): "is",
        ("be", "past", "2sg"): "were",
        ("be", "past", "3sg"): "was",
        ("be", "infinitive", "3sg"): "be",
        ("study", "past", "1sg"): "studied",
        ("stop", "participle", "3sg"): "stopped",
    }
    assert {cell: surface_form(*cell) for cell in expected} == expected


def test_every_form_equals_that_of_lemminflect() -> None:
    from lemminflect import getInflection

    tags = {"infinitive": "VB", "past": "VBD", "participle": "VBN"}
    for lemma, tense, person in CELLS:
        if lemma == "be" and tense in ("present", "past"):
            continue  # lemminflect does not distinguish the persons of be; they are tested above
        if tense == "future":
            assert surface_form(lemma, tense, person) == f"will {lemma}"
            continue
        tag = tags.get(tense, "VBZ" if person == "3sg" else "VBP")
        assert surface_form(lemma, tense, person) in getInflection(lemma, tag), (lemma, tense, person)
