from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.run_directory import RunDirectory


def test_an_interrupted_run_names_the_command_that_resumes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"`hfmm run {tmp_path}/recipe.yaml --resume --out {tmp_path}`"):
        RunDirectory(tmp_path).read_results()


@pytest.mark.parametrize("name", ["recipe.yaml", "results.json"])
def test_an_older_format_is_refused_in_one_paragraph(finished_run: Path, tmp_path: Path, name: str) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run, run.root, ignore=shutil.ignore_patterns("checkpoints"))
    path = run.root / name
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "format" not in line))
    with pytest.raises(UserError, match=rf"{name} has format 1, and this version of hfmm reads format 2") as caught:
        run.load_recipe(), run.read_results()
    assert "\n" not in str(caught.value)
