"""A client of the test Hub in a process of its own, because huggingface_hub reads its endpoint when it is imported.

The child answers one JSON line for each it reads: what was pushed or pulled, or the paragraph of a UserError. Its
clock does not wait, and says how long it would have.
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
    """The parent's end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def __call__(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Let the child do ``call`` and return what it says."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"call": call, **arguments}, default=str) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def client(environment: Mapping[str, str], home: Path) -> Iterator[Client]:
    """Run a child whose Hub is the one of ``environment``, with a cache of its own under ``home``."""
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
    """Return the most resident memory of this process so far, in MiB; getrusage would count its parent's as well."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def main() -> None:
    """Answer until nobody asks any more."""
    from hfmm.errors import UserError
    from hfmm.hub import pull, push, retry
    from hfmm.hub.files import files_in_folder

    waits: list[float | SupportsIndex] = []
    time.sleep = waits.append
    retry.READ_TIMEOUT = 0.5
    before = _peak_mb()
    for line in sys.stdin:
        asked = json.loads(line)
        waits.clear()
        try:
            target = push.RepoTarget(asked["repo"], asked.get("kind", "model"), asked.get("private", False))
            files = push.with_manifest(files_in_folder(Path(asked["folder"])), {})
            if asked["call"] == "push":
                said = push.push(target, files, "a push")._asdict()
            else:
                said = {"folder": str(pull.download_and_check(target, asked["commit"], Path(asked["cache"]), files))}
        except UserError as error:
            said = {"error": str(error)}
        print(json.dumps({**said, "waits": waits, "grown_mb": _peak_mb() - before}), flush=True)


if __name__ == "__main__":
    main()
