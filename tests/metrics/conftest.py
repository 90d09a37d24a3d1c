from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SERVER_SCRIPT = """
import json, socket, sys, traceback
socket.socket.connect = socket.getaddrinfo = None
import evaluate
for line in sys.stdin:
    path, inputs = json.loads(line)
    try:
        output = evaluate.load(path).compute(**inputs)
        assert not any(name.split(".")[0] == "hfmm" for name in sys.modules)
    except Exception:
        output = traceback.format_exc()
    print(json.dumps(output), flush=True)
"""


@pytest.fixture(scope="session")
def compute_offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, float]]]:
    """Return a function that computes the metric of a module in a process without network and without hfmm.

    The metric is loaded by its path. All metrics share one process, because its start takes seconds. If the computation
    fails, the function returns the traceback.
    """
    folder = tmp_path_factory.mktemp("offline")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER_SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=folder, env={**os.environ, "HF_MODULES_CACHE": str(folder)},
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        requests, responses = process.stdin, process.stdout

        def compute(metric: Any, predictions: Any, references: Any) -> dict[str, float]:
            inputs = {"predictions": predictions, "references": references}
            requests.write(json.dumps([str(Path(metric.__file__)), inputs]) + "\n")
            requests.flush()
            scores: dict[str, float] = json.loads(responses.readline())
            return scores

        yield compute
