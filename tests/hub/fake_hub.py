"""A fake Hub: it answers the requests of huggingface_hub 2.4 from memory and one folder.

Large files are uploaded through git LFS, or with ``xet`` through the store that hf_xet keeps in a local folder.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from tests.hub.faults import Fault, Faulty

TOKEN, USER = "hf_" + "abcdefghijklmnopqrstuvwxyz01234567", "me"


@dataclass(frozen=True)
class Entry:
    """A file of a commit: its bytes, or the hash of the blob that holds them."""

    size: int
    sha1: str
    content: bytes | None = None
    sha256: str | None = None


@dataclass
class Repository:
    """A repository: branches and tags point at commits, and a commit is a dict of files."""

    id: str
    private: bool
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, Entry], branch: str) -> str:
        """Create a commit and point the branch at it."""
        oid = os.urandom(20).hex()
        self.commits[oid] = files
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str | None:
        """Return the commit of a branch, a tag or a commit hash."""
        oid = self.branches.get(revision) or self.tags.get(revision)
        return oid or (revision if revision in self.commits else None)


class Hub:
    """The repositories, the blobs, the planned faults and the received requests."""

    def __init__(self, folder: Path, xet: bool = False) -> None:
        self.folder, self.xet, self.origin = folder, xet, ""
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.uploads: Counter[str] = Counter()  # how often each blob was received completely
        self.announced: set[str] = set()  # blobs reported to a client as stored
        self.needless = 0  # uploads of an announced blob
        (folder / "blobs").mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a client of this Hub; huggingface_hub reads them on import."""
        xet = {} if self.xet else {"HF_HUB_DISABLE_XET": "1"}
        return {"HF_ENDPOINT": self.origin, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "DO_NOT_TRACK": "1", **xet}

    def files(self, repo: str, revision: str = "main", kind: str = "models") -> dict[str, bytes]:
        """Return the content of every file of a repository by path."""
        repository = self.repositories[kind, repo]
        return {path: self.read(entry) for path, entry in repository.commits[repository.find(revision) or ""].items()}

    def read(self, entry: Entry) -> bytes:
        """Return the bytes of a file."""
        if entry.content is not None:
            return entry.content
        return (self.folder / "blobs" / str(entry.sha256)).read_bytes()

    def has(self, sha256: str) -> bool:
        """Return whether the bytes of a large file are stored."""
        return (self.folder / "blobs" / sha256).is_file() or self.xet_hash(sha256) is not None

    def xet_hash(self, sha256: str | None) -> str | None:
        """Return the xet hash of a blob; the shards of hf_xet hold both hashes in records of 48 bytes."""
        swapped_sha256 = _swap(sha256) if sha256 else b""
        for shard in (self.folder / "cas/xet/xorbs/shards").glob("*.mdb") if swapped_sha256 else ():
            content = shard.read_bytes()
            end = content.find(swapped_sha256)
            for segments in range(
                1, (end - 48) // 96 + 1
            ):  # a header, equally many entries and verifications, then the sha256
                start = end - 48 * (2 * segments + 1)
                if int.from_bytes(content[start + 36 : start + 40], "little") == segments:
                    return _swap(content[start : start + 32].hex()).hex()
        return None


def _swap(digest: str) -> bytes:
    """Return a hash in the byte order of xet: four little-endian words."""
    return b"".join(bytes.fromhex(digest[start : start + 16])[::-1] for start in range(0, 64, 16))


def regular(content: bytes) -> Entry:
    """Return the entry of a file that is stored in git."""
    return Entry(len(content), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), content)


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Serve the Hub on a free local port until the block ends."""
    from tests.hub.fake_hub_routes import application

    server = uvicorn.Server(uvicorn.Config(Faulty(application(hub), hub), port=0, log_level="critical", http="h11"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    hub.origin = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield hub
    finally:
        server.should_exit, server.force_exit = True, True
        thread.join(timeout=5)
