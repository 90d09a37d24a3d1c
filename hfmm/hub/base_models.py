"""The base models of a run on the Hub. A built-in checkpoint is published before the model that was trained from it."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import HfApi, ModelCard

from hfmm.assets import BUILTIN, checkpoint_folder
from hfmm.card import hub_text
from hfmm.card.code_blocks import code_block
from hfmm.card.hub_text import HubRevision
from hfmm.card.lineage import find_run
from hfmm.errors import UserError
from hfmm.hub.errors import explain
from hfmm.hub.files import files_in_folder, repo_file
from hfmm.hub.push import RepoTarget, compare, with_manifest
from hfmm.hub.retry import with_retries
from hfmm.hub.upload import RepoUpload
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory

LICENSE_KEYS = ("license", "license_name", "license_link")


def published_base_models(recipe: Recipe, run: RunDirectory) -> dict[str, HubRevision]:
    """Return the base models that are already on the Hub, by their name in the recipe.

    These are Hub ids, at the commit that training started from, and folders of published runs.
    """
    commits = run.read_results().get("bases", {})
    published: dict[str, HubRevision] = {}
    for checkpoint in _checkpoint_names(recipe):
        parent = find_run(checkpoint)
        if parent is not None and parent.published.is_file():
            record = json.loads(parent.published.read_text(encoding="utf-8"))
            published[checkpoint] = HubRevision(record["repo"], record["commit"])
        elif checkpoint in commits:
            published[checkpoint] = HubRevision(checkpoint, commits[checkpoint])
    return published


def builtin_base_models(recipe: Recipe, model: RepoTarget) -> dict[str, RepoUpload]:
    """Return the uploads that must precede the model: every built-in checkpoint that its weights come from."""
    if recipe.model.init == "random":
        return {}
    names = [name for name in _checkpoint_names(recipe) if name.startswith(BUILTIN)]
    owner = model.id.partition("/")[0]
    return {
        name: builtin_checkpoint_upload(name, model._replace(id=f"{owner}/{name.removeprefix(BUILTIN)}", branch="main"))
        for name in names
    }


def builtin_checkpoint_upload(name: str, target: RepoTarget) -> RepoUpload:
    """Return the upload of a built-in checkpoint; raises UserError if it does not exist."""
    short_name, folder = name.removeprefix(BUILTIN), checkpoint_folder(name)
    if not (folder / "config.json").is_file():
        raise UserError(f"{name} does not exist. `hfmm list` shows the built-in checkpoints.")
    files = files_in_folder(folder)
    card = hub_text.snippet_from_hub((folder / "README.md").read_text(encoding="utf-8"), target.id, target.branch)
    files["README.md"] = repo_file("README.md", card.encode())
    if recipe := code_block(card, "yaml"):  # the card says that recipe.yaml is in the repository
        files["recipe.yaml"] = repo_file("recipe.yaml", recipe.encode())
    return RepoUpload(target, with_manifest(files, {"checkpoint": short_name}), f"{short_name}, which comes with hfmm")


def check_repo_is_ours(upload: RepoUpload) -> None:
    """Raise UserError if the repository name of a built-in checkpoint is already used for something else."""
    try:
        diff = with_retries(lambda: compare(upload.target, upload.files))
    except Exception as error:
        raise UserError(f"{explain(error, upload.target.id)} Nothing was sent.") from error
    conflict = f"{diff.foreign[0]}, which hfmm did not upload" if diff.foreign else ""
    if diff.manifest is not None and "checkpoint" not in diff.manifest:
        conflict = f"an hfmm upload of {diff.manifest.get('recipe', 'other data')}"
    if conflict:
        raise UserError(
            f"The model was trained from a built-in checkpoint, which is published to {upload.target.id} first. That "
            f"repository contains {conflict}. Rename it, or publish under another owner."
        )


def resolve_license(recipe: Recipe, bases: dict[str, HubRevision], license: str | None) -> dict[str, str]:
    """Return the license keys of the card.

    ``license`` takes precedence, then the license of the base models. The license of the recipe is used if training
    started from random weights or no base model has a license. Raises UserError if the base models have different
    licenses, or if one is a folder without a license.
    """
    if license is not None:
        return {"license": license}
    if recipe.model.init == "random":
        return {"license": recipe.publish.license}
    license_by_name = {name: _license_of(name, bases.get(name)) for name in _checkpoint_names(recipe)}
    if unlicensed := [name for name, keys in license_by_name.items() if not keys and is_local_path(name)]:
        raise UserError(
            f"{unlicensed[0]} has no README.md that names its license. Pass --license to set the license of your model."
        )
    licenses = {json.dumps(keys): keys for keys in license_by_name.values() if keys}
    if len(licenses) > 1:
        listing = ", ".join(f"{name} {keys['license']}" for name, keys in license_by_name.items() if keys)
        raise UserError(
            f"The base models have different licenses ({listing}). Pass --license to set the license of your model."
        )
    return next(iter(licenses.values()), {"license": recipe.publish.license})


def _license_of(checkpoint: str, base: HubRevision | None) -> dict[str, str]:
    if checkpoint.startswith(BUILTIN):
        metadata = ModelCard.load(checkpoint_folder(checkpoint) / "README.md").data.to_dict()
    elif base is not None:
        try:
            info = with_retries(lambda: HfApi().model_info(base.id, revision=base.revision))
        except Exception as error:
            raise UserError(
                f"{explain(error, base.id)} The license of the base model could not be read. Nothing was sent."
            ) from error
        metadata = info.card_data.to_dict() if info.card_data else {}
    else:
        card = Path(checkpoint).expanduser() / "README.md"
        metadata = ModelCard.load(card).data.to_dict() if card.is_file() else {}
    return {key: metadata[key] for key in LICENSE_KEYS if metadata.get(key)} if metadata.get("license") else {}


def _checkpoint_names(recipe: Recipe) -> list[str]:
    model = recipe.model.model_dump()
    return list(dict.fromkeys(model[key] for key in CHECKPOINT_KEYS if model.get(key)))
