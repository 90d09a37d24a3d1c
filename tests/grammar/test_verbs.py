from hfmm.grammar import CELLS, LEMMAS, PERSONS, TENSES, Person, Tense, surface_form


def test_the_universe_has_twenty_verbs_five_tenses_three_persons() -> None:
    assert (len(LEMMAS), len(TENSES), len(PERSONS), len(set(CELLS))) == (20, 5, 3, 300)


def test_irregular_forms_are_right() -> None:
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


def test_every_form_agrees_with_an_independent_inflector() -> None:
    from lemminflect import getInflection

    tags = {"infinitive": "VB", "past": "VBD", "participle": "VBN"}
    for lemma, tense, person in CELLS:
        if lemma == "be" and tense in ("present", "past"):
            continue  # the inflector does not tell the persons of be apart; they are spelled out above
        if tense == "future":
            assert surface_form(lemma, tense, person) == f"will {lemma}"
            continue
        tag = tags.get(tense, "VBZ" if person == "3sg" else "VBP")
        assert surface_form(lemma, tense, person) in getInflection(lemma, tag), (lemma, tense, person)
