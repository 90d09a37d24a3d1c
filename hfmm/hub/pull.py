"""A repository out of the Hub: into an empty cache and compared byte by byte, or where a model is named by its id."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from huggingface_hub import snapshot_download

from hfmm.assets import BUILTIN
from hfmm.errors import UserError
from hfmm.hub.errors import explain
from hfmm.hub.files import File, RepoFiles, repo_file
from hfmm.hub.push import RepoTarget
from hfmm.hub.retry import with_retries
from hfmm.models.common.checkpoint import resolve_checkpoint
from hfmm.recipe.schema import Model

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def download_and_check(target: RepoTarget, commit: str, cache: Path, contents: RepoFiles) -> Path:
    """Return the folder that a commit was downloaded to; raises UserError where a file is not what was sent."""
    there = f"The push itself arrived: {target.id} is whole at {commit[:8]}."
    again = "Publish again: it sends nothing, and repeats this check."
    damaged: list[str] = []
    for _ in range(2):  # a wrong ETag on the way fools the client's cache, and passes
        shutil.rmtree(cache, ignore_errors=True)
        try:
            folder = with_retries(
                lambda: snapshot_download(target.id, repo_type=target.kind, revision=commit, cache_dir=cache)
            )
        except Exception as error:
            raise UserError(
                f"{explain(error, target.id)} {there} It could not be downloaded to check it. {again}"
            ) from error
        damaged = [name for name, file in contents.items() if not _matches(Path(folder) / name, file)]
        if not damaged:
            return Path(folder)
    raise UserError(
        f"{target.id} gives other bytes for {damaged[0]} at {commit[:8]} than were sent. Whoever downloads it now gets "
        f"a damaged file. {again} If it stays so, delete that file on the Hub and publish again."
    )


def _matches(path: Path, file: File) -> bool:
    return path.is_file() and repo_file(path.name, path.resolve()).sha256 == file.sha256


def resolve_model_folder(name: str) -> Path:
    """Return the folder of a model: the one of that name, an embedded one, or a cached copy of a Hub repository.

    Raises UserError where there is no such embedded one, and where the Hub does not give it.
    """
    if name.startswith(BUILTIN):
        return Path(resolve_checkpoint(Model(checkpoint=name), "MODEL"))
    if Path(name).exists() or not HUB_ID.fullmatch(name):
        return Path(name)
    try:
        return Path(with_retries(lambda: snapshot_download(name)))
    except Exception as error:
        raise UserError(f"There is no folder {name}. {explain(error, name)}") from error
