"""Publish finished runs, download them by their ids into an empty cache and evaluate them again.

`python -m tests.benchmarks.published_products RUN...` copies each run, so the original is not changed. Every score must
equal the recorded one. List a run that starts from the model of another run after that run. Adapters are downloaded as
well, loaded onto their base model with the code of their card, and evaluated.
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
    """Print the primary score of each model and adapter, recorded and downloaded, and the number of equal scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--lfs", action="store_true", help="upload large files through git LFS instead of xet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(Hub(folder / "hub", xet=not arguments.lfs)) as hub:
            copies: dict[Path, Path] = {}
            for number, run in enumerate(arguments.runs):
                copies[run] = folder / f"{number}" / run.name
                for line in _publish_and_evaluate(hub, run, copies):
                    print(line, flush=True)


def _publish_and_evaluate(hub: Hub, run: Path, copies: Mapping[Path, Path]) -> Iterator[str]:
    copy = copies[run]
    environment = {**os.environ, **hub.environment(), "HF_HOME": str(copy.parent / "home")}
    empty_cache = environment | {"HF_HOME": str(copy.parent / "empty")}
    shutil.copytree(run, copy)
    recipe = copy / "recipe.yaml"
    text = recipe.read_text(encoding="utf-8")
    for original, copied in copies.items():
        text = text.replace(f"{original.resolve()}/model", f"{copied}/model")
    recipe.write_text(text, encoding="utf-8")

    def python(*arguments: object, environment: Mapping[str, str] = environment) -> str:
        command = [sys.executable, *map(str, arguments)]
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        if process.returncode:
            raise SystemExit(f"{run}: {process.stdout}{process.stderr}")
        return process.stdout.strip()

    def evaluate_again(name: str) -> str:
        python("-m", "hfmm.cli", "evaluate", copy)
        downloaded = _records(copy)
        num_equal = sum(old == new for old, new in zip(recorded, downloaded, strict=True))
        old_score, new_score = recorded[0], downloaded[0]
        return (
            f"{name:<28} {old_score['metric']} {old_score['value']:.6f} recorded, {new_score['value']:.6f} downloaded; "
            f"{num_equal} of {len(recorded)} scores equal to the last bit"
        )

    python("-m", "hfmm.cli", "card", copy)
    recorded = _records(copy)
    checkpoint = Path(yaml.safe_load(text)["model"]["checkpoint"])
    on_the_hub = not checkpoint.exists() or (checkpoint.parent / "published.json").is_file()
    model = f"me/{run.name}"
    adapter = f"{model}-adapter" if on_the_hub and (copy / "adapter").is_dir() else ""
    adapter_arguments = ["--adapter-repo", adapter] if adapter else []
    python("-m", "hfmm.cli", "publish", copy, "--repo", model, *adapter_arguments, "--yes")
    shutil.rmtree(copy / "model")
    shutil.copytree(python("-c", DOWNLOAD, model, environment=empty_cache), copy / "model")
    yield evaluate_again(model)
    if adapter:
        card = Path(python("-c", DOWNLOAD, adapter, environment=empty_cache), "README.md").read_text(encoding="utf-8")
        (copy / "model/model.safetensors").unlink()
        python("-c", f"{code_block(card, 'python')}{MERGE}", copy / "model", environment=empty_cache)
        yield evaluate_again(adapter)


def _records(run: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((run / "results.json").read_text(encoding="utf-8"))["records"]
    return records


if __name__ == "__main__":
    main()
