from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ALONE = """
import json, socket, sys, traceback
socket.socket.connect = socket.getaddrinfo = None
import evaluate
for line in sys.stdin:
    path, given = json.loads(line)
    try:
        said = evaluate.load(path).compute(**given)
        assert not any(name.split(".")[0] == "hfmm" for name in sys.modules)
    except Exception:
        said = traceback.format_exc()
    print(json.dumps(said), flush=True)
"""


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., dict[str, float]]]:
    """Compute the metric of a module, loaded by its path in a process without network and without hfmm.

    The process, which takes seconds to begin, is the same for all metrics; a traceback is returned as it is.
    """
    folder = tmp_path_factory.mktemp("alone")
    with subprocess.Popen(
        [sys.executable, "-c", ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=folder, env={**os.environ, "HF_MODULES_CACHE": str(folder)},
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        asks, answers = process.stdin, process.stdout

        def compute(metric: Any, predictions: Any, references: Any) -> dict[str, float]:
            given = {"predictions": predictions, "references": references}
            asks.write(json.dumps([str(Path(metric.__file__)), given]) + "\n")
            asks.flush()
            said: dict[str, float] = json.loads(answers.readline())
            return said

        yield compute
