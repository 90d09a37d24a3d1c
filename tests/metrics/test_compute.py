import numpy as np
import pytest

from hfmm import metrics
from hfmm.errors import UserError


def test_slices_and_functionals_come_with_the_metric_of_that_name() -> None:
    slices, functionals = metrics.compute("accuracy", [["a"], ["b"]], [["a"], ["a"]])
    right, ones = slices[""]
    assert (right.sum(), ones.sum()) == (1, 2)
    assert functionals == {}


def test_predictions_that_cannot_be_measured_are_told_with_their_row() -> None:
    vectors = np.eye(3)
    embeddings = {"image": vectors, "text": vectors * [[1], [np.nan], [1]]}
    references = [{"text": one, "captions": [one], "group": one} for one in "abc"]
    with pytest.raises(UserError, match=r"modality_gap cannot be measured: the text embedding of row 1 holds NaN"):
        metrics.compute("modality_gap", embeddings, references)
