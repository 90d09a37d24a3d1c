"""Finished runs pushed, pulled by their ids into an empty cache and scored again: every score must be the recorded one.

`python -m tests.benchmarks.published_products RUN...` copies each run, so that it stays as it is. A run that began
where another ended stands behind that one. An adapter is pulled as well, put on its base as its card says, and scored.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from hfmm.card.code_blocks import code_block
from tests.hub.fake_hub import Hub, serve

DOWNLOAD = "import sys; from huggingface_hub import snapshot_download; print(snapshot_download(sys.argv[1]))"
MERGE = "\nimport sys\nmodel.merge_and_unload().save_pretrained(sys.argv[1])\n"


def main() -> None:
    """Print for each model and adapter the headline as recorded and as pulled, and how many of all scores are equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--lfs", action="store_true", help="large files through git LFS and not through xet")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(Hub(folder / "hub", xet=not asked.lfs)) as hub:
            copies: dict[Path, Path] = {}
            for number, run in enumerate(asked.runs):
                copies[run] = folder / f"{number}" / run.name
                for line in _published(hub, run, copies):
                    print(line, flush=True)


def _published(hub: Hub, run: Path, copies: Mapping[Path, Path]) -> Iterator[str]:
    copy = copies[run]
    environment = {**os.environ, **hub.environment(), "HF_HOME": str(copy.parent / "home")}
    fresh = environment | {"HF_HOME": str(copy.parent / "empty")}
    shutil.copytree(run, copy)
    recipe = copy / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    for before, after in copies.items():
        text = text.replace(f"{before.resolve()}/model", f"{after}/model")
    recipe.write_text(text, encoding="utf-8")

    def python(*arguments: object, environment: Mapping[str, str] = environment) -> str:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{run}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def scored_again(name: str) -> str:
        python("-m", "hfmm.cli", "evaluate", copy)
        again = _records(copy)
        equal = sum(one == other for one, other in zip(recorded, again, strict=True))
        best, same = recorded[0], again[0]
        return (
            f"{name:<28} {best['metric']} {best['value']:.6f} recorded, {same['value']:.6f} pulled; "
            f"{equal} of {len(recorded)} scores equal to the last bit"
        )

    python("-m", "hfmm.cli", "card", copy)
    recorded = _records(copy)
    checkpoint = Path(yaml.safe_load(text)["model"]["checkpoint"])
    on_the_hub = not checkpoint.exists() or (checkpoint.parent / "published.json").is_file()
    model = f"me/{run.name}"
    adapter = f"{model}-adapter" if on_the_hub and (copy / "adapter").is_dir() else ""
    asked = ["--adapter-repo", adapter] if adapter else []
    python("-m", "hfmm.cli", "publish", copy, "--repo", model, *asked, "--yes")
    shutil.rmtree(copy / "model")
    shutil.copytree(python("-c", DOWNLOAD, model, environment=fresh), copy / "model")
    yield scored_again(model)
    if adapter:
        card = Path(python("-c", DOWNLOAD, adapter, environment=fresh), "README.md").read_text(encoding="utf-8")
        (copy / "model/model.safetensors").unlink()
        python("-c", f"{code_block(card, 'python')}{MERGE}", copy / "model", environment=fresh)
        yield scored_again(adapter)


def _records(run: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((run / "results.json").read_text(encoding="utf-8"))["records"]
    return records


if __name__ == "__main__":
    main()
