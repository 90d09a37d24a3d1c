from __future__ import annotations

import pytest
from datasets import Dataset, DatasetDict

from hfmm.errors import UserError
from hfmm.tasks import Row
from hfmm.tasks.preflight import screen


def test_a_bad_row_is_told_with_a_way_on_for_a_recipe_and_for_a_command_that_takes_changes() -> None:
    def check(row: Row) -> None:
        raise UserError("it is empty")

    with pytest.raises(UserError) as told:
        screen(check, DatasetDict(train=Dataset.from_dict({"id": ["a"]})), "stop")
    assert str(told.value) == (
        "data: 1 row cannot be used:\n  train, row a: it is empty\nMend them, or go on without them: "
        "`data: {on_bad_row: skip}` in the recipe, for `hfmm run` also `--set data.on_bad_row=skip`."
    )
