"""Publish a run: verify it, show what will be sent, push it, then download it by its id and verify it again."""

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
from hfmm.evaluation.predict import SavedModel, load_saved_model
from hfmm.hub import base_models
from hfmm.hub.adapter import adapter_files, verify_adapter
from hfmm.hub.files import files_in_folder, repo_file
from hfmm.hub.int8 import QuantizedModel, int8_files, quantize_run, verify_int8
from hfmm.hub.pull import download_and_check
from hfmm.hub.push import PushResult, RepoTarget, push, with_manifest
from hfmm.hub.secrets import check_no_secrets
from hfmm.hub.upload import RepoUpload, describe
from hfmm.models.common import int8
from hfmm.plan import Plan
from hfmm.run_directory import RunDirectory
from hfmm.utils.files import write_json
from hfmm.utils.progress import StepReporter
from hfmm.verify.process import online_env
from hfmm.verify.verify import VERIFIED, verify, verify_published

MODEL, ADAPTER, INT8 = "model", "adapter", "int8"  # the repositories of a run

Confirm = Callable[[], bool]  # whether to send the uploads that were shown


class PublishOptions(NamedTuple):
    """Options of `publish` besides the run and its repository."""

    adapter: str | None = None  # the repository id of the adapter
    int8: str | None = None  # the repository id of the model with int8 weights
    license: str | None = None
    allow_unverified: bool = False


def publish(
    plan: Plan,
    run: RunDirectory,
    target: RepoTarget,
    options: PublishOptions,
    confirm: Confirm,
    report: StepReporter,
) -> None:
    """Publish a run; nothing is sent unless ``confirm`` returns True. Raises UserError if any step fails."""
    recipe = plan.recipe
    if options.int8:
        int8.require_torchao("--int8-repo")
    base_uploads = base_models.builtin_base_models(recipe, target)
    base_ids = [upload.target.id for upload in base_uploads.values()]
    _check_distinct_repos([target.id, options.adapter, options.int8, *base_ids])
    saved = load_saved_model(plan, run)
    unverified = _verify_or_explain(plan, run, saved, options.allow_unverified, report)
    quantized = _quantize(plan, run, saved, options.int8, unverified, report) if options.int8 else None
    published_bases = base_models.published_base_models(recipe, run)
    bases = published_bases | {name: HubRevision(upload.target.id, None) for name, upload in base_uploads.items()}
    license = base_models.resolve_license(recipe, published_bases, options.license)
    location = HubLocation(target.id, target.branch, bases, license, unverified)
    uploads = _plan_uploads(plan, run, saved, target, options, location, quantized)
    for upload in [*base_uploads.values(), *uploads.values()]:
        check_no_secrets(upload.files, run.root)
        report("publish", describe(upload))
    if not confirm():
        return
    for upload in base_uploads.values():
        base_models.check_repo_is_ours(upload)
    pushed_bases = {
        name: HubRevision(upload.target.id, _send(upload, report).commit) for name, upload in base_uploads.items()
    }
    if pushed_bases:
        location = replace(location, bases=bases | pushed_bases)
        uploads = _plan_uploads(plan, run, saved, target, options, location, quantized)
    pushed = {name: _send(upload, report) for name, upload in uploads.items()}
    model = pushed[MODEL]
    write_json(run.published, {"repo": target.id, "commit": model.commit, "tag": model.tag})
    _verify_published(plan, run, saved, uploads, pushed, location, quantized, report)
    task = "" if target.branch == "main" else f'"{plan.task_class.pipeline_tag}", '
    report("load", f"transformers.pipeline({task}model={from_pretrained_args(target.id, target.branch)})")


def folder_upload(target: RepoTarget, folder: Path) -> RepoUpload:
    """Return the upload of an exported dataset."""
    return RepoUpload(target, with_manifest(files_in_folder(folder), {}), f"{folder.name}, made with hfmm")


def publish_upload(upload: RepoUpload, folder: Path, confirm: Confirm, report: StepReporter) -> None:
    """Publish a built-in checkpoint, a dataset or a metric; raises UserError as `publish` does."""
    check_no_secrets(upload.files, folder)
    report("publish", describe(upload))
    if confirm():
        pushed = _send(upload, report)
        with tempfile.TemporaryDirectory() as home:
            download_and_check(upload.target, pushed.commit, Path(home) / "hub", upload.files)
        report("check", f"{len(upload.files)} files downloaded by id are identical to those that were sent")


def _check_distinct_repos(ids: list[str | None]) -> None:
    """Raise UserError if two repositories have the same id: the second push would delete the files of the first."""
    repo_ids = [repo_id.lower() for repo_id in ids if repo_id]
    if duplicates := [repo_id for repo_id in repo_ids if repo_ids.count(repo_id) > 1]:
        raise UserError(
            f"{duplicates[0]} would be used for two repositories. The model, its adapter, its int8 weights and its "
            "built-in base model (published to the same owner under its own name) each need their own repository."
        )


