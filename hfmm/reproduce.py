"""A published recipe run again, and its scores beside the published ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from hfmm.card.hub_text import LOCAL_PATH_MARK
from hfmm.errors import UserError
from hfmm.hub.errors import explain
from hfmm.hub.push import MANIFEST
from hfmm.hub.retry import with_retries
from hfmm.recipe.load import load_recipe
from hfmm.run import run_recipe
from hfmm.utils.progress import StepReporter

FILES = [MANIFEST, "recipe.yaml", "results.json"]


def reproduce(repo: str, revision: str | None, out: Path, report: StepReporter) -> Iterator[str]:
    """Run the recipe of a repository and yield a line for each score, published and again.

    Raises UserError where the repository is not one of hfmm, where its recipe needs what nobody else has, and at the
    end where the data or a score outside its interval came out.
    """
    folder = _download_run_record(repo, revision)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    if missing := [line.strip() for line in text.splitlines() if line.endswith(LOCAL_PATH_MARK)]:
        raise UserError(
            f"{repo} cannot be reproduced by others: its recipe says `{missing[0]}`, a folder of the machine it was "
            "trained on. With that folder at hand, put its path into a copy of the recipe and run it."
        )
    published = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    again = run_recipe(load_recipe(str(folder / "recipe.yaml")), out, resume=out.exists(), report=report).read_results()
    yield ""
    if again["data"]["fingerprint"] != published["data"]["fingerprint"]:
        raise UserError(
            f"The data came out differently: SHA-256 {again['data']['fingerprint'][:12]}, not "
            f"{published['data']['fingerprint'][:12]} as published. Its source has changed, or another version of a "
            "library draws it."
        )
    yield f"{'data':<40} the same, SHA-256 {published['data']['fingerprint'][:12]}"
    outside = []
    again_by_name = {_name(one): one for one in again["records"] if not one["baseline"]}
    for one in published["records"]:
        if one["baseline"]:
            continue
        other = again_by_name.get(_name(one))
        exact = other is not None and one["value"] == other["value"]
        inside = other is not None and one["ci95"][0] <= other["value"] <= one["ci95"][1]
        verdict = "exactly" if exact else "within its interval" if inside else "OUTSIDE its interval"
        outside += [] if exact or inside else [_name(one)]
        found = f"{other['value']:.4f} again: {verdict}" if other is not None else "NOT SCORED again"
        yield f"{_name(one):<40} {one['value']:.4f} published, {found}"
    if outside:
        raise UserError(f"{repo} was not reproduced: {', '.join(outside)} came out outside the published interval.")


def _download_run_record(repo: str, revision: str | None) -> Path:
    try:
        folder = Path(with_retries(lambda: snapshot_download(repo, revision=revision, allow_patterns=FILES)))
    except Exception as error:
        raise UserError(explain(error, repo)) from error
    if lacking := [name for name in FILES if not (folder / name).is_file()]:
        why = "it was not published by `hfmm publish`" if lacking[0] == MANIFEST else "there is nothing to compare with"
        raise UserError(f"{repo} holds no {lacking[0]}: {why}.")
    return folder


def _name(record: dict[str, Any]) -> str:
    split = record["split"] if record["split"] != "test" else ""
    weights = "before training" if record["weights"] == "base" else ""
    return " ".join(filter(None, (record["metric"], record["slice"], split, weights)))
