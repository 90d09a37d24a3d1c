"""Run a published recipe again and compare its scores with the published ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import snapshot_download

from hfmm.card.hub_text import LOCAL_PATH_MARK
from hfmm.errors import UserError
from hfmm.hub.errors import explain
from hfmm.hub.push import MANIFEST
from hfmm.hub.retry import with_retries
from hfmm.recipe.load import load_recipe
from hfmm.run import run_recipe
from hfmm.run_directory import check_format
from hfmm.utils.progress import StepReporter

FILES = [MANIFEST, "recipe.yaml", "results.json"]


def reproduce(repo: str, revision: str | None, out: Path, report: StepReporter) -> Iterator[str]:
    """Run the recipe of a repository again, and yield a line for each score.

    Args:
        repo: The id of a repository that `hfmm publish` pushed.
        revision: A branch, tag or commit.
        out: The run directory. If it exists, the run is resumed.
        report: Called with the name of each step and its result.

    Yields:
        The comparison of each score, as text.

    Raises:
        UserError: The repository has no record of a run, its recipe uses a local folder, the data differs from the
            published data, or (after all lines) a score is missing or outside its published interval.
    """
    folder = _download_run_record(repo, revision)
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    if missing := [line.strip() for line in text.splitlines() if line.endswith(LOCAL_PATH_MARK)]:
        raise UserError(
            f"{repo} cannot be reproduced: its recipe has `{missing[0]}`, a folder on the machine of its author. "
            "If you have this folder, set its path in a copy of the recipe and use `hfmm run`."
        )
    check_format(yaml.safe_load(text), folder / "recipe.yaml")
    published = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    check_format(published, folder / "results.json")
    again = run_recipe(load_recipe(str(folder / "recipe.yaml")), out, resume=out.exists(), report=report).read_results()
    yield ""
    if again["data"]["fingerprint"] != published["data"]["fingerprint"]:
        raise UserError(
            f"The data differs: its SHA-256 is {again['data']['fingerprint'][:12]}, but "
            f"{published['data']['fingerprint'][:12]} was published. Its source has changed, or a library has another "
            "version."
        )
    yield f"{'data':<40} the same, SHA-256 {published['data']['fingerprint'][:12]}"
    outside = []
    new_records = {_score_name(record): record for record in again["records"] if not record["baseline"]}
    for record in published["records"]:
        if record["baseline"]:
            continue
        name, new = _score_name(record), new_records.get(_score_name(record))
        is_equal = new is not None and record["value"] == new["value"]
        is_inside = new is not None and record["ci95"][0] <= new["value"] <= record["ci95"][1]
        verdict = "equal" if is_equal else "inside the interval" if is_inside else "OUTSIDE the interval"
        outside += [] if is_equal or is_inside else [name]
        comparison = f"{new['value']:.4f} reproduced: {verdict}" if new is not None else "NOT SCORED this time"
        yield f"{name:<40} {record['value']:.4f} published, {comparison}"
    if outside:
        raise UserError(f"{repo} was not reproduced: {', '.join(outside)} missing or outside the published interval.")


def _download_run_record(repo: str, revision: str | None) -> Path:
    try:
        folder = Path(with_retries(lambda: snapshot_download(repo, revision=revision, allow_patterns=FILES)))
    except Exception as error:
        raise UserError(explain(error, repo)) from error
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        is_foreign = missing[0] == MANIFEST
        reason = "it was not published by `hfmm publish`" if is_foreign else "its scores cannot be compared"
        raise UserError(f"{repo} has no {missing[0]}, so {reason}.")
    return folder


def _score_name(record: dict[str, Any]) -> str:
    split = record["split"] if record["split"] != "test" else ""
    weights = "before training" if record["weights"] == "base" else ""
    return " ".join(filter(None, (record["metric"], record["slice"], split, weights)))
