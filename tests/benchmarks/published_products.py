"""Finished runs pushed, pulled by their ids into an empty cache and scored again: every score must be the recorded one.

`python -m tests.benchmarks.published_products RUN...` copies each run, so that it stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.publishing.hub import Hub, serve


def main() -> None:
    """Print, for each run, its headline as recorded and from the pulled copy, and how many of its scores are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--lfs", action="store_true", help="large files through git LFS and not through xet")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(Hub(folder / "hub", xet=not asked.lfs)) as hub:
            for number, run in enumerate(asked.runs):
                print(_published(hub, run, folder / f"{number}"), flush=True)


def _published(hub: Hub, run: Path, folder: Path) -> str:
    copy, environment = folder / run.name, {**os.environ, **hub.environment(), "HF_HOME": str(folder / "home")}
    shutil.copytree(run, copy)

    def hfmm(*arguments: object) -> None:
        command = [sys.executable, "-m", "hfmm.cli", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{run}: {done.stdout}{done.stderr}")

    hfmm("card", copy)
    checkpoint = yaml.safe_load((copy / "recipe.yaml").read_text(encoding="utf-8"))["model"]["checkpoint"]
    has_adapter = (copy / "adapter").is_dir() and not Path(checkpoint).exists()  # it needs its base on the Hub
    adapter = ["--adapter-repo", f"me/{run.name}-lora"] if has_adapter else []
    hfmm("publish", copy, "--repo", f"me/{run.name}", *adapter)
    recorded = _records(copy)
    place = json.loads((copy / "published.json").read_text(encoding="utf-8"))
    shutil.rmtree(copy / "model")
    code = f'from huggingface_hub import snapshot_download; print(snapshot_download("{place["repo"]}"))'
    fresh = environment | {"HF_HOME": str(folder / "empty")}
    got = subprocess.run([sys.executable, "-c", code], env=fresh, capture_output=True, text=True, check=True)
    shutil.copytree(got.stdout.strip(), copy / "model")
    hfmm("evaluate", copy)
    again = _records(copy)
    equal = sum(one == other for one, other in zip(recorded, again, strict=True))
    best, same = recorded[0], again[0]
    return (
        f"{place['repo']:<28} {best['metric']} {best['value']:.6f} recorded, {same['value']:.6f} pulled; "
        f"{equal} of {len(recorded)} scores equal to the last bit"
    )


def _records(run: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((run / "results.json").read_text(encoding="utf-8"))["records"]
    return records


if __name__ == "__main__":
    main()
