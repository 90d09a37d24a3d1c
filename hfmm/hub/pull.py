"""Downloads from the Hub: a pushed repository that is compared byte by byte, or a model named by its id."""

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


def download_and_check(target: RepoTarget, commit: str, cache: Path, files: RepoFiles) -> Path:
    """Download a commit into an empty cache and return its folder.

    Raises UserError if the download fails or a file differs from the one that was sent.
    """
    push_state = f"The push is complete: {target.id} has every file at {commit[:8]}."
    remedy = "Publish again: nothing is sent twice, and this check is repeated."
    damaged: list[str] = []
    for _ in range(2):  # a wrong ETag corrupts the client's cache; it is usually transient
        shutil.rmtree(cache, ignore_errors=True)
        try:
            folder = with_retries(
                lambda: snapshot_download(target.id, repo_type=target.kind, revision=commit, cache_dir=cache)
            )
        except Exception as error:
            raise UserError(
                f"{explain(error, target.id)} {push_state} The check could not download it. {remedy}"
            ) from error
        damaged = [name for name, file in files.items() if not _matches(Path(folder) / name, file)]
        if not damaged:
            return Path(folder)
    raise UserError(
        f"{damaged[0]} in {target.id} at {commit[:8]} differs from the file that was sent: its downloads are damaged. "
        f"{remedy} If the problem persists, delete that file on the Hub and publish again."
    )


def _matches(path: Path, file: File) -> bool:
    return path.is_file() and repo_file(path.name, path.resolve()).sha256 == file.sha256


def resolve_model_folder(name: str) -> Path:
    """Return the folder of a model: a local folder, a built-in checkpoint, or a cached copy of a Hub repository.

    Raises UserError if the built-in checkpoint does not exist or the Hub repository could not be downloaded.
    """
    if name.startswith(BUILTIN):
        return Path(resolve_checkpoint(Model(checkpoint=name), "MODEL"))
    if Path(name).exists() or not HUB_ID.fullmatch(name):
        return Path(name)
    try:
        return Path(with_retries(lambda: snapshot_download(name)))
    except Exception as error:
        raise UserError(f"The folder {name} does not exist. {explain(error, name)}") from error
