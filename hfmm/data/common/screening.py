"""Before any training starts: every row is tried, and those that cannot be used are named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from datasets import DatasetDict

from hfmm.data.common.rows import Row
from hfmm.errors import UserError
from hfmm.utils.progress import progress_bar

SHOWN = 5


class InvalidRow(NamedTuple):
    """A row that cannot be used, and why."""

    split: str
    row: str
    reason: str


def require_columns(columns: Sequence[str], data: DatasetDict) -> None:
    """Raise UserError where a split lacks a column that the task needs, before anything is asked of its rows."""
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
    """Return the data without its bad rows, and those; raises UserError naming them unless they may be skipped.

    ``check`` raises UserError for a bad row. So does this where a split has no usable row.
    """
    bad: list[InvalidRow] = []
    kept = DatasetDict()
    for split, rows in data.items():
        good = []
        for index, row in enumerate(progress_bar(rows, f"check {split}", len(rows))):
            try:
                check(row)
                good.append(index)
            except UserError as error:
                bad.append(InvalidRow(split, str(row["id"]), str(error)))
        kept[split] = rows if len(good) == len(rows) else rows.select(good)
    if bad and on_invalid_row == "error":
        shown = "\n".join(f"  {one.split}, row {one.row}: {one.reason}" for one in bad[:SHOWN])
        more = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise UserError(
            f"data: {len(bad)} row{'s' if len(bad) > 1 else ''} cannot be used:\n{shown}{more}\n"
            "Mend them, or go on without them: `data: {on_invalid_row: skip}` in the recipe, for `hfmm run` also "
            "`--set data.on_invalid_row=skip`."
        )
    for split, rows in kept.items():
        if not len(rows):
            raise UserError(f"data: no row of the {split} split can be used; the first says: {bad[0].reason}")
    return kept, bad
