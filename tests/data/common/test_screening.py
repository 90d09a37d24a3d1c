from __future__ import annotations

import pytest
from datasets import Dataset, DatasetDict

from hfmm.data.common.screening import drop_invalid_rows
from hfmm.errors import UserError
from hfmm.tasks import Row


def test_a_bad_row_is_told_with_a_way_on_for_a_recipe_and_for_a_command_that_takes_changes() -> None:
    def check(row: Row) -> None:
        raise UserError("it is empty")

    with pytest.raises(UserError) as told:
        drop_invalid_rows(check, DatasetDict(train=Dataset.from_dict({"id": ["a"]})), "error")
    assert str(told.value) == (
        "data: 1 row cannot be used:\n  train, row a: it is empty\nMend them, or go on without them: "
        "`data: {on_invalid_row: skip}` in the recipe, for `hfmm run` also `--set data.on_invalid_row=skip`."
    )
