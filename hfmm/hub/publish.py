"""A run onto the Hub: prove it, show what will be sent, send it, download it by its id and prove it again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import ModelCard

from hfmm.card import model_card
from hfmm.card.hub_text import HubLocation, HubRevision, from_pretrained_args
from hfmm.errors import UserError
from hfmm.hub import base_models
from hfmm.hub.adapter import adapter_files, verify_adapter
from hfmm.hub.files import files_in_folder, repo_file
from hfmm.hub.int8 import QuantizedModel, int8_contents, quantize_run, verify_int8
from hfmm.hub.pull import download_and_check
from hfmm.hub.push import PushResult, RepoTarget, push, with_manifest
from hfmm.hub.secrets import check_no_secrets
from hfmm.hub.upload import RepoUpload, describe
from hfmm.models.common import int8
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import resolve
from hfmm.utils.files import write_json
from hfmm.utils.progress import StepReporter
from hfmm.verify.process import online_env
from hfmm.verify.verify import REPRODUCED, verify, verify_published

MODEL, ADAPTER, INT8 = "model", "adapter", "int8"  # the repositories that a run can be

Confirm = Callable[[], bool]  # whether to go on, now that everything was shown


class PublishOptions(NamedTuple):
    """What the user wants beyond the run and its place."""

    adapter: str | None = None  # the id of its repository
    int8: str | None = None  # the same for int8 weights
    license: str | None = None
    allow_unverified: bool = False


def publish(
    recipe: Recipe, run: RunDirectory, target: RepoTarget, wishes: PublishOptions, ask: Confirm, report: StepReporter
) -> None:
    """Publish a run; nothing is sent before ``ask`` agrees. Raises UserError for whatever stands in the way."""
    if wishes.int8:
        int8.require_torchao("--int8-repo")
    base_parcels = base_models.builtin_base_models(recipe, target)
    _check_distinct_repos([target.id, wishes.adapter, wishes.int8, *(one.target.id for one in base_parcels.values())])
    unverified = _verify_or_explain(recipe, run, wishes.allow_unverified, report)
    made = _int8(recipe, run, wishes.int8, unverified, report) if wishes.int8 else None
    known = base_models.published_base_models(recipe, run)
    places = known | {name: HubRevision(parcel.target.id, None) for name, parcel in base_parcels.items()}
    place = HubLocation(
        target.id, target.branch, places, base_models.resolve_license(recipe, known, wishes.license), unverified
    )
    parcels = _plan_uploads(recipe, run, target, wishes, place, made)
    for parcel in [*base_parcels.values(), *parcels.values()]:
        check_no_secrets(parcel.contents, run.root)
        report("publish", describe(parcel))
    if not ask():
        return
    for parcel in base_parcels.values():
        base_models.check_repo_is_ours(parcel)
    pinned = {
        name: HubRevision(parcel.target.id, _send(parcel, report).commit) for name, parcel in base_parcels.items()
    }
    if pinned:
        place = replace(place, bases=places | pinned)
        parcels = _plan_uploads(recipe, run, target, wishes, place, made)
    pushed = {name: _send(parcel, report) for name, parcel in parcels.items()}
    model = pushed[MODEL]
    write_json(run.published, {"repo": target.id, "commit": model.commit, "tag": model.tag})
    _verify_published(recipe, run, parcels, pushed, place, made, report)
    task = "" if target.branch == "main" else f'"{resolve(recipe)[0].pipeline_tag}", '
    report("load", f"transformers.pipeline({task}model={from_pretrained_args(target.id, target.branch)})")


def folder_parcel(target: RepoTarget, folder: Path) -> RepoUpload:
    """Return an exported dataset as a repository."""
    return RepoUpload(target, with_manifest(files_in_folder(folder), {}), f"{folder.name}, made with hfmm")


def publish_parcel(parcel: RepoUpload, folder: Path, ask: Confirm, report: StepReporter) -> None:
    """Publish what is no run: an embedded checkpoint, a dataset, a metric; raises UserError like `publish`."""
    check_no_secrets(parcel.contents, folder)
    report("publish", describe(parcel))
    if ask():
        pushed = _send(parcel, report)
        with tempfile.TemporaryDirectory() as home:
            download_and_check(parcel.target, pushed.commit, Path(home) / "hub", parcel.contents)
        report("check", f"{len(parcel.contents)} files downloaded by id are those that were sent")


def _check_distinct_repos(ids: list[str | None]) -> None:
    """Raise UserError where two of the repositories would be one: the second would delete the first."""
    told = [one.lower() for one in ids if one]
    if twice := [one for one in told if told.count(one) > 1]:
        raise UserError(
            f"{twice[0]} would be two repositories at once. The model, its adapter, its int8 weights and the embedded "
            "checkpoint that it began from, which goes to the same owner under its own name, each need their own."
        )


def _verify_or_explain(recipe: Recipe, run: RunDirectory, allow_unverified: bool, report: StepReporter) -> str:
    """Return why the run cannot be proved, which is nothing unless that is allowed."""
    try:
        report("verify", REPRODUCED.format(verify(recipe, run)))
    except UserError as error:
        if not allow_unverified:
            raise UserError(
                f"{error} Nothing was sent; --allow-unverified publishes it, and the card says so."
            ) from error
        report("verify", f"failed, which the card says: {error}")
        return str(error).replace(str(run.model.resolve()), "this repository")
    return ""


def _int8(recipe: Recipe, run: RunDirectory, repo: str, unverified: str, report: StepReporter) -> QuantizedModel:
    """Return the model with int8 weights, which cannot be had of a run that failed its verification."""
    if unverified:
        raise UserError("--int8-repo is for a run that passes its verification. Publish this one without it.")
    made = quantize_run(recipe, run, repo)
    report("int8", f"{run.int8} is written, and answers in a clean process")
    return made


def _plan_uploads(
    recipe: Recipe,
    run: RunDirectory,
    target: RepoTarget,
    wishes: PublishOptions,
    place: HubLocation,
    made: QuantizedModel | None,
) -> dict[str, RepoUpload]:
    """Return the model's repository, and those of adapter and int8 weights where they are wanted."""
    results = run.read_results()
    text = model_card.render(run, place)
    files = files_in_folder(run.model)
    files["README.md"] = repo_file("README.md", text.encode())
    files["recipe.yaml"] = repo_file("recipe.yaml", model_card.public_recipe_yaml(run, place).encode())
    files["results.json"] = repo_file("results.json", run.results)
    provenance = {
        "hfmm": version("hfmm"),
        "commit": results["environment"].get("commit"),
        "recipe": recipe.name,
        "data": results["data"]["fingerprint"],
        "bases": [base._asdict() for base in place.bases.values()],
    }
    parcels = {MODEL: RepoUpload(target, with_manifest(files, provenance), f"{recipe.name}, trained with hfmm")}
    title, data = recipe.publish.title or recipe.name, ModelCard(text).data
    if wishes.adapter is not None:
        base = place.bases.get(recipe.model.checkpoint)
        if base is None:
            raise UserError(
                f"The adapter needs its base on the Hub, and {recipe.model.checkpoint} is a folder of this machine. "
                "Publish without --adapter-repo, or train from a Hub id."
            )
        auto_class = resolve(recipe)[0].auto_class
        adapter = target._replace(id=wishes.adapter)
        own = adapter_files(run, auto_class, data, title, (target, adapter), base)
        parcels[ADAPTER] = RepoUpload(adapter, with_manifest(own, provenance), f"The adapter of {recipe.name}")
    if made is not None:
        own = int8_contents(run, made, data, title, target.id, target.branch)
        message = f"{recipe.name} with int8 weights"
        parcels[INT8] = RepoUpload(target._replace(id=made.repo), with_manifest(own, provenance), message)
    return parcels


