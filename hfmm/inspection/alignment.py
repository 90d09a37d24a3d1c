"""Token timestamps from cross-attention, by a dynamic time warping path that never goes back in text or time.

The method is that of Whisper's reference implementation: the attention of the alignment heads is normalized over the
tokens, smoothed over time, and aligned by dynamic time warping. The timestamps of transformers read the attention row
after that of the token, so they are one token late.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

MEDIAN = 7  # width of the median filter, in encoder positions


def token_spans(attention: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the end position of each token except the last.

    ``attention`` has shape (num_heads, num_tokens, num_positions) and holds the cross-attention when each token was
    generated. The last token is the end token.
    """
    deviation = attention.std(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    normalized = (attention - attention.mean(axis=1, keepdims=True)) / deviation
    padded = np.pad(normalized, ((0, 0), (0, 0), (MEDIAN // 2, MEDIAN // 2)), mode="reflect")
    smoothed = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN, axis=2), axis=-1)
    path = dtw_path(-smoothed.mean(axis=0))
    starts = [next(position for token, position in path if token == row) for row in range(attention.shape[1])]
    return list(pairwise(starts))


def dtw_path(cost: np.ndarray) -> list[tuple[int, int]]:
    """Return the cells of the cheapest path from the first to the last cell of ``cost``, by dynamic time warping.

    ``cost`` has shape (num_rows, num_columns). Each step goes one row down, one column right, or both, and each cell on
    the path counts its cost once.
    """
    num_rows, num_columns = cost.shape
    total = np.full((num_rows + 1, num_columns + 1), np.inf)
    total[0, 0] = 0
    for row in range(num_rows):
        for column in range(num_columns):
            cheapest = min(total[row, column], total[row, column + 1], total[row + 1, column])
            total[row + 1, column + 1] = cost[row, column] + cheapest
    path, row, column = [(num_rows - 1, num_columns - 1)], num_rows - 1, num_columns - 1
    while row or column:
        previous = {(row - 1, column - 1), (row - 1, column), (row, column - 1)}
        row, column = min(previous, key=lambda cell: total[cell[0] + 1, cell[1] + 1] if min(cell) >= 0 else np.inf)
        path.append((row, column))
    return path[::-1]
