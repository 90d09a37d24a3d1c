"""Check every row before training starts, and report the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from datasets import DatasetDict

from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.utils.progress import progress_bar

SHOWN = 5  # rows in the error message


class InvalidRow(NamedTuple):
    """A row that cannot be used, and the reason."""

    split: str
    row: str
    reason: str


def require_columns(columns: Sequence[str], data: DatasetDict) -> None:
    """Raise UserError if a split lacks a column that the task needs."""
    for split, rows in data.items():
        missing = [column for column in columns if column not in rows.column_names]
        if missing:
            raise UserError(
                f"data: the {split} split has no column {missing[0]!r}; it has {', '.join(rows.column_names)}. "
                f"Map yours with data.columns: {{{missing[0]}: <your column>}}."
            )


def drop_invalid_rows(
    check: Callable[[Row], None], data: DatasetDict, on_invalid_row: Literal["error", "skip"]
) -> tuple[DatasetDict, list[InvalidRow]]:
    """Return the data without its invalid rows, and the list of invalid rows.

    ``check`` raises UserError for an invalid row. Raises UserError if a row is invalid and ``on_invalid_row`` is
    "error", or if a split has no valid row.
    """
    invalid: list[InvalidRow] = []
    valid = DatasetDict()
    for split, rows in data.items():
        valid_indices = []
        for index, row in enumerate(progress_bar(rows, f"check {split}", len(rows))):
            try:
                check(row)
                valid_indices.append(index)
            except UserError as error:
                invalid.append(InvalidRow(split, str(row["id"]), str(error)))
        valid[split] = rows if len(valid_indices) == len(rows) else rows.select(valid_indices)
    if invalid and on_invalid_row == "error":
        lines = "\n".join(f"  {row.split}, row {row.row}: {row.reason}" for row in invalid[:SHOWN])
        remainder = f"\n  and {len(invalid) - SHOWN} more" if len(invalid) > SHOWN else ""
        raise UserError(
            f"data: {len(invalid)} row{'s' if len(invalid) > 1 else ''} cannot be used:\n{lines}{remainder}\n"
            "Fix them, or skip them with `data: {on_invalid_row: skip}` in the recipe or, for `hfmm run`, with "
            "`--set data.on_invalid_row=skip`."
        )
    for split, rows in valid.items():
        if not len(rows):
            raise UserError(f"data: no row of the {split} split can be used. First error: {invalid[0].reason}")
    return valid, invalid
