"""When a long epoch is saved in between, where several processes train."""

from __future__ import annotations

import subprocess
import sys

CLOCKS = """
import math, os
from types import SimpleNamespace
from accelerate import PartialState
from accelerate.utils import gather_object
from hfmm.utils.distributed import destroy_process_group
from hfmm.training.callbacks import SaveByTimeCallback

PartialState(cpu=True)
rank, save = int(os.environ["RANK"]), SaveByTimeCallback()

def saves(step, late):
    save.last = -math.inf if late else math.inf
    control = SimpleNamespace(should_save=False)
    args, state = SimpleNamespace(world_size=2, device="cpu"), SimpleNamespace(global_step=step)
    save.on_step_end(args, state, control)
    return control.should_save

said = gather_object([[saves(10, late=rank == 1), saves(20, late=rank == 0), saves(21, late=True)]])
if rank == 0:
    print(said)
destroy_process_group()
"""


def test_all_processes_save_at_one_step_and_by_one_clock() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--no-python"]
    done = subprocess.run([*command, sys.executable, "-c", CLOCKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{[[False, True, False]] * 2}\n"
