"""The memory that a push of a large model needs in addition to the idle client.

`python -m tests.benchmarks.push_memory --megabytes 500 [--xet]`
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.hub.client import client
from tests.hub.fake_hub import Hub, serve


def memory_growth(folder: Path, megabytes: int, xet: bool) -> tuple[float, float]:
    """Return the growth of the client's peak resident memory in MiB, and the seconds of the push."""
    model = folder / "model"
    model.mkdir()
    (model / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    with (model / "model.safetensors").open("wb") as file:
        file.write(b"\0")
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    with serve(Hub(folder / "hub", xet)) as hub, client(hub.environment(), folder / "home") as child:
        start = time.monotonic()
        answer = child("push", folder=model, repo="me/model")
        if "error" in answer:
            raise SystemExit(answer["error"])
        return answer["grown_mb"], time.monotonic() - start


def main() -> None:
    """Print the time and the memory of one push."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--xet", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        memory, seconds = memory_growth(Path(folder), arguments.megabytes, arguments.xet)
    print(f"{arguments.megabytes} MB pushed in {seconds:.1f} s, {memory:.0f} MiB more than the idle client")


if __name__ == "__main__":
    main()
