"""A run that is killed at any moment and resumed ends with the same weights, bit for bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the test needs os.fork")

# Imports once, then forks a child process for each attempt. With a delay, the child is killed after so many seconds.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import torch, transformers, datasets, peft, accelerate, matplotlib.pyplot
import hfmm.training.trainer, hfmm.run
from hfmm.recipe.load import load_recipe

path, uninterrupted, killed, *delays = sys.argv[1:]
overrides = ["data.train=64", "stages.head.num_train_epochs=3", "stages.full.num_train_epochs=8"]
hfmm.run.evaluate = lambda *_: os._exit(0)  # the steps after training only read the weights

def attempt(out, delay=None):
    child = os.fork()
    if not child:
        status = 1
        try:
            recipe = load_recipe(path, overrides)
            hfmm.run.run_recipe(recipe, Path(out), True, lambda step, text: print(step, text, flush=True))
        finally:
            os._exit(status)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print("attempt", delay, status, [p.name for p in Path(out).glob("checkpoints/*/checkpoint-*")], flush=True)
    return status

failed = attempt(uninterrupted)
for delay in delays:
    attempt(killed, float(delay))
sys.exit((failed or attempt(killed)) != 0)
"""


def assert_equal_tensors(path: Path, expected_path: Path) -> None:
    tensors, expected = load_file(path), load_file(expected_path)
    assert tensors.keys() == expected.keys()
    assert [name for name in tensors if tensors[name].tobytes() != expected[name].tobytes()] == []


@pytest.mark.parametrize(("family", "train"), [("tiny_vit", "all"), ("tiny_dinov2", "all"), ("tiny_vit", "lora")])
def test_a_run_killed_at_random_moments_ends_with_the_same_weights(
    family: str, train: str, write_recipe: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    recipe = write_recipe(checkpoint=request.getfixturevalue(family), train=train)
    seed = int(os.environ.get("HFMM_KILL_SEED", random.randrange(10**6)))
    generator = random.Random(seed)
    delays = sorted(generator.uniform(0.2, 3.0) for _ in range(6))
    print(f"HFMM_KILL_SEED={seed} repeats these delays: {delays}")
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        str(recipe),
        *(str(tmp_path / name) for name in ("uninterrupted", "killed")),
    ]
    process = subprocess.run([*command, *map(str, delays)], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    print(process.stdout)
    assert " 9 " in process.stdout, "every attempt ended before it was killed"
    for file in ("model/model.safetensors", *(["adapter/adapter_model.safetensors"] if train == "lora" else [])):
        assert_equal_tensors(tmp_path / "killed" / file, tmp_path / "uninterrupted" / file)


def test_an_incomplete_checkpoint_is_removed_and_not_resumed(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    from hfmm.training.train import _last_complete_checkpoint

    for step, complete in ((5, True), (10, True), (15, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if complete:
            (folder / "COMPLETE").touch()
    assert _last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-15").exists()


def test_a_run_is_not_resumed_with_other_data_or_another_recipe(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    from hfmm.errors import UserError
    from hfmm.recipe.load import load_recipe
    from hfmm.run import run_recipe
    from hfmm.run_directory import RunDirectory
    from hfmm.utils.files import write_json

    path = write_recipe()
    recipe = load_recipe(str(path))
    out = RunDirectory(tmp_path / "run")
    out.root.mkdir()
    out.recipe.write_text(recipe.to_yaml())
    with pytest.raises(UserError, match="a run of another recipe: seed differ"):
        run_recipe(load_recipe(str(path), ["seed=1"]), out.root, True, lambda step, text: None)
    write_json(out.results, {"format": 2, "data": {"fingerprint": "other"}})
    with pytest.raises(UserError, match="The data has changed"):
        run_recipe(recipe, out.root, True, lambda step, text: None)
