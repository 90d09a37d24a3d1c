from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import push_faults
from tests.hub.client import Client
from tests.hub.fake_hub import Hub
from tests.hub.faults import Fault

REPO = "me/model"
UPLOAD = r"PUT /upload|xet-write-token"


def is_complete(hub: Hub, folder: Path, repo: str = REPO) -> bool:
    """Return whether main has every file of the folder; large files are compared by hash, others by content."""
    repository = hub.repositories["models", repo]
    files = repository.commits[repository.branches["main"]]

    def has_arrived(path: Path) -> bool:
        if (entry := files.get(path.name)) is None:
            return False
        content = path.read_bytes()
        return hashlib.sha256(content).hexdigest() == entry.sha256 if entry.sha256 else hub.read(entry) == content

    return all(has_arrived(path) for path in folder.iterdir())


def uploads(hub: Hub) -> int:
    return sum(bool(re.search("PUT /upload|xet-write", request)) for request in hub.requests)


def test_push_creates_one_commit_and_one_tag(hub: Hub, child: Client, folder: Path) -> None:
    answer = child("push", folder=folder, repo=REPO)
    repository = hub.repositories["models", REPO]
    assert is_complete(hub, folder)
    assert len(repository.commits) == 2  # the initial commit of the Hub, and the push
    assert repository.tags == {"v1": answer["commit"]}


def test_repeated_push_does_nothing(hub: Hub, child: Client, folder: Path) -> None:
    first = child("push", folder=folder, repo=REPO)
    hub.requests.clear()
    second = child("push", folder=folder, repo=REPO)
    assert (second["commit"], second["tag"], second["changed"]) == (first["commit"], "v1", False)
    assert not [request for request in hub.requests if "/commit/" in request or "/tag/" in request] and not uploads(hub)


def test_new_version_deletes_old_files_and_keeps_foreign_files(hub: Hub, child: Client, folder: Path) -> None:
    (folder / "old.json").write_text("1")
    child("push", folder=folder, repo=REPO)
    (folder / "old.json").unlink()
    (folder / "new.json").write_text("2")
    assert child("push", folder=folder, repo=REPO)["tag"] == "v2"
    repository = hub.repositories["models", REPO]
    assert {*repository.commits[repository.branches["main"]]} == {
        ".gitattributes", "README.md", "config.json", "hfmm.json", "model.safetensors", "new.json",
    }  # fmt: skip


