from __future__ import annotations

import pytest
from datasets import Dataset, DatasetDict

from hfmm.data.common.rows import Row
from hfmm.data.common.screening import drop_invalid_rows
from hfmm.errors import UserError


def test_invalid_row_is_reported_with_two_ways_to_skip_it() -> None:
    def check(row: Row) -> None:
        raise UserError("it is empty")

    with pytest.raises(UserError) as error:
        drop_invalid_rows(check, DatasetDict(train=Dataset.from_dict({"id": ["a"]})), "error")
    assert str(error.value) == (
        "data: 1 row cannot be used:\n  train, row a: it is empty\nFix them, or skip them with "
        "`data: {on_invalid_row: skip}` in the recipe or, for `hfmm run`, with `--set data.on_invalid_row=skip`."
    )
