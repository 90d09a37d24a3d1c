"""Publishing of datasets, metrics and built-in checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.fake_hub import Hub, serve

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with serve(Hub(tmp_path_factory.mktemp("kinds") / "hub")) as hub:
        yield hub


@pytest.fixture
def call(hub: Hub, tmp_path: Path) -> Call:
    environment = {**os.environ, **hub.environment(), "HF_HOME": str(tmp_path / "home")}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        options: dict[str, Any] = {"cwd": tmp_path, "env": environment, "stdin": subprocess.DEVNULL}
        return subprocess.run(command, **options, capture_output=True, text=True)

    return run


def test_dataset_is_pushed_and_loads_by_its_hub_id(hub: Hub, call: Call) -> None:
    options = ["--set", "train=20", "--set", "validation=5", "--set", "test=6", "--set", "size=32"]
    for _ in range(2):  # the second time the repository is up to date
        completed = call("-m", "hfmm.cli", "data", "icons", "--out", "icons", *options, "--push", "me/icons", "--yes")
        assert completed.returncode == 0, completed.stderr
    assert "already up to date, nothing was sent" in completed.stdout
    assert len(hub.repositories["datasets", "me/icons"].commits) == 2
    code = 'from datasets import load_dataset; print({k: len(v) for k, v in load_dataset("me/icons").items()})'
    completed = call("-c", code)
    assert completed.stdout.strip() == "{'train': 20, 'validation': 5, 'test': 6}", completed.stderr


def test_metric_is_pushed_as_a_space_that_evaluate_loads(hub: Hub, call: Call) -> None:
    completed = call("-m", "hfmm.cli", "publish", "metric:wer", "--repo", "me/word_errors", "--yes")
    assert completed.returncode == 0, completed.stderr
    files = hub.files("me/word_errors", kind="spaces")
    assert {"word_errors.py", "_scores.py", "_edit_rates.py", "app.py", "requirements.txt"} <= {*files}
    assert b"rapidfuzz" in files["requirements.txt"]
    code = 'import evaluate; metric = evaluate.load("me/word_errors")'
    completed = call("-c", f'{code}; print(metric.compute(predictions=["a b"], references=["a c"])["wer"])')
    assert completed.stdout.strip() == "0.5", completed.stderr


def test_nothing_is_sent_without_a_terminal_to_confirm(hub: Hub, call: Call) -> None:
    completed = call("-m", "hfmm.cli", "publish", "metric:cer", "--repo", "me/unasked")
    assert completed.returncode == 2 and "me/unasked (public space" in completed.stdout
    assert completed.stderr == (
        "hfmm: Nothing was sent: there is no terminal to confirm in. Pass --yes to send without asking.\n"
    )
    assert ("spaces", "me/unasked") not in hub.repositories


def test_builtin_checkpoint_is_pushed_to_the_users_account(hub: Hub, call: Call) -> None:
    completed = call("-m", "hfmm.cli", "publish", "builtin:tiny-vit", "--repo", "me/tiny-vit", "--yes")
    assert completed.returncode == 0, completed.stderr
    assert "license apache-2.0" in completed.stdout
    card = hub.files("me/tiny-vit")["README.md"].decode()
    assert 'snapshot_download("me/tiny-vit")' in card