def test_pushed_files_are_downloaded_unchanged(hub: Hub, child: Client, folder: Path, tmp_path: Path) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    downloaded = Path(child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")["folder"])
    for path in folder.iterdir():
        assert (downloaded / path.name).read_bytes() == path.read_bytes()


TRANSIENT: list[Any] = [
    pytest.param(Fault("GET /api/models", 500, 2), id="500 on lookup"),
    pytest.param(Fault("POST /api/repos/create", 429, 2, {"Retry-After": "7"}), id="429 on creation"),
    pytest.param(Fault("POST .*/preupload/", 503, 2), id="503 before the upload"),
    pytest.param(Fault("PUT /upload", 500, 2), id="500 during the upload"),
    pytest.param(Fault("PUT /upload|/commit/", "reset", 2), id="reset during the upload"),
    pytest.param(Fault("POST .*/commit/", 500, 2), id="500 during the commit"),
    pytest.param(Fault("POST .*/commit/", "lost"), id="commit response lost"),
    pytest.param(Fault("POST .*/commit/", "slow"), id="commit response late"),
    pytest.param(Fault("POST .*/repos/create", "lost"), id="repository response lost"),
    pytest.param(Fault("POST .*/tag/", "lost"), id="tag response lost"),
    pytest.param(Fault("GET .*/tree/", "truncated", 2), id="listing truncated"),
]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_fault_is_retried(hub: Hub, child: Client, folder: Path, fault: Fault) -> None:
    hub.faults = [Fault(fault.pattern, fault.kind, fault.times, fault.headers)]
    answer = child("push", folder=folder, repo=REPO)
    assert "error" not in answer, answer
    repository = hub.repositories["models", REPO]
    assert is_complete(hub, folder)
    assert len(repository.commits) == 2
    assert repository.tags == {"v1": repository.branches["main"]}
    assert max(hub.uploads.values(), default=1) == 1


def test_retry_waits_for_the_requested_time(hub: Hub, child: Client, folder: Path) -> None:
    hub.faults = [Fault("POST /api/repos/create", 429, 1, {"Retry-After": "7"})]
    assert 7.0 in child("push", folder=folder, repo=REPO)["waits"]


PERMANENT: list[Any] = [
    (401, "POST .*/(repos/create|preupload/)", ["does not accept your token", "hf auth login"]),
    (403, "POST .*/(repos/create|preupload/)", ["no write access"]),
    (404, "POST .*/preupload/", ["was not found on the Hub"]),
    (409, "POST .*/commit/", ["conflict"]),
    (413, "POST .*/commit/", ["too large"]),
    (429, "POST .*/commit/", ["too many requests"]),
    (500, "POST .*/preupload/", ["failed repeatedly (500)"]),
    (500, "PUT /upload|POST .*/commit/", ["failed repeatedly (500)"]),
    ("reset", "PUT /upload|POST .*/commit/", ["connection to", "broke"]),
    ("slow", "POST .*/commit/", ["did not answer in time"]),
]


@pytest.mark.parametrize("second_push", [False, True], ids=["first push", "later push"])
@pytest.mark.parametrize(("kind", "pattern", "messages"), PERMANENT, ids=lambda value: str(value))
def test_permanent_fault_raises_and_leaves_no_partial_push(
    hub: Hub, child: Client, folder: Path, kind: int | str, pattern: str, messages: list[str], second_push: bool
) -> None:
    if second_push:
        child("push", folder=folder, repo=REPO)
        (folder / "model.safetensors").write_bytes(b"\0" + os.urandom(100_000))
    branches = dict(hub.repositories["models", REPO].branches) if second_push else {}
    local = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.faults = [Fault(pattern, kind, 10**6)]
    answer = child("push", folder=folder, repo=REPO)["error"]
    assert "\n" not in answer
    assert [message for message in messages if message not in answer] == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == local
    if second_push:
        assert hub.repositories["models", REPO].branches == branches
        assert f"main still points at {branches['main'][:8]}" in answer
    elif ("models", REPO) in hub.repositories:
        assert len(hub.repositories["models", REPO].commits) == 1
        assert "exists, but contains no file of this push" in answer
    else:
        assert f"{REPO} does not exist on the Hub." in answer
    hub.faults.clear()
    sent = dict(hub.uploads)
    assert "error" not in child("push", folder=folder, repo=REPO)
    assert is_complete(hub, folder)
    assert all(hub.uploads[blob] == count for blob, count in sent.items())


def test_missing_tag_is_created_by_the_next_push(hub: Hub, child: Client, folder: Path) -> None:
    hub.faults = [Fault("POST .*/tag/", 403, 99)]
    assert "only the version tag is missing" in child("push", folder=folder, repo=REPO)["error"]
    hub.faults.clear()
    answer = child("push", folder=folder, repo=REPO)
    assert (answer["tag"], answer["changed"]) == ("v1", False)


def test_concurrent_push_is_not_overwritten(hub: Hub, child: Client, folder: Path) -> None:
    child("push", folder=folder, repo=REPO)
    (folder / "config.json").write_text('{"a": 1}')
    repository = hub.repositories["models", REPO]
    hub.faults = [Fault("POST .*/commit/", 500, 1)]
    files = dict(repository.commits[repository.branches["main"]])

    foreign_commits: list[str] = []
    record_request = hub.requests.append

    class PushOnCommit(list[str]):
        def append(self, request: str) -> None:
            record_request(request)
            if "/commit/" in request and not foreign_commits:
                foreign_commits.append(repository.commit(files | {"other.txt": files["README.md"]}, "main"))

    hub.requests = PushOnCommit()
    answer = child("push", folder=folder, repo=REPO)["error"]
    hub.requests = []
    assert "Somebody else pushed" in answer
    assert repository.branches["main"] == foreign_commits[0]


def test_private_push_to_a_public_repository_raises(hub: Hub, child: Client, folder: Path) -> None:
    child("push", folder=folder, repo=REPO)
    assert "is public" in child("push", folder=folder, repo=REPO, private=True)["error"]


@pytest.mark.parametrize("kind", [500, "truncated", "reset", "wrong etag"])
def test_download_with_transient_fault_is_correct(
    hub: Hub, child: Client, folder: Path, tmp_path: Path, kind: int | str
) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    hub.faults = [Fault("(HEAD|GET) .*(resolve|blobs)", kind, 2)]
    answer = child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")
    assert "error" not in answer, answer


def test_failed_download_reports_that_the_push_is_complete(
    hub: Hub, child: Client, folder: Path, tmp_path: Path
) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    hub.faults = [Fault("(HEAD|GET) .*resolve", 500, 10**6)]
    answer = child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")["error"]
    assert f"{REPO} has every file at {commit[:8]}" in answer


def test_changed_file_on_the_hub_is_detected(hub: Hub, child: Client, folder: Path, tmp_path: Path) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    files = hub.repositories["models", REPO].commits[commit]
    files["config.json"] = files["README.md"]
    answer = child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")["error"]
    assert f"config.json in {REPO} at {commit[:8]} differs from the file that was sent" in answer


def test_pushes_under_random_faults_are_atomic(hub: Hub, child: Client, folder: Path) -> None:
    outcome = push_faults.run(hub, child, folder, pushes=8, seed=1)
    assert outcome.faults > 0
    assert (outcome.half_published, outcome.lost_files, outcome.sent_needlessly) == (0, 0, 0)
