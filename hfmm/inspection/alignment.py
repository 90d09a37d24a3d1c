"""When each token was heard: a path through the attention that moves on in text and time together, never back.

The method is that of Whisper's reference implementation: attention of the alignment heads, normalised over the tokens,
smoothed over time, and dynamic time warping. The library's own timestamps read the row after a token's, which makes
them a token late.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

MEDIAN = 7  # positions over which a value is smoothed


def token_spans(attention: np.ndarray) -> list[tuple[int, int]]:
    """Return for each token but the last the positions at which it begins and ends.

    ``attention`` (heads, tokens, positions) holds for each token, the end token being the last, where the decoder
    looked when it wrote it.
    """
    deviation = attention.std(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    normalised = (attention - attention.mean(axis=1, keepdims=True)) / deviation
    edges = np.pad(normalised, ((0, 0), (0, 0), (MEDIAN // 2, MEDIAN // 2)), mode="reflect")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(edges, MEDIAN, axis=2), axis=-1)
    path = dtw_path(-smooth.mean(axis=0))
    begins = [next(position for token, position in path if token == row) for row in range(attention.shape[1])]
    return list(pairwise(begins))


def dtw_path(cost: np.ndarray) -> list[tuple[int, int]]:
    """Return the cells of the cheapest path from the first to the last cell of ``cost``, by steps right, down or both.

    Dynamic time warping: each cell on the way counts its cost once.
    """
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0
    for row in range(rows):
        for column in range(columns):
            best = min(total[row, column], total[row, column + 1], total[row + 1, column])
            total[row + 1, column + 1] = cost[row, column] + best
    path, row, column = [(rows - 1, columns - 1)], rows - 1, columns - 1
    while row or column:
        before = {(row - 1, column - 1), (row - 1, column), (row, column - 1)}
        row, column = min(before, key=lambda cell: total[cell[0] + 1, cell[1] + 1] if min(cell) >= 0 else np.inf)
        path.append((row, column))
    return path[::-1]
