from pathlib import Path

import numpy as np

from hfmm.data import pseudowords
from hfmm.data.icons import FONTS
from hfmm.grammar import CELLS, surface_form


def test_words_are_not_verb_forms_and_fonts_are_not_held_out(tmp_path: Path) -> None:
    data = pseudowords.build(pseudowords.PseudowordsOptions(train=200, validation=1, test=1), tmp_path)
    forms = {surface_form(*cell).removeprefix("will ") for cell in CELLS}
    assert not forms & set(data["train"]["text"][:])
    assert not {name for split in ("validation", "test") for name in FONTS[split]} & set(pseudowords.fonts())


def test_labels_spell_the_word(tmp_path: Path) -> None:
    data = pseudowords.build(pseudowords.PseudowordsOptions(train=20, validation=1, test=1), tmp_path)["train"]
    names = data.features["label"].feature.names
    for row in data:
        letters = [names[index].rpartition(": ")[2] for index in row["label"][: pseudowords.MAX_LETTERS]]
        assert "".join(letters).rstrip(pseudowords.BLANK) == row["text"]


def test_token_labels_are_at_the_positions_of_the_letters() -> None:
    options = pseudowords.PseudowordsOptions(train=1, validation=1, test=1)
    rng = np.random.default_rng(3)
    drawn_word = pseudowords.draw("mmmm", 64, 1.0, rng)
    while drawn_word.shape != "nothing":
        drawn_word = pseudowords.draw("mmmm", 64, 1.0, rng)
    labels = np.array(pseudowords._token_labels("mmmm", drawn_word.placement, options)).reshape(8, 8)
    contrast = np.asarray(drawn_word.image.convert("L"), dtype=float).reshape(8, 8, 8, 8).std(axis=(1, 3))
    assert contrast[labels >= 0].mean() > 2 * contrast[labels < 0].mean()
    positions = [label // 27 for label in labels.max(axis=0) if label >= 0]
    assert positions == sorted(positions)
