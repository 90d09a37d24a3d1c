import numpy as np
import pytest

from hfmm import metrics
from hfmm.errors import UserError


def test_compute_returns_row_statistics_and_weighted_scores() -> None:
    row_statistics, weighted_scores = metrics.compute("accuracy", [["a"], ["b"]], [["a"], ["a"]])
    correct, ones = row_statistics[""]
    assert (correct.sum(), ones.sum()) == (1, 2)
    assert weighted_scores == {}


def test_compute_reports_the_row_of_an_invalid_prediction() -> None:
    vectors = np.eye(3)
    embeddings = {"image": vectors, "text": vectors * [[1], [np.nan], [1]]}
    references = [{"text": name, "captions": [name], "group": name} for name in "abc"]
    with pytest.raises(
        UserError, match=r"modality_gap could not be computed: the text embedding of row 1 contains NaN"
    ):
        metrics.compute("modality_gap", embeddings, references)
