"""A run onto the Hub: prove it, show what will be sent, send it, download it by its id and prove it again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import ModelCard

from hfmm.errors import UserError
from hfmm.progress import Report
from hfmm.publishing import bases, card, contents
from hfmm.publishing.adapter import adapter_contents, verify_adapter
from hfmm.publishing.parcel import Parcel, describe
from hfmm.publishing.private import refuse_private
from hfmm.publishing.publication import Base, Publication
from hfmm.publishing.pull import pull
from hfmm.publishing.push import Pushed, Target, push, with_manifest
from hfmm.publishing.verify import clean_environment, verify, verify_published
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory, write_json
from hfmm.tasks import resolve

Ask = Callable[[], bool]  # whether to go on, now that everything was shown


class Wishes(NamedTuple):
    """What the user wants beyond the run and its place."""

    adapter: str | None = None
    license: str | None = None
    allow_unverified: bool = False


def publish(recipe: Recipe, run: RunDirectory, target: Target, wishes: Wishes, ask: Ask, report: Report) -> None:
    """Publish a run; nothing is sent before ``ask`` agrees. Raises UserError for whatever stands in the way."""
    unverified = _verified(recipe, run, wishes.allow_unverified, report)
    base_parcels = bases.embedded(recipe, target)
    known = bases.known(recipe, run)
    places = known | {name: Base(parcel.target.id, None) for name, parcel in base_parcels.items()}
    place = Publication(target.id, target.branch, places, bases.licence(recipe, known, wishes.license), unverified)
    parcels = _own_parcels(recipe, run, target, wishes, place)
    for parcel in [*base_parcels.values(), *parcels]:
        refuse_private(parcel.contents, run.root)
        report("publish", describe(parcel))
    if not ask():
        return
    for parcel in base_parcels.values():
        bases.refuse_foreign(parcel)
    pinned = {name: Base(parcel.target.id, _send(parcel, report).commit) for name, parcel in base_parcels.items()}
    if pinned:
        place = replace(place, bases=places | pinned)
        parcels = _own_parcels(recipe, run, target, wishes, place)
    pushed = [_send(parcel, report) for parcel in parcels]
    write_json(run.published, {"repo": target.id, "commit": pushed[0].commit, "tag": pushed[0].tag})
    _prove(recipe, run, parcels, pushed, place, report)


def folder_parcel(target: Target, folder: Path) -> Parcel:
    """Return an exported dataset as a repository."""
    return Parcel(target, with_manifest(contents.of_folder(folder), {}), f"{folder.name}, made with hfmm")


def publish_parcel(parcel: Parcel, folder: Path, ask: Ask, report: Report) -> None:
    """Publish what is no run: an embedded checkpoint, a dataset, a metric; raises UserError like `publish`."""
    refuse_private(parcel.contents, folder)
    report("publish", describe(parcel))
    if ask():
        pushed = _send(parcel, report)
        with tempfile.TemporaryDirectory() as home:
            pull(parcel.target, pushed.commit, Path(home) / "hub", parcel.contents)
        report("check", f"{len(parcel.contents)} files downloaded by id are those that were sent")


def _verified(recipe: Recipe, run: RunDirectory, allow_unverified: bool, report: Report) -> str:
    """Return why the run cannot be proved, which is nothing unless that is allowed."""
    try:
        report("verify", f"{verify(recipe, run)} predictions and the card's snippet reproduced in a clean process")
    except UserError as error:
        if not allow_unverified:
            raise UserError(
                f"{error} Nothing was sent; --allow-unverified publishes it, and the card says so."
            ) from error
        report("verify", f"failed, which the card says: {error}")
        return str(error).replace(str(run.model.resolve()), "this repository")
    return ""


def _own_parcels(recipe: Recipe, run: RunDirectory, target: Target, wishes: Wishes, place: Publication) -> list[Parcel]:
    """Return the model's repository, and the adapter's where that is wanted."""
    results = run.read_results()
    text = card.render(run, place)
    files = contents.of_folder(run.model)
    files["README.md"] = contents.of_source("README.md", text.encode())
    files["recipe.yaml"] = contents.of_source("recipe.yaml", card.recipe_text(run, place).encode())
    files["results.json"] = contents.of_source("results.json", run.results)
    provenance = {
        "hfmm": version("hfmm"),
        "commit": results["environment"].get("commit"),
        "recipe": recipe.name,
        "data": results["data"]["fingerprint"],
        "bases": [base._asdict() for base in place.bases.values()],
    }
    parcels = [Parcel(target, with_manifest(files, provenance), f"{recipe.name}, trained with hfmm")]
    if wishes.adapter is not None:
        base = place.bases.get(recipe.model.checkpoint)
        if base is None:
            raise UserError(
                f"The adapter needs its base on the Hub, and {recipe.model.checkpoint} is a folder of this machine. "
                "Publish without --adapter-repo, or train from a Hub id."
            )
        title, ids = recipe.publish.title or recipe.name, (target.id, wishes.adapter)
        auto_class = resolve(recipe)[0].auto_class
        adapter = adapter_contents(run, auto_class, ModelCard(text).data, title, ids, base)
        message = f"The adapter of {recipe.name}"
        parcels.append(Parcel(target._replace(id=wishes.adapter), with_manifest(adapter, provenance), message))
    return parcels


def _send(parcel: Parcel, report: Report) -> Pushed:
    pushed = push(parcel.target, parcel.contents, parcel.message)
    done = "pushed" if pushed.changed else "was there already, nothing was sent"
    report("push", f"{parcel.target.id} {pushed.tag} at {pushed.commit[:8]}: {done}")
    return pushed


def _prove(
    recipe: Recipe,
    run: RunDirectory,
    parcels: list[Parcel],
    pushed: list[Pushed],
    place: Publication,
    report: Report,
) -> None:
    """Download by id into an empty cache, compare every byte, and let a clean process say what the card says."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for parcel, done in zip(parcels, pushed, strict=True):
            folder = pull(
                parcel.target, done.commit, home / "hub" if parcel is parcels[0] else home / "other", parcel.contents
            )
            if parcel is parcels[0]:
                text = (folder / "README.md").read_text(encoding="utf-8")
        if place.unverified:
            return
        count = verify_published(recipe, run, text, place.repo, place.branch, home)
        report("check", f"downloaded by id: {count} predictions and the card's snippet reproduced in a clean process")
        if len(parcels) > 1:
            base = place.bases[recipe.model.checkpoint]
            job = {**base._asdict(), "base": base.id, "adapter": parcels[1].target.id, "model": place.repo}
            verify_adapter(job | {"auto_class": resolve(recipe)[0].auto_class}, clean_environment(home))
            report("check", "base and adapter by their ids make the same weights")
