"""What is published besides runs: datasets, metrics, embedded checkpoints."""

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


def test_a_dataset_is_pushed_and_read_by_its_id(hub: Hub, call: Call) -> None:
    small = [word for pair in ("train=20", "validation=5", "test=6", "size=32") for word in ("--set", pair)]
    for _ in range(2):  # the second time it finds what the first left
        done = call("-m", "hfmm.cli", "data", "icons", "--out", "icons", *small, "--push", "me/icons", "--yes")
        assert done.returncode == 0, done.stderr
    assert "was there already" in done.stdout
    assert len(hub.repositories["datasets", "me/icons"].commits) == 2
    code = 'from datasets import load_dataset; print({k: len(v) for k, v in load_dataset("me/icons").items()})'
    read = call("-c", code)
    assert read.stdout.strip() == "{'train': 20, 'validation': 5, 'test': 6}", read.stderr


def test_a_metric_is_a_space_that_evaluate_loads(hub: Hub, call: Call) -> None:
    done = call("-m", "hfmm.cli", "publish", "metric:wer", "--repo", "me/word_errors", "--yes")
    assert done.returncode == 0, done.stderr
    files = hub.files("me/word_errors", kind="spaces")
    assert {"word_errors.py", "_scores.py", "_edit_rates.py", "app.py", "requirements.txt"} <= {*files}
    assert b"rapidfuzz" in files["requirements.txt"]
    code = 'import evaluate; metric = evaluate.load("me/word_errors")'
    read = call("-c", f'{code}; print(metric.compute(predictions=["a b"], references=["a c"])["wer"])')
    assert read.stdout.strip() == "0.5", read.stderr


def test_where_nobody_can_be_asked_nothing_is_sent(hub: Hub, call: Call) -> None:
    done = call("-m", "hfmm.cli", "publish", "metric:cer", "--repo", "me/unasked")
    assert done.returncode == 2 and "me/unasked (public space" in done.stdout
    assert done.stderr == "hfmm: Nothing was sent: there is no terminal to ask in. Give --yes.\n"
    assert ("spaces", "me/unasked") not in hub.repositories


def test_an_embedded_checkpoint_is_a_model_of_the_users_own(hub: Hub, call: Call) -> None:
    done = call("-m", "hfmm.cli", "publish", "builtin:tiny-vit", "--repo", "me/tiny-vit", "--yes")
    assert done.returncode == 0, done.stderr
    assert "licence apache-2.0" in done.stdout
    card = hub.files("me/tiny-vit")["README.md"].decode()
    assert 'snapshot_download("me/tiny-vit")' in card
