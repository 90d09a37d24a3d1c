"""Pushes under random faults: after each the branch must hold the old files or the new ones, and nothing between.

`python -m tests.benchmarks.push_faults --pushes 200 --seed 0 [--xet]`
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.hub.client import Client, client
from tests.hub.fake_hub import Hub, serve
from tests.hub.faults import Fault

WHERE = (
    "GET /api/models", "POST /api/repos/create", "POST .*/preupload/", "POST .*/objects/batch", "PUT /upload",
    "xet-write-token", "POST /api/validate-yaml", "POST .*/commit/", "GET .*/tree/", "GET .*/refs", "POST .*/tag/",
    "(HEAD|GET) .*/resolve/",
)  # fmt: skip
WHAT = (401, 403, 404, 409, 413, 429, 500, 503, "reset", "lost", "slow", "truncated", "wrong etag")
REPO = "me/model"


class Outcome(NamedTuple):
    """What came of all pushes."""

    pushes: int
    faults: int
    waited_out: int  # pushes that met a fault and ended well
    told: int  # pushes that ended in a paragraph
    half_published: int
    lost_files: int
    sent_needlessly: int  # blobs that the Hub had said it has
    sent_twice: int  # blobs whose upload arrived and whose answer did not, so that the client repeated it at once


def run(hub: Hub, child: Client, folder: Path, pushes: int, seed: int) -> Outcome:
    """Push ``pushes`` versions of a folder, each under up to three faults, and again until it is there."""
    dice = random.Random(seed)
    met = waited_out = told = half = lost = 0
    for number in range(pushes):
        weights = folder / "model.safetensors"
        weights.write_bytes(b"\0" + dice.randbytes(dice.randint(1_000, 200_000)))
        (folder / "config.json").write_text(f'{{"number": {number}}}\n')
        before = _files(hub)
        hub.faults = [
            Fault(dice.choice(WHERE), dice.choice(WHAT), dice.choice((1, 2, 30)), seconds=0.8)
            for _ in range(dice.randint(0, 3))
        ]
        planted = sum(fault.times for fault in hub.faults)
        said = child("push", folder=folder, repo=REPO)
        happened = planted - sum(fault.times for fault in hub.faults)
        met += happened
        told += "error" in said
        waited_out += "error" not in said and happened > 0
        half += _files(hub) != before and not _whole(hub, folder)
        hub.faults.clear()
        lost += "error" in child("push", folder=folder, repo=REPO) or not _whole(hub, folder)
    twice = sum(count > 1 for count in hub.uploads.values())
    return Outcome(pushes, met, waited_out, told, half, lost, hub.needless, twice)


def _files(hub: Hub) -> dict[str, str]:
    """Return the hashes of what the branch points at, but for the Hub's own file."""
    repository = hub.repositories.get(("models", REPO))
    files = repository.commits[repository.branches["main"]] if repository else {}
    return {path: one.sha256 or one.sha1 for path, one in files.items() if path != ".gitattributes"}


def _whole(hub: Hub, folder: Path) -> bool:
    from hfmm.hub.files import files_in_folder

    there = _files(hub)
    return all(there.get(name) in (file.sha1, file.sha256) for name, file in files_in_folder(folder).items())


def main() -> None:
    """Print the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--xet", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        (model / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        with serve(Hub(folder / "hub", asked.xet)) as hub, client(hub.environment(), folder / "home") as child:
            for key, value in run(hub, child, model, asked.pushes, asked.seed)._asdict().items():
                print(f"{key.replace('_', ' '):<16} {value}")


if __name__ == "__main__":
    main()
