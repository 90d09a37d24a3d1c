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
from hfmm.models import int8
from hfmm.progress import Report
from hfmm.publishing import bases, card, contents
from hfmm.publishing.adapter import adapter_contents, verify_adapter
from hfmm.publishing.clean_room import asking_the_hub
from hfmm.publishing.int8_export import Int8, int8_contents, verify_int8, write_int8
from hfmm.publishing.parcel import Parcel, describe
from hfmm.publishing.private import refuse_private
from hfmm.publishing.publication import Base, Publication, located
from hfmm.publishing.pull import pull
from hfmm.publishing.push import Pushed, Target, push, with_manifest
from hfmm.publishing.verify import REPRODUCED, verify, verify_published
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory, write_json
from hfmm.tasks import resolve

MODEL, ADAPTER, INT8 = "model", "adapter", "int8"  # the repositories that a run can be

Ask = Callable[[], bool]  # whether to go on, now that everything was shown


class Wishes(NamedTuple):
    """What the user wants beyond the run and its place."""

    adapter: str | None = None  # the id of its repository
    int8: str | None = None  # the same for int8 weights
    license: str | None = None
    allow_unverified: bool = False


def publish(recipe: Recipe, run: RunDirectory, target: Target, wishes: Wishes, ask: Ask, report: Report) -> None:
    """Publish a run; nothing is sent before ``ask`` agrees. Raises UserError for whatever stands in the way."""
    if wishes.int8:
        int8.require("--int8-repo")
    base_parcels = bases.embedded(recipe, target)
    _refuse_same_place([target.id, wishes.adapter, wishes.int8, *(one.target.id for one in base_parcels.values())])
    unverified = _verified(recipe, run, wishes.allow_unverified, report)
    made = _int8(recipe, run, wishes.int8, unverified, report) if wishes.int8 else None
    known = bases.known(recipe, run)
    places = known | {name: Base(parcel.target.id, None) for name, parcel in base_parcels.items()}
    place = Publication(target.id, target.branch, places, bases.licence(recipe, known, wishes.license), unverified)
    parcels = _own_parcels(recipe, run, target, wishes, place, made)
    for parcel in [*base_parcels.values(), *parcels.values()]:
        refuse_private(parcel.contents, run.root)
        report("publish", describe(parcel))
    if not ask():
        return
    for parcel in base_parcels.values():
        bases.refuse_foreign(parcel)
    pinned = {name: Base(parcel.target.id, _send(parcel, report).commit) for name, parcel in base_parcels.items()}
    if pinned:
        place = replace(place, bases=places | pinned)
        parcels = _own_parcels(recipe, run, target, wishes, place, made)
    pushed = {name: _send(parcel, report) for name, parcel in parcels.items()}
    model = pushed[MODEL]
    write_json(run.published, {"repo": target.id, "commit": model.commit, "tag": model.tag})
    _prove(recipe, run, parcels, pushed, place, made, report)
    task = "" if target.branch == "main" else f'"{resolve(recipe)[0].pipeline_tag}", '
    report("load", f"transformers.pipeline({task}model={located(target.id, target.branch)})")


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


def _refuse_same_place(ids: list[str | None]) -> None:
    """Raise UserError where two of the repositories would be one: the second would delete the first."""
    told = [one.lower() for one in ids if one]
    if twice := [one for one in told if told.count(one) > 1]:
        raise UserError(
            f"{twice[0]} would be two repositories at once. The model, its adapter, its int8 weights and the embedded "
            "checkpoint that it began from, which goes to the same owner under its own name, each need their own."
        )


def _verified(recipe: Recipe, run: RunDirectory, allow_unverified: bool, report: Report) -> str:
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


def _int8(recipe: Recipe, run: RunDirectory, repo: str, unverified: str, report: Report) -> Int8:
    """Return the model with int8 weights, which cannot be had of a run that failed its verification."""
    if unverified:
        raise UserError("--int8-repo is for a run that passes its verification. Publish this one without it.")
    made = write_int8(recipe, run, repo)
    report("int8", f"{run.int8} is written, and answers in a clean process")
    return made


def _own_parcels(
    recipe: Recipe, run: RunDirectory, target: Target, wishes: Wishes, place: Publication, made: Int8 | None
) -> dict[str, Parcel]:
    """Return the model's repository, and those of adapter and int8 weights where they are wanted."""
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
    parcels = {MODEL: Parcel(target, with_manifest(files, provenance), f"{recipe.name}, trained with hfmm")}
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
        own = adapter_contents(run, auto_class, data, title, (target, adapter), base)
        parcels[ADAPTER] = Parcel(adapter, with_manifest(own, provenance), f"The adapter of {recipe.name}")
    if made is not None:
        own = int8_contents(run, made, data, title, target.id, target.branch)
        message = f"{recipe.name} with int8 weights"
        parcels[INT8] = Parcel(target._replace(id=made.repo), with_manifest(own, provenance), message)
    return parcels


def _send(parcel: Parcel, report: Report) -> Pushed:
    pushed = push(parcel.target, parcel.contents, parcel.message)
    done = "pushed" if pushed.changed else "was there already, nothing was sent"
    report("push", f"{parcel.target.id} {pushed.tag} at {pushed.commit[:8]}: {done}")
    return pushed


def _prove(
    recipe: Recipe,
    run: RunDirectory,
    parcels: dict[str, Parcel],
    pushed: dict[str, Pushed],
    place: Publication,
    made: Int8 | None,
    report: Report,
) -> None:
    """Download by id into an empty cache, compare every byte, and let a clean process say what the card says."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        for name, parcel in parcels.items():
            cache = home / ("hub" if name == MODEL else "other")
            folder = pull(parcel.target, pushed[name].commit, cache, parcel.contents)
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
            verify_adapter(job, asking_the_hub(home))
            report("check", "base and adapter by their ids make the same weights")
        if made is not None:
            count = verify_int8(run, made, place.branch, home)
            report("check", f"int8 weights downloaded by id: the same {count} predictions as those written here")
