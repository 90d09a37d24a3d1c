"""The checkpoints that a run began from, as the Hub has them; an embedded one is published beside the model first."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import HfApi, ModelCard

from hfmm.assets import BUILTIN, CHECKPOINTS
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

LICENCE_KEYS = ("license", "license_name", "license_link")


def published_base_models(recipe: Recipe, run: RunDirectory) -> dict[str, HubRevision]:
    """Return those bases that are on the Hub already, by the name that the recipe has for them.

    They are Hub ids, at the commit that training began from, and folders of runs that were published.
    """
    commits, found = run.read_results().get("bases", {}), {}
    for checkpoint in _checkpoint_names(recipe):
        parent = find_run(checkpoint)
        if parent is not None and parent.published.is_file():
            place = json.loads(parent.published.read_text(encoding="utf-8"))
            found[checkpoint] = HubRevision(place["repo"], place["commit"])
        elif checkpoint in commits:
            found[checkpoint] = HubRevision(checkpoint, commits[checkpoint])
    return found


def builtin_base_models(recipe: Recipe, model: RepoTarget) -> dict[str, RepoUpload]:
    """Return what is to be published before the model: each embedded checkpoint that its weights come from."""
    if recipe.model.init == "random":
        return {}
    names = [one for one in _checkpoint_names(recipe) if one.startswith(BUILTIN)]
    owner = model.id.partition("/")[0]
    return {
        name: builtin_checkpoint_upload(name, model._replace(id=f"{owner}/{name.removeprefix(BUILTIN)}", branch="main"))
        for name in names
    }


def builtin_checkpoint_upload(name: str, target: RepoTarget) -> RepoUpload:
    """Return an embedded checkpoint as a repository; raises UserError for one that there is not."""
    short = name.removeprefix(BUILTIN)
    folder = CHECKPOINTS / short
    if not (folder / "config.json").is_file():
        raise UserError(f"There is no {name}. `hfmm list` shows the embedded checkpoints.")
    files = files_in_folder(folder)
    card = hub_text.snippet_from_hub((folder / "README.md").read_text(encoding="utf-8"), target.id, target.branch)
    files["README.md"] = repo_file("README.md", card.encode())
    if recipe := code_block(card, "yaml"):  # of which the card says that it lies beside it
        files["recipe.yaml"] = repo_file("recipe.yaml", recipe.encode())
    return RepoUpload(target, with_manifest(files, {"checkpoint": short}), f"{short}, which comes with hfmm")


def check_repo_is_ours(parcel: RepoUpload) -> None:
    """Raise UserError where the name that an embedded checkpoint would take is taken by something else."""
    try:
        there = with_retries(lambda: compare(parcel.target, parcel.contents))
    except Exception as error:
        raise UserError(f"{explain(error, parcel.target.id)} Nothing was sent.") from error
    found = f"{there.foreign[0]}, which hfmm did not put there" if there.foreign else ""
    if there.earlier is not None and "checkpoint" not in there.earlier:
        found = f"what hfmm published of {there.earlier.get('recipe', 'other data')}"
    if found:
        raise UserError(
            f"The model comes from an embedded checkpoint, which goes into {parcel.target.id} first, and that "
            f"repository holds {found}. Rename it, or publish under another owner."
        )


def resolve_license(recipe: Recipe, bases: dict[str, HubRevision], stated: str | None) -> dict[str, str]:
    """Return the card's licence: the one that is stated here, else that of the bases, else the recipe's.

    The recipe's stands where training began from random weights. Raises UserError where the bases have different ones,
    and where one is a folder that does not say under which it stands.
    """
    if stated is not None:
        return {"license": stated}
    if recipe.model.init == "random":
        return {"license": recipe.publish.license}
    found = {checkpoint: _licence_of(checkpoint, bases.get(checkpoint)) for checkpoint in _checkpoint_names(recipe)}
    if unknown := [name for name, one in found.items() if not one and is_local_path(name)]:
        raise UserError(
            f"{unknown[0]} has no README.md that names its licence, so that of the model is unknown. "
            "Say with --license under which yours may stand."
        )
    licences = {json.dumps(one): one for one in found.values() if one}
    if len(licences) > 1:
        told = ", ".join(f"{name} {one['license']}" for name, one in found.items() if one)
        raise UserError(f"The bases have different licences ({told}). Say with --license under which yours may stand.")
    return next(iter(licences.values()), {"license": recipe.publish.license})


def _licence_of(checkpoint: str, base: HubRevision | None) -> dict[str, str]:
    if checkpoint.startswith(BUILTIN):
        data = ModelCard.load(CHECKPOINTS / checkpoint.removeprefix(BUILTIN) / "README.md").data.to_dict()
    elif base is not None:
        try:
            info = with_retries(lambda: HfApi().model_info(base.id, revision=base.revision))
        except Exception as error:
            raise UserError(
                f"{explain(error, base.id)} So the licence of the base is unknown; nothing was sent."
            ) from error
        data = info.card_data.to_dict() if info.card_data else {}
    else:
        card = Path(checkpoint).expanduser() / "README.md"
        data = ModelCard.load(card).data.to_dict() if card.is_file() else {}
    return {key: data[key] for key in LICENCE_KEYS if data.get(key)} if data.get("license") else {}


def _checkpoint_names(recipe: Recipe) -> list[str]:
    model = recipe.model.model_dump()
    return list(dict.fromkeys(model[key] for key in CHECKPOINT_KEYS if model.get(key)))
