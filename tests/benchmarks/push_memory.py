"""How much memory a push takes beyond that of the idle client, for a model of many megabytes.

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


def grown(folder: Path, megabytes: int, xet: bool) -> tuple[float, float]:
    """Return by how many MiB the client's resident memory grew at most, and how many seconds the push took."""
    model = folder / "model"
    model.mkdir()
    (model / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    with (model / "model.safetensors").open("wb") as file:
        file.write(b"\0")
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    with serve(Hub(folder / "hub", xet)) as hub, client(hub.environment(), folder / "home") as child:
        begun = time.monotonic()
        said = child("push", folder=model, repo="me/model")
        if "error" in said:
            raise SystemExit(said["error"])
        return said["grown_mb"], time.monotonic() - begun


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--xet", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        memory, seconds = grown(Path(folder), asked.megabytes, asked.xet)
    print(f"{asked.megabytes} MB pushed in {seconds:.1f} s, {memory:.0f} MiB over the idle client")


if __name__ == "__main__":
    main()
