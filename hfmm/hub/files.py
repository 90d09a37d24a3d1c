"""What a repository is to hold: its files with their hashes, and the refusal of what may not be sent."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hfmm.errors import UserError

CHUNK_SIZE = 1 << 20  # bytes read at a time, so that a large file never lies in memory
WEIGHTS = ".safetensors"
ALLOWED_SUFFIXES = {WEIGHTS, ".json", ".md", ".txt", ".yaml", ".jinja", ".png", ".wav", ".parquet", ".py"}
ALLOWED_SUFFIXES |= {".model", ".tiktoken"}  # vocabularies of tokenizers
PICKLE_MAGIC = b"\x80"  # how every pickle of the last 15 years begins; no text and no safetensors file does


class File(NamedTuple):
    """A file to send: where its bytes are, how many, and the hashes by which the Hub knows them."""

    source: Path | bytes
    size: int
    sha256: str
    sha1: str  # as git hashes a blob


RepoFiles = dict[str, File]  # by path in the repository


def files_in_folder(folder: Path) -> RepoFiles:
    """Return the files of a folder; raises UserError for a link or a file that may hold code that runs on loading."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link, and what it points at need not be yours to publish. "
                "Put the file itself in its place."
            )
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = repo_file(name, path)
    return found


def repo_file(name: str, source: Path | bytes) -> File:
    """Return one file; raises UserError like `of_folder`, and for a name that leaves the repository."""
    if name.startswith("/") or "\\" in name or ".." in name.split("/"):
        raise UserError(f"{name} leads out of the repository. A published file's name is a plain path below it.")
    if Path(name).suffix not in ALLOWED_SUFFIXES:
        raise UserError(
            f"{name} is no kind of file that hfmm publishes ({', '.join(sorted(ALLOWED_SUFFIXES))}): a format that can hold a "
            "pickle runs its author's code when somebody loads it. Save weights as safetensors, and take it out."
        )
    if isinstance(source, Path) and not source.resolve().is_file():
        raise UserError(f"{source} does not exist.")
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for number, piece in enumerate(chunks(source)):
        if number == 0 and (piece.startswith(PICKLE_MAGIC) or piece.startswith(b"PK\x03\x04") or _is_zip(source)):
            raise UserError(f"{name} is a pickle or an archive under another name. hfmm publishes neither.")
        sha256.update(piece)
        sha1.update(piece)
    return File(source, size, sha256.hexdigest(), sha1.hexdigest())


def chunks(source: Path | bytes) -> Iterator[bytes]:
    """Yield the bytes of a file piece by piece."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while piece := file.read(CHUNK_SIZE):
            yield piece


def size(contents: RepoFiles) -> int:
    """Return how many bytes all files have together."""
    return sum(file.size for file in contents.values())


def weights_size(folder: Path) -> int:
    """Return how many bytes the weights in a model's folder have."""
    return sum(path.stat().st_size for path in folder.glob(f"*{WEIGHTS}"))


def format_size(count: int) -> str:
    """Return a number of bytes as people write it."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def _is_zip(source: Path | bytes) -> bool:
    return isinstance(source, Path) and zipfile.is_zipfile(source)
