"""A run killed at any moment goes on and ends with the same weights, bit for bit."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the killer forks, which this system cannot")

# Imports once, then forks a child for each attempt and kills it after so many seconds, unless it may finish.
KILLER = """
import os, signal, sys, time
from pathlib import Path
import torch, transformers, datasets, peft, accelerate, matplotlib.pyplot
import hfmm.training.trainer, hfmm.run
from hfmm.recipe.load import load_recipe

path, whole, killed, *delays = sys.argv[1:]
longer = ["data.train=64", "stages.head.num_train_epochs=3", "stages.full.num_train_epochs=8"]
hfmm.run.evaluate = lambda *_: os._exit(0)  # what follows only reads the weights

def attempt(out, delay=None):
    child = os.fork()
    if not child:
        status = 1
        try:
            loaded = load_recipe(path, longer)
            hfmm.run.run_recipe(loaded, Path(out), True, lambda step, text: print(step, text, flush=True))
        finally:
            os._exit(status)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print("attempt", delay, status, [p.name for p in Path(out).glob("checkpoints/*/checkpoint-*")], flush=True)
    return status

failed = attempt(whole)
for delay in delays:
    attempt(killed, float(delay))
sys.exit((failed or attempt(killed)) != 0)
"""


def assert_equal_weights(one: Path, other: Path) -> None:
    left, right = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert left.keys() == right.keys()
    assert [name for name in left if left[name].tobytes() != right[name].tobytes()] == []


@pytest.mark.parametrize(("family", "train"), [("tiny_vit", "all"), ("tiny_dinov2", "all"), ("tiny_vit", "lora")])
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    family: str, train: str, write_recipe: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    recipe = write_recipe(checkpoint=request.getfixturevalue(family), train=train)
    seed = int(os.environ.get("HFMM_KILL_SEED", random.randrange(10**6)))
    generator = random.Random(seed)
    delays = sorted(generator.uniform(0.2, 3.0) for _ in range(6))
    print(f"HFMM_KILL_SEED={seed} repeats these moments: {delays}")
    command = [sys.executable, "-c", KILLER, str(recipe), *(str(tmp_path / name) for name in ("whole", "killed"))]
    done = subprocess.run([*command, *map(str, delays)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert " 9 " in done.stdout, "no attempt lived long enough to be killed"
    assert_equal_weights(tmp_path / "whole/model", tmp_path / "killed/model")
    if train == "lora":
        one, other = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("whole", "killed"))
        assert one.keys() == other.keys()
        assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_checkpoint_that_was_not_written_to_its_end_does_not_count(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    from hfmm.training.train import _last_complete_checkpoint

    for step, complete in ((5, True), (10, True), (15, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if complete:
            (folder / "COMPLETE").touch()
    assert _last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-15").exists()


def test_a_run_does_not_go_on_with_other_data_or_another_recipe(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    from hfmm.errors import UserError
    from hfmm.recipe.load import load_recipe
    from hfmm.run import run_recipe
    from hfmm.run_directory import RunDirectory
    from hfmm.utils.files import write_json

    path = write_recipe()
    loaded = load_recipe(str(path))
    out = RunDirectory(tmp_path / "run")
    out.root.mkdir()
    out.recipe.write_text(loaded.to_yaml())
    with pytest.raises(UserError, match="a run of another recipe: seed differ"):
        run_recipe(load_recipe(str(path), ["seed=1"]), out.root, True, lambda step, text: None)
    write_json(out.results, {"data": {"fingerprint": "other"}})
    with pytest.raises(UserError, match="The data has changed"):
        run_recipe(loaded, out.root, True, lambda step, text: None)
