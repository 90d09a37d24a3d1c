from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.run_directory import RunDirectory


def test_a_run_without_scores_is_told_with_the_whole_command_that_goes_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"`hfmm run {tmp_path}/recipe.yaml --resume --out {tmp_path}`"):
        RunDirectory(tmp_path).read_results()
