"""When a stage is saved in between, and that only what was saved to its end counts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_utils import rotate_checkpoints

from hfmm.run_directory import COMPLETE

SAVE_AFTER_SECONDS = 300  # a long epoch is saved in between, so that a kill costs minutes
STEPS_APART = 10  # at which processes that train together ask the first one's clock, which all have to wait for


class SaveInLongEpochs(TrainerCallback):
    """Saves by the clock, and where several processes train by that of the first: saving one waits for the others."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for a checkpoint where the last one is too long ago."""
        late = time.monotonic() - self.last > SAVE_AFTER_SECONDS
        if args.world_size > 1:
            late = state.global_step % STEPS_APART == 0 and _as_the_first_says(late, args.device)
        if late:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin to wait anew."""
        self.last = time.monotonic()


def _as_the_first_says(flag: bool, device: Any) -> bool:
    import torch

    said = torch.tensor(int(flag), device=device)
    torch.distributed.broadcast(said, 0)
    return bool(said.item())


class WholeCheckpoints(TrainerCallback):
    """Marks what was saved to its end, and drops what is older."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the checkpoint, then drop those before it but the best."""
        if args.should_save:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
            # After the marker: a kill between the two must leave one whole checkpoint.
            rotate_checkpoints(args.output_dir, 1, state.best_model_checkpoint)