def _send(parcel: RepoUpload, report: StepReporter) -> PushResult:
    pushed = push(parcel.target, parcel.contents, parcel.message)
    done = "pushed" if pushed.changed else "was there already, nothing was sent"
    report("push", f"{parcel.target.id} {pushed.tag} at {pushed.commit[:8]}: {done}")
    return pushed


def _verify_published(
    recipe: Recipe,
    run: RunDirectory,
    parcels: dict[str, RepoUpload],
    pushed: dict[str, PushResult],
    place: HubLocation,
    made: QuantizedModel | None,
    report: StepReporter,
) -> None:
    """Download by id into an empty cache, compare every byte, and let a clean process say what the card says."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        for name, parcel in parcels.items():
            cache = home / ("hub" if name == MODEL else "other")
            folder = download_and_check(parcel.target, pushed[name].commit, cache, parcel.contents)
            if name == MODEL:
                text = (folder / "README.md").read_text(encoding="utf-8")
        if place.unverified:
            return
        count = verify_published(recipe, run, text, place.repo, place.branch, home)
        report("check", f"downloaded by id: {REPRODUCED.format(count)}")
        if ADAPTER in parcels:
            base = place.bases[recipe.model.checkpoint]
            job = {**base._asdict(), "base": base.id, "adapter": parcels[ADAPTER].target.id, "model": place.repo}
            job |= {"branch": place.branch, "auto_class": resolve(recipe)[0].auto_class}
            verify_adapter(job, online_env(home))
            report("check", "base and adapter by their ids make the same weights")
        if made is not None:
            count = verify_int8(run, made, place.branch, home)
            report("check", f"int8 weights downloaded by id: the same {count} predictions as those written here")
