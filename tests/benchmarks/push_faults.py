"""Uploads under random faults. After each upload the branch must hold all old files or all new ones.

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

REQUESTS = (
    "GET /api/models", "POST /api/repos/create", "POST .*/preupload/", "POST .*/objects/batch", "PUT /upload",
    "xet-write-token", "POST /api/validate-yaml", "POST .*/commit/", "GET .*/tree/", "GET .*/refs", "POST .*/tag/",
    "(HEAD|GET) .*/resolve/",
)  # fmt: skip
FAULTS = (401, 403, 404, 409, 413, 429, 500, 503, "reset", "lost", "slow", "truncated", "wrong etag")
REPO = "me/model"


class Outcome(NamedTuple):
    """The result of all pushes."""

    pushes: int
    faults: int
    waited_out: int  # pushes that met a fault and succeeded
    error_messages: int  # pushes that ended with an error message
    half_published: int
    lost_files: int
    sent_needlessly: int  # blobs that the Hub already had, as it had answered
    sent_twice: int  # blobs that the client uploaded again because the response to the upload was lost


def run(hub: Hub, child: Client, folder: Path, pushes: int, seed: int) -> Outcome:
    """Push ``pushes`` versions of a folder, each under up to three faults and then without faults."""
    generator = random.Random(seed)
    num_faults = waited_out = error_messages = half_published = lost_files = 0
    for number in range(pushes):
        weights = folder / "model.safetensors"
        weights.write_bytes(b"\0" + generator.randbytes(generator.randint(1_000, 200_000)))
        (folder / "config.json").write_text(f'{{"number": {number}}}\n')
        before = _files(hub)
        hub.faults = [
            Fault(generator.choice(REQUESTS), generator.choice(FAULTS), generator.choice((1, 2, 30)), seconds=0.8)
            for _ in range(generator.randint(0, 3))
        ]
        num_planned = sum(fault.times for fault in hub.faults)
        answer = child("push", folder=folder, repo=REPO)
        num_met = num_planned - sum(fault.times for fault in hub.faults)
        num_faults += num_met
        error_messages += "error" in answer
        waited_out += "error" not in answer and num_met > 0
        half_published += _files(hub) != before and not _is_published(hub, folder)
        hub.faults.clear()
        lost_files += "error" in child("push", folder=folder, repo=REPO) or not _is_published(hub, folder)
    sent_twice = sum(count > 1 for count in hub.uploads.values())
    return Outcome(pushes, num_faults, waited_out, error_messages, half_published, lost_files, hub.needless, sent_twice)


def _files(hub: Hub) -> dict[str, str]:
    """Return the hashes of the files on the branch, without the file that the Hub adds."""
    repository = hub.repositories.get(("models", REPO))
    files = repository.commits[repository.branches["main"]] if repository else {}
    return {path: entry.sha256 or entry.sha1 for path, entry in files.items() if path != ".gitattributes"}


def _is_published(hub: Hub, folder: Path) -> bool:
    """Return whether the branch holds all files of the folder."""
    from hfmm.hub.files import files_in_folder

    hashes = _files(hub)
    return all(hashes.get(name) in (file.sha1, file.sha256) for name, file in files_in_folder(folder).items())


def main() -> None:
    """Push many times and print the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--xet", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model"
        model.mkdir()
        (model / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        with serve(Hub(folder / "hub", arguments.xet)) as hub, client(hub.environment(), folder / "home") as child:
            for key, value in run(hub, child, model, arguments.pushes, arguments.seed)._asdict().items():
                print(f"{key.replace('_', ' '):<16} {value}")


if __name__ == "__main__":
    main()
