"""What a card and a recipe say once they have a place on the Hub: the repository's id, its bases, its licence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from hfmm.assets import BUILTIN
from hfmm.card.lineage import display_name
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path, revision_key

LOCAL_PATH_MARK = "# a local folder"  # marks what nobody else can load
MODEL_LINE = r'^model = ".*$'  # in every snippet
PIPELINE_IMPORT = "from transformers import pipeline\n"


class HubRevision(NamedTuple):
    """A checkpoint as the Hub has it."""

    id: str
    revision: str | None


@dataclass(frozen=True)
class HubLocation:
    """Where a run is published, and what differs there from what lies on this machine."""

    repo: str
    branch: str = "main"
    bases: dict[str, HubRevision] = field(default_factory=dict)  # by the name that the recipe has for them
    license: dict[str, str] = field(default_factory=dict)  # the keys of the card that tell it
    unverified: str = ""  # why the proof in a clean process failed, where that was allowed


def snippet_from_hub(text: str, repo: str, branch: str) -> str:
    """Return a card's snippet with the repository downloaded by its id, so that its example file is there as well."""
    line = f"model = snapshot_download({from_pretrained_args(repo, branch)})  # this repository"
    text = re.sub(MODEL_LINE, line, text, count=1, flags=re.MULTILINE)
    return text.replace(PIPELINE_IMPORT, f"from huggingface_hub import snapshot_download\n{PIPELINE_IMPORT}", 1)


def from_pretrained_args(repo: str, revision: str | None) -> str:
    """Return the Python arguments by which a repository's revision is loaded; ``main`` needs no name."""
    return f'"{repo}"' + (f', revision="{revision}"' if revision and revision != "main" else "")


def recipe_text(text: str, recipe: dict[str, Any], publication: HubLocation | None) -> str:
    """Return the recipe as others may read it.

    A folder of this machine is cut down to its last part and marked; a checkpoint that has a place on the Hub is named
    by it, at the commit that training began from.
    """
    bases = publication.bases if publication else {}
    before, model, after = text.partition("\nmodel:\n")
    for key in CHECKPOINT_KEYS:
        source = recipe["model"].get(key)
        if base := bases.get(source):
            where = revision_key(key)
            after = after.replace(f"  {_line(where, recipe['model'].get(where))}\n", "", 1)
            after = _replaced(after, key, source, base.id + (f"\n  {where}: {base.revision}" if base.revision else ""))
        elif source and is_local_path(source):
            after = _replaced(after, key, source, f"{display_name(source)}  {LOCAL_PATH_MARK}")
    text = before + model + after
    for data in (recipe["data"], *recipe["forgetting"]):
        source = data.get("path")
        if source and is_local_path(source):
            text = _replaced(text, "path", source, f"{display_name(source)}  {LOCAL_PATH_MARK}")
    return text


def base_model_markdown(checkpoint: str, publication: HubLocation | None) -> str:
    """Return how the card names a checkpoint; a folder by its last part, because its path is nobody's business."""
    if publication and (base := publication.bases.get(checkpoint)):
        return f"[`{base.id}`](https://huggingface.co/{base.id})" + (
            f" at `{base.revision[:8]}`" if base.revision else ""
        )
    if checkpoint.startswith(BUILTIN):
        return f"`{checkpoint.removeprefix(BUILTIN)}` (comes with hfmm)"
    return f"the folder `{display_name(checkpoint)}`" if is_local_path(checkpoint) else f"`{checkpoint}`"


def _replaced(text: str, key: str, old: str | None, new: str) -> str:
    return text.replace(f"  {_line(key, old)}\n", f"  {key}: {new}\n", 1)


def _line(key: str, value: str | None) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).strip()
