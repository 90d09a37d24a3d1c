"""How long embeddings are, and the refusal of what has no direction: the metrics of embeddings share it."""

from __future__ import annotations

import numpy as np


def row_norms(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return the Euclidean length of each row, (n, 1); raises ValueError for a row that has no direction."""
    found: np.ndarray = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    for wrong, what in ((~np.isfinite(found), "holds NaN or infinity"), (found == 0, "is zero")):
        if wrong.any():
            raise ValueError(
                f"the {name} embedding of row {int(wrong.argmax())} {what}: training has driven the weights apart "
                "(lower the learning rate), or the checkpoint never had them"
            )
    return found[:, None]
