"""A fresh Python process without hfmm, which runs the pipeline on stored inputs and the snippet of the card."""

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
from hfmm.tasks import BATCH_SIZE, BaseTask

# Scripts that run in a process of their own and import no hfmm.
PIPELINE_SCRIPT = Path(__file__).with_name("pipeline_script.py")
ADAPTER_SCRIPT = Path(__file__).with_name("adapter_script.py")

PythonProcess = subprocess.Popen[str]


class ProcessOutput(NamedTuple):
    """What one process returned."""

    outputs: list[Any]  # of the pipeline, one for each input
    printed: str  # by the snippet


def rows_with_inputs(predictions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the recorded predictions that can be repeated, because their inputs are stored."""
    return [row for row in predictions[:N_STORED_INPUTS] if row["input"] is not None]


def offline_env() -> dict[str, str]:
    """Return the environment variables of a process without network access."""
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def online_env(home: Path) -> dict[str, str]:
    """Return the environment variables of a process that downloads from the Hub into an empty cache in ``home``."""
    token = get_token()
    cache = {"HF_HUB_OFFLINE": "0", "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub")}
    return {**os.environ, **cache, **({"HF_TOKEN": token} if token else {})}


def job_for_repo(repo: str, branch: str) -> dict[str, Any]:
    """Return the job of a repository that is loaded by its id. On main, `pipeline` reads the task from the card."""
    return {"model": repo, "revision": branch} | ({"task": None} if branch == "main" else {})


@contextmanager
def fresh_python(environment: Mapping[str, str]) -> Iterator[PythonProcess]:
    """Start a fresh Python that answers one `run_pipeline`. It begins with its imports at once, which take seconds.

    It finds packages where this process does, user site and PYTHONPATH included, but nothing beside its script.
    """
    command = [sys.executable, "-P", str(PIPELINE_SCRIPT)]
    variables = {**environment, "TRANSFORMERS_VERBOSITY": "error"}
    pipe, devnull = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, env=variables, text=True, stdin=pipe, stdout=devnull, stderr=pipe) as python:
        try:
            yield python
        finally:
            python.kill()  # does nothing to a process that has ended


def run_pipeline(
    task: BaseTask,
    recorded: Sequence[Mapping[str, Any]],
    snippet: str,
    job: Mapping[str, Any],
    local_folders: Mapping[str, Path],
    python: PythonProcess,
) -> ProcessOutput:
    """Run `transformers.pipeline` on the recorded inputs, and the snippet of the card, in a fresh process.

    Args:
        task: The task, for the pipeline tag and the keyword arguments of the call.
        recorded: The recorded predictions with their stored inputs.
        snippet: The Python code of the card.
        job: Names the model, a folder or a repository.
        local_folders: The folders that the snippet finds beside it, by name.
        python: The process.

    Raises:
        UserError: The model does not load with plain transformers.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        input_names = [f"input-{index:03d}" for index in range(len(recorded))]
        for input_name, row in zip(input_names, recorded, strict=True):
            (folder / input_name).write_bytes(row["input"])
        full_job = {
            "task": task.pipeline_tag,
            "revision": None,
            "modality": task.input.modality,
            "inputs": input_names,
            "arguments": task.pipeline_kwargs(recorded),
            "batch_size": BATCH_SIZE,
            **job,
        }
        (folder / "job.json").write_text(json.dumps(full_job), encoding="utf-8")
        (folder / "snippet.py").write_text(snippet, encoding="utf-8")
        for link, target in local_folders.items():
            (folder / link).symlink_to(target.resolve(), target_is_directory=True)
        _, stderr = python.communicate(name)
        if python.returncode:
            reason = (stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"Verification failed: the model does not load with plain transformers. It said: {reason}")
        outputs = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
        return ProcessOutput(outputs, (folder / "printed.txt").read_text(encoding="utf-8"))
