"""The text of a card and a recipe on the Hub: the repository id, the base models, the license."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from hfmm.assets import BUILTIN
from hfmm.card.lineage import display_name
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path, revision_key

LOCAL_PATH_MARK = "# a local folder"  # marks a folder that others do not have
MODEL_LINE = r'^model = ".*$'  # the line of every snippet that names the model
PIPELINE_IMPORT = "from transformers import pipeline\n"


class HubRevision(NamedTuple):
    """A checkpoint on the Hub."""

    id: str
    revision: str | None


@dataclass(frozen=True)
class HubLocation:
    """Where a run is published, and what its card says there and not in the run directory."""

    repo: str
    branch: str = "main"
    bases: dict[str, HubRevision] = field(default_factory=dict)  # by their name in the recipe
    license: dict[str, str] = field(default_factory=dict)  # the license keys of the metadata
    unverified: str = ""  # why the verification failed, if the model was published anyway


def snippet_from_hub(text: str, repo: str, branch: str) -> str:
    """Return the snippet of a card with the repository downloaded by its id, which also downloads the example file."""
    line = f"model = snapshot_download({from_pretrained_args(repo, branch)})  # this repository"
    text = re.sub(MODEL_LINE, line, text, count=1, flags=re.MULTILINE)
    return text.replace(PIPELINE_IMPORT, f"from huggingface_hub import snapshot_download\n{PIPELINE_IMPORT}", 1)


def from_pretrained_args(repo: str, revision: str | None) -> str:
    """Return the Python arguments that load a revision of a repository; ``main`` is the default."""
    return f'"{repo}"' + (f', revision="{revision}"' if revision and revision != "main" else "")


def recipe_text(text: str, recipe: dict[str, Any], publication: HubLocation | None) -> str:
    """Return the recipe as it is published.

    A local folder is cut to its last part and marked. A checkpoint with a repository on the Hub is named by its id, at
    the commit that training started from.

    Args:
        text: The YAML of the recipe.
        recipe: The content of the same recipe.
        publication: Where the model is published, with the repositories of its base models.
    """
    bases = publication.bases if publication else {}
    before, model, after = text.partition("\nmodel:\n")
    for key in CHECKPOINT_KEYS:
        source = recipe["model"].get(key)
        if base := bases.get(source):
            revision = revision_key(key)
            after = after.replace(f"  {_line(revision, recipe['model'].get(revision))}\n", "", 1)
            pin = f"\n  {revision}: {base.revision}" if base.revision else ""
            after = _replace_value(after, key, source, base.id + pin)
        elif source and is_local_path(source):
            after = _replace_value(after, key, source, f"{display_name(source)}  {LOCAL_PATH_MARK}")
    text = before + model + after
    for data in (recipe["data"], *recipe["forgetting"]):
        source = data.get("path")
        if source and is_local_path(source):
            text = _replace_value(text, "path", source, f"{display_name(source)}  {LOCAL_PATH_MARK}")
    return text


def base_model_markdown(checkpoint: str, publication: HubLocation | None) -> str:
    """Return a checkpoint as the card names it. Of a local folder only the last part is shown: its path is private."""
    if publication and (base := publication.bases.get(checkpoint)):
        return f"[`{base.id}`](https://huggingface.co/{base.id})" + (
            f" at `{base.revision[:8]}`" if base.revision else ""
        )
    if checkpoint.startswith(BUILTIN):
        return f"`{checkpoint.removeprefix(BUILTIN)}` (comes with hfmm)"
    return f"the folder `{display_name(checkpoint)}`" if is_local_path(checkpoint) else f"`{checkpoint}`"


def _replace_value(text: str, key: str, old: str | None, new: str) -> str:
    return text.replace(f"  {_line(key, old)}\n", f"  {key}: {new}\n", 1)


def _line(key: str, value: str | None) -> str:
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).strip()
