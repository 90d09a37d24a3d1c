"""Time-based saving with several processes."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import math, os
from types import SimpleNamespace
from accelerate import PartialState
from accelerate.utils import gather_object
from hfmm.utils.distributed import destroy_process_group
from hfmm.training.callbacks import SaveByTimeCallback

PartialState(cpu=True)
rank, callback = int(os.environ["RANK"]), SaveByTimeCallback()

def should_save(step, is_late):
    callback.last = -math.inf if is_late else math.inf
    control = SimpleNamespace(should_save=False)
    args, state = SimpleNamespace(world_size=2, device="cpu"), SimpleNamespace(global_step=step)
    callback.on_step_end(args, state, control)
    return control.should_save

decisions = gather_object(
    [[should_save(10, is_late=rank == 1), should_save(20, is_late=rank == 0), should_save(21, is_late=True)]]
)
if rank == 0:
    print(decisions)
destroy_process_group()
"""


def test_all_processes_save_at_the_same_step_by_the_clock_of_rank_0() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--no-python"]
    process = subprocess.run([*command, sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout == f"{[[False, True, False]] * 2}\n"
