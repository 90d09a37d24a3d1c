"""The files of a repository with their hashes. Files that may run code on loading are rejected."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hfmm.errors import UserError

CHUNK_SIZE = 1 << 20  # bytes read at a time, so that a large file is never held in memory
WEIGHTS = ".safetensors"
ALLOWED_SUFFIXES = {WEIGHTS, ".json", ".md", ".txt", ".yaml", ".jinja", ".png", ".wav", ".parquet", ".py"}
ALLOWED_SUFFIXES |= {".model", ".tiktoken"}  # vocabularies of tokenizers
PICKLE_MAGIC = b"\x80"  # first byte of every pickle of the last 15 years; no text or safetensors file starts with it


class File(NamedTuple):
    """A file to upload: its bytes or their path, its size, and the hashes by which the Hub identifies it."""

    source: Path | bytes
    size: int
    sha256: str
    sha1: str  # as git hashes a blob


RepoFiles = dict[str, File]  # by path in the repository


def files_in_folder(folder: Path) -> RepoFiles:
    """Return the files of a folder; raises UserError for a symbolic link or a file that may run code on loading."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link. Its target may not be yours to publish. Replace it with the file itself."
            )
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            files[name] = repo_file(name, path)
    return files


def repo_file(name: str, source: Path | bytes) -> File:
    """Return one file; raises UserError as `files_in_folder` does, and for a name that leads out of the repository."""
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise UserError(f"{name} is not a path inside the repository. Use a relative path without '..' or backslashes.")
    if Path(name).suffix not in ALLOWED_SUFFIXES:
        raise UserError(
            f"{name}: hfmm does not publish files of this type, only {', '.join(sorted(ALLOWED_SUFFIXES))}, because a "
            "file that can contain a pickle may run code when it is loaded. Save weights as safetensors and remove "
            "this file."
        )
    if isinstance(source, Path) and not source.resolve().is_file():
        raise UserError(f"{source} does not exist.")
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for index, chunk in enumerate(chunks(source)):
        if index == 0 and (chunk.startswith(PICKLE_MAGIC) or chunk.startswith(b"PK\x03\x04") or _is_zip(source)):
            raise UserError(f"{name} is a pickle or a zip archive with another suffix. hfmm publishes neither.")
        sha256.update(chunk)
        sha1.update(chunk)
    return File(source, size, sha256.hexdigest(), sha1.hexdigest())


def chunks(source: Path | bytes) -> Iterator[bytes]:
    """Yield the bytes of a file in chunks."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_SIZE):
            yield chunk


def size(files: RepoFiles) -> int:
    """Return the total size of the files in bytes."""
    return sum(file.size for file in files.values())


def weights_size(folder: Path) -> int:
    """Return the size in bytes of the weights in a model folder."""
    return sum(path.stat().st_size for path in folder.glob(f"*{WEIGHTS}"))


def format_size(n_bytes: int) -> str:
    """Return a number of bytes with its unit."""
    amount = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def _is_zip(source: Path | bytes) -> bool:
    return isinstance(source, Path) and zipfile.is_zipfile(source)
