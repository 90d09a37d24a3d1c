"""Norms of embeddings, shared by the embedding metrics. An embedding without a direction is rejected."""

from __future__ import annotations

import numpy as np


def row_norms(vectors: np.ndarray, name: str) -> np.ndarray:
    """Return the Euclidean norm of each row, `(num_rows, 1)`. Raises ValueError if a row has no direction."""
    norms: np.ndarray = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    for is_invalid, problem in ((~np.isfinite(norms), "contains NaN or infinity"), (norms == 0, "is zero")):
        if is_invalid.any():
            raise ValueError(
                f"the {name} embedding of row {int(is_invalid.argmax())} {problem}. Either training has diverged "
                "(lower the learning rate), or the checkpoint lacks weights"
            )
    return norms[:, None]
