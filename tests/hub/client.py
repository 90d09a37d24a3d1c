"""A client of the fake Hub in its own process, because huggingface_hub reads its endpoint on import.

The child answers each JSON line with one JSON line: the result of a push or pull, or the message of a UserError. Its
`time.sleep` does not wait. The requested waits are part of the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, SupportsIndex


class Client:
    """The parent side of the connection."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Make the child run ``call`` and return its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"call": call, **arguments}, default=str) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def client(environment: Mapping[str, str], home: Path) -> Iterator[Client]:
    """Run a child that uses the Hub of ``environment`` and its own cache under ``home``."""
    variables = {**os.environ, **environment, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-m", "tests.hub.client"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, stderr=subprocess.DEVNULL
    )
    try:
        yield Client(process)
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(timeout=20)


def _peak_mb() -> float:
    """Return the peak resident memory of this process in MiB; getrusage would include the parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    """Answer calls until stdin is closed."""
    from hfmm.errors import UserError
    from hfmm.hub import pull, push, retry
    from hfmm.hub.files import files_in_folder

    waits: list[float | SupportsIndex] = []
    time.sleep = waits.append
    retry.READ_TIMEOUT = 0.5
    initial_mb = _peak_mb()
    for line in sys.stdin:
        request = json.loads(line)
        waits.clear()
        try:
            target = push.RepoTarget(request["repo"], request.get("kind", "model"), request.get("private", False))
            files = push.with_manifest(files_in_folder(Path(request["folder"])), {})
            if request["call"] == "push":
                answer = push.push(target, files, "a push")._asdict()
            else:
                folder = pull.download_and_check(target, request["commit"], Path(request["cache"]), files)
                answer = {"folder": str(folder)}
        except UserError as error:
            answer = {"error": str(error)}
        print(json.dumps({**answer, "waits": waits, "grown_mb": _peak_mb() - initial_mb}), flush=True)


if __name__ == "__main__":
    main()
