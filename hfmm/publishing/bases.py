"""The checkpoints that a run began from, as the Hub has them; an embedded one is published beside the model first."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import HfApi, ModelCard

from hfmm.errors import UserError
from hfmm.models.checkpoint import BUILTIN
from hfmm.provenance import KEYS, is_folder
from hfmm.publishing import contents, publication
from hfmm.publishing.fenced import fenced
from hfmm.publishing.hub_errors import reason
from hfmm.publishing.lineage import run_of
from hfmm.publishing.parcel import Parcel
from hfmm.publishing.patience import patiently
from hfmm.publishing.publication import Base
from hfmm.publishing.push import Target, compare, with_manifest
from hfmm.recipe import Recipe
from hfmm.resources import CHECKPOINTS
from hfmm.run_directory import RunDirectory

LICENCE_KEYS = ("license", "license_name", "license_link")


def known(recipe: Recipe, run: RunDirectory) -> dict[str, Base]:
    """Return those bases that are on the Hub already, by the name that the recipe has for them.

    They are Hub ids, at the commit that training began from, and folders of runs that were published.
    """
    commits, found = run.read_results().get("bases", {}), {}
    for checkpoint in _named(recipe):
        parent = run_of(checkpoint)
        if parent is not None and parent.published.is_file():
            place = json.loads(parent.published.read_text(encoding="utf-8"))
            found[checkpoint] = Base(place["repo"], place["commit"])
        elif checkpoint in commits:
            found[checkpoint] = Base(checkpoint, commits[checkpoint])
    return found


def embedded(recipe: Recipe, model: Target) -> dict[str, Parcel]:
    """Return what is to be published before the model: each embedded checkpoint that its weights come from."""
    if recipe.model.init == "random":
        return {}
    names = [one for one in _named(recipe) if one.startswith(BUILTIN)]
    owner = model.id.partition("/")[0]
    return {
        name: checkpoint_parcel(name, model._replace(id=f"{owner}/{name.removeprefix(BUILTIN)}", branch="main"))
        for name in names
    }


def checkpoint_parcel(name: str, target: Target) -> Parcel:
    """Return an embedded checkpoint as a repository; raises UserError for one that there is not."""
    short = name.removeprefix(BUILTIN)
    folder = CHECKPOINTS / short
    if not (folder / "config.json").is_file():
        raise UserError(f"There is no {name}. `hfmm list` shows the embedded checkpoints.")
    files = contents.of_folder(folder)
    card = publication.snippet((folder / "README.md").read_text(encoding="utf-8"), target.id, target.branch)
    files["README.md"] = contents.of_source("README.md", card.encode())
    if recipe := fenced(card, "yaml"):  # of which the card says that it lies beside it
        files["recipe.yaml"] = contents.of_source("recipe.yaml", recipe.encode())
    return Parcel(target, with_manifest(files, {"checkpoint": short}), f"{short}, which comes with hfmm")


def refuse_foreign(parcel: Parcel) -> None:
    """Raise UserError where the name that an embedded checkpoint would take is taken by something else."""
    try:
        there = patiently(lambda: compare(parcel.target, parcel.contents))
    except Exception as error:
        raise UserError(f"{reason(error, parcel.target.id)} Nothing was sent.") from error
    found = f"{there.foreign[0]}, which hfmm did not put there" if there.foreign else ""
    if there.earlier is not None and "checkpoint" not in there.earlier:
        found = f"what hfmm published of {there.earlier.get('recipe', 'other data')}"
    if found:
        raise UserError(
            f"The model comes from an embedded checkpoint, which goes into {parcel.target.id} first, and that "
            f"repository holds {found}. Rename it, or publish under another owner."
        )


def licence(recipe: Recipe, bases: dict[str, Base], stated: str | None) -> dict[str, str]:
    """Return the card's licence: the one that is stated here, else that of the bases, else the recipe's.

    The recipe's stands where training began from random weights. Raises UserError where the bases have different ones,
    and where one is a folder that does not say under which it stands.
    """
    if stated is not None:
        return {"license": stated}
    if recipe.model.init == "random":
        return {"license": recipe.publish.license}
    found = {checkpoint: _licence_of(checkpoint, bases.get(checkpoint)) for checkpoint in _named(recipe)}
    if unknown := [name for name, one in found.items() if not one and is_folder(name)]:
        raise UserError(
            f"{unknown[0]} has no README.md that names its licence, so that of the model is unknown. "
            "Say with --license under which yours may stand."
        )
    licences = {json.dumps(one): one for one in found.values() if one}
    if len(licences) > 1:
        told = ", ".join(f"{name} {one['license']}" for name, one in found.items() if one)
        raise UserError(f"The bases have different licences ({told}). Say with --license under which yours may stand.")
    return next(iter(licences.values()), {"license": recipe.publish.license})


def _licence_of(checkpoint: str, base: Base | None) -> dict[str, str]:
    if checkpoint.startswith(BUILTIN):
        data = ModelCard.load(CHECKPOINTS / checkpoint.removeprefix(BUILTIN) / "README.md").data.to_dict()
    elif base is not None:
        try:
            info = patiently(lambda: HfApi().model_info(base.id, revision=base.revision))
        except Exception as error:
            raise UserError(
                f"{reason(error, base.id)} So the licence of the base is unknown; nothing was sent."
            ) from error
        data = info.card_data.to_dict() if info.card_data else {}
    else:
        card = Path(checkpoint).expanduser() / "README.md"
        data = ModelCard.load(card).data.to_dict() if card.is_file() else {}
    return {key: data[key] for key in LICENCE_KEYS if data.get(key)} if data.get("license") else {}


def _named(recipe: Recipe) -> list[str]:
    model = recipe.model.model_dump()
    return list(dict.fromkeys(model[key] for key in KEYS if model.get(key)))