def _verify_or_explain(
    plan: Plan, run: RunDirectory, saved: SavedModel, allow_unverified: bool, report: StepReporter
) -> str:
    """Verify the run and return "", or the error message if ``allow_unverified`` is set."""
    try:
        report("verify", VERIFIED.format(verify(plan, run, saved)))
    except UserError as error:
        if not allow_unverified:
            raise UserError(
                f"{error} Nothing was sent. Pass --allow-unverified to publish anyway; the card will report it."
            ) from error
        report("verify", f"failed, which the card will report: {error}")
        return str(error).replace(str(run.model.resolve()), "this repository")
    return ""


def _quantize(
    plan: Plan, run: RunDirectory, saved: SavedModel, repo: str, unverified: str, report: StepReporter
) -> QuantizedModel:
    """Return the model with int8 weights; raises UserError if the run failed its verification."""
    if unverified:
        raise UserError("--int8-repo requires a run that passes its verification. Publish this run without it.")
    quantized = quantize_run(plan, run, saved, repo)
    report("int8", f"{run.int8} was written and runs in a clean process")
    return quantized


def _plan_uploads(
    plan: Plan,
    run: RunDirectory,
    saved: SavedModel,
    target: RepoTarget,
    options: PublishOptions,
    location: HubLocation,
    quantized: QuantizedModel | None,
) -> dict[str, RepoUpload]:
    """Return the uploads of the model and, if requested, of its adapter and its int8 weights."""
    recipe, results = plan.recipe, run.read_results()
    text = model_card.render(plan, run, saved, location)
    files = files_in_folder(run.model)
    files["README.md"] = repo_file("README.md", text.encode())
    files["recipe.yaml"] = repo_file("recipe.yaml", model_card.public_recipe_yaml(plan, run, location).encode())
    files["results.json"] = repo_file("results.json", run.results)
    provenance = {
        "hfmm": version("hfmm"),
        "commit": results["environment"].get("commit"),
        "recipe": recipe.name,
        "data": results["data"]["fingerprint"],
        "bases": [base._asdict() for base in location.bases.values()],
    }
    uploads = {MODEL: RepoUpload(target, with_manifest(files, provenance), f"{recipe.name}, trained with hfmm")}
    title, metadata = recipe.publish.title or recipe.name, ModelCard(text).data
    if options.adapter is not None:
        base = location.bases.get(recipe.model.checkpoint)
        if base is None:
            raise UserError(
                f"The adapter needs a base model on the Hub, but {recipe.model.checkpoint} is a local folder. Publish "
                "without --adapter-repo, or train from a Hub id."
            )
        auto_class = plan.model.auto_class
        adapter = target._replace(id=options.adapter)
        files = adapter_files(run, auto_class, metadata, title, (target, adapter), base)
        uploads[ADAPTER] = RepoUpload(adapter, with_manifest(files, provenance), f"The adapter of {recipe.name}")
    if quantized is not None:
        files = int8_files(run, quantized, metadata, title, target.id, target.branch)
        message = f"{recipe.name} with int8 weights"
        uploads[INT8] = RepoUpload(target._replace(id=quantized.repo), with_manifest(files, provenance), message)
    return uploads


def _send(upload: RepoUpload, report: StepReporter) -> PushResult:
    result = push(upload.target, upload.files, upload.message)
    outcome = "pushed" if result.changed else "already up to date, nothing was sent"
    report("push", f"{upload.target.id} {result.tag} at {result.commit[:8]}: {outcome}")
    return result


def _verify_published(
    plan: Plan,
    run: RunDirectory,
    saved: SavedModel,
    uploads: dict[str, RepoUpload],
    pushed: dict[str, PushResult],
    location: HubLocation,
    quantized: QuantizedModel | None,
    report: StepReporter,
) -> None:
    """Download every repository into an empty cache, compare every byte, and verify the models by their Hub ids."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        for name, upload in uploads.items():
            cache = home / ("hub" if name == MODEL else "other")
            folder = download_and_check(upload.target, pushed[name].commit, cache, upload.files)
            if name == MODEL:
                text = (folder / "README.md").read_text(encoding="utf-8")
        if location.unverified:
            return
        count = verify_published(plan, run, saved, text, location.repo, location.branch, home)
        report("check", f"downloaded by id: {VERIFIED.format(count)}")
        if ADAPTER in uploads:
            base = location.bases[plan.recipe.model.checkpoint]
            job = {**base._asdict(), "base": base.id, "adapter": uploads[ADAPTER].target.id, "model": location.repo}
            job |= {"branch": location.branch, "auto_class": plan.model.auto_class}
            verify_adapter(job, online_env(home))
            report("check", "adapter and base model downloaded by id give the same weights")
        if quantized is not None:
            count = verify_int8(saved, quantized, location.branch, home)
            report("check", f"int8 weights downloaded by id: {count} predictions match those made locally")
