"""What a fresh process without hfmm says: a model's pipeline of the stored inputs, and the snippet of its card."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import get_token

from hfmm.errors import UserError
from hfmm.evaluation.evaluate import N_STORED_INPUTS
from hfmm.run_directory import RunDirectory, read_predictions
from hfmm.tasks import BATCH_SIZE, BaseTask

# Scripts that run in a process of their own and import no hfmm.
PIPELINE_SCRIPT = Path(__file__).with_name("pipeline_script.py")
ADAPTER_SCRIPT = Path(__file__).with_name("adapter_script.py")

PythonProcess = subprocess.Popen[str]


class ProcessOutput(NamedTuple):
    """The answers of one process."""

    outputs: list[Any]  # of the pipeline, one for each input
    printed: str  # by the snippet


def rows_with_inputs(run: RunDirectory) -> list[dict[str, Any]]:
    """Return the recorded predictions that can be asked for again, because their inputs are stored."""
    return [row for row in read_predictions(run)[:N_STORED_INPUTS] if row["input"] is not None]


def offline_env() -> dict[str, str]:
    """Return the variables of a process that asks nobody."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def online_env(home: Path) -> dict[str, str]:
    """Return the variables of a process that asks the Hub, with the user's login, into an empty cache in ``home``."""
    token = get_token()
    cache = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub")}
    return {**os.environ, **cache, **({"HF_TOKEN": token} if token else {})}


def job_for_repo(repo: str, branch: str) -> dict[str, Any]:
    """Return the job of a repository named by its id; its card says the task, which plain `pipeline` reads on main."""
    return {"model": repo, "revision": branch} | ({"task": None} if branch == "main" else {})


@contextmanager
def fresh_python(environment: Mapping[str, str]) -> Iterator[PythonProcess]:
    """Give a fresh Python that answers one `ask`; it begins at once with its imports, which take seconds.

    It finds packages where this one does, user site and PYTHONPATH included, but nothing beside its script.
    """
    script = str(PIPELINE_SCRIPT)
    command, variables = [sys.executable, "-P", script], {**environment, "TRANSFORMERS_VERBOSITY": "error"}
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, env=variables, text=True, stdin=pipe, stdout=none, stderr=pipe) as room:
        try:
            yield room
        finally:
            room.kill()  # which does nothing to one that has answered


def run_pipeline(
    task: BaseTask,
    recorded: Sequence[Mapping[str, Any]],
    snippet: str,
    job: Mapping[str, Any],
    local: Mapping[str, Path],
    room: PythonProcess,
) -> ProcessOutput:
    """Return what a model says of the recorded inputs; ``job`` names it, ``local`` the folders that the snippet finds.

    Raises UserError where it does not load with plain transformers.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = [f"input-{index:03d}" for index in range(len(recorded))]
        for file, row in zip(inputs, recorded, strict=True):
            (folder / file).write_bytes(row["input"])
        asked = {
            "task": task.pipeline_tag,
            "revision": None,
            "medium": task.modality,
            "inputs": inputs,
            "arguments": task.pipeline_kwargs(recorded),
            "batch_size": BATCH_SIZE,
            **job,
        }
        (folder / "job.json").write_text(json.dumps(asked), encoding="utf-8")
        (folder / "snippet.py").write_text(snippet, encoding="utf-8")
        for link, place in local.items():
            (folder / link).symlink_to(place.resolve(), target_is_directory=True)
        _, complaints = room.communicate(name)
        if room.returncode:
            reason = (complaints.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"Verification failed: the model does not load with plain transformers. It said: {reason}")
        outputs = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
        return ProcessOutput(outputs, (folder / "printed.txt").read_text(encoding="utf-8"))
