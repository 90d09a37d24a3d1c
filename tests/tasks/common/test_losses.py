from itertools import groupby, product

import pytest
import torch

from hfmm.tasks.common.losses import ctc_loss

END = 3  # text tokens are 0, 1 and 2


def naive(logits: torch.Tensor, text: list[int]) -> float:
    """Return minus the log of the summed probability of every path of frames that spells the text."""
    chances = logits.softmax(-1).tolist()
    total = 0.0
    for path in product(range(logits.shape[1]), repeat=len(logits)):
        if [one for one, _ in groupby(path) if one != END] == text:
            chance = 1.0
            for frame, one in enumerate(path):
                chance *= chances[frame][one]
            total += chance
    return -float(torch.tensor(total, dtype=torch.float64).log())


@pytest.mark.parametrize("texts", [[[0, 1], [2]], [[1, 1], [0, 2]], [[2], [0, 1]]])
def test_it_is_the_likelihood_of_all_paths_that_spell_the_text(texts: list[list[int]]) -> None:
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.full((2, 5), -100)
    for row, text in enumerate(texts):
        ids = [5, *text, END]  # a special token before the text and the end token after it
        labels[row, : len(ids)] = torch.tensor(ids)
    wanted = sum(naive(one, text) for one, text in zip(logits, texts, strict=True))
    assert ctc_loss(logits, labels, END).item() == pytest.approx(wanted, rel=1e-5)


def test_a_text_with_more_tokens_than_frames_costs_nothing() -> None:
    assert ctc_loss(torch.zeros(1, 2, 6), torch.tensor([[0, 1, 2, END]]), END).item() == 0
