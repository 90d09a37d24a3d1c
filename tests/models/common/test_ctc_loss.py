from itertools import groupby, product

import pytest
import torch

from hfmm.models.common.seq2seq_transcriber import ctc_loss

BLANK = 3  # text tokens are 0, 1 and 2


def naive_ctc(logits: torch.Tensor, text: list[int]) -> float:
    """Return the negative log of the summed probabilities of all paths that collapse to the text."""
    probabilities = logits.softmax(-1).tolist()
    total = 0.0
    for path in product(range(logits.shape[1]), repeat=len(logits)):
        if [token for token, _ in groupby(path) if token != BLANK] == text:
            probability = 1.0
            for frame, token in enumerate(path):
                probability *= probabilities[frame][token]
            total += probability
    return -float(torch.tensor(total, dtype=torch.float64).log())


@pytest.mark.parametrize("texts", [[[0, 1], [2]], [[1, 1], [0, 2]], [[2], [0, 1]]])
def test_ctc_loss_sums_over_all_paths_of_the_text(texts: list[list[int]]) -> None:
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 5), -100)
    for row, text in enumerate(texts):
        ids = [5, *text, BLANK]  # a special token before the text and the end token, which is the blank, after it
        labels[row, : len(ids)] = torch.tensor(ids)
    expected = sum(naive_ctc(row_logits, text) for row_logits, text in zip(logits, texts, strict=True))
    assert ctc_loss(logits, labels, BLANK).item() == pytest.approx(expected, rel=1e-5)


def test_ctc_loss_is_zero_for_a_text_longer_than_the_frames() -> None:
    assert ctc_loss(torch.zeros(1, 2, 6), torch.tensor([[0, 1, 2, BLANK]]), BLANK).item() == 0
