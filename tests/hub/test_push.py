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


def whole(hub: Hub, folder: Path, repo: str = REPO) -> bool:
    """Tell whether main holds every file of the folder, large ones by their hash and others byte by byte."""
    there = hub.repositories["models", repo]
    files = there.commits[there.branches["main"]]

    def arrived(path: Path) -> bool:
        if (entry := files.get(path.name)) is None:
            return False
        content = path.read_bytes()
        return hashlib.sha256(content).hexdigest() == entry.sha256 if entry.sha256 else hub.read(entry) == content

    return all(arrived(path) for path in folder.iterdir())


def uploads(hub: Hub) -> int:
    return sum(bool(re.search("PUT /upload|xet-write", one)) for one in hub.requests)


def test_a_push_is_one_commit_and_one_tag(hub: Hub, child: Client, folder: Path) -> None:
    said = child("push", folder=folder, repo=REPO)
    repository = hub.repositories["models", REPO]
    assert whole(hub, folder)
    assert len(repository.commits) == 2  # the Hub's own first, and ours
    assert repository.tags == {"v1": said["commit"]}


def test_the_same_push_again_does_nothing(hub: Hub, child: Client, folder: Path) -> None:
    first = child("push", folder=folder, repo=REPO)
    hub.requests.clear()
    second = child("push", folder=folder, repo=REPO)
    assert (second["commit"], second["tag"], second["changed"]) == (first["commit"], "v1", False)
    assert not [one for one in hub.requests if "/commit/" in one or "/tag/" in one] and not uploads(hub)


def test_another_version_drops_its_old_files_and_leaves_those_of_others(hub: Hub, child: Client, folder: Path) -> None:
    (folder / "old.json").write_text("1")
    child("push", folder=folder, repo=REPO)
    (folder / "old.json").unlink()
    (folder / "new.json").write_text("2")
    assert child("push", folder=folder, repo=REPO)["tag"] == "v2"
    repository = hub.repositories["models", REPO]
    assert {*repository.commits[repository.branches["main"]]} == {
        ".gitattributes", "README.md", "config.json", "hfmm.json", "model.safetensors", "new.json",
    }  # fmt: skip


def test_what_was_pushed_comes_back(hub: Hub, child: Client, folder: Path, tmp_path: Path) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    back = Path(child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")["folder"])
    for path in folder.iterdir():
        assert (back / path.name).read_bytes() == path.read_bytes()


PASSING: list[Any] = [
    pytest.param(Fault("GET /api/models", 500, 2), id="500 when looking"),
    pytest.param(Fault("POST /api/repos/create", 429, 2, {"Retry-After": "7"}), id="429 when creating"),
    pytest.param(Fault("POST .*/preupload/", 503, 2), id="503 before the upload"),
    pytest.param(Fault("PUT /upload", 500, 2), id="500 in the upload"),
    pytest.param(Fault("PUT /upload|/commit/", "reset", 2), id="reset in the upload"),
    pytest.param(Fault("POST .*/commit/", 500, 2), id="500 in the commit"),
    pytest.param(Fault("POST .*/commit/", "lost"), id="the commit's answer is lost"),
    pytest.param(Fault("POST .*/commit/", "slow"), id="the commit's answer is late"),
    pytest.param(Fault("POST .*/repos/create", "lost"), id="the repository's answer is lost"),
    pytest.param(Fault("POST .*/tag/", "lost"), id="the tag's answer is lost"),
    pytest.param(Fault("GET .*/tree/", "truncated", 2), id="a listing breaks off"),
]


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_waited_out(hub: Hub, child: Client, folder: Path, fault: Fault) -> None:
    hub.faults = [Fault(fault.where, fault.what, fault.times, fault.headers)]
    said = child("push", folder=folder, repo=REPO)
    assert "error" not in said, said
    repository = hub.repositories["models", REPO]
    assert whole(hub, folder)
    assert len(repository.commits) == 2
    assert repository.tags == {"v1": repository.branches["main"]}
    assert max(hub.uploads.values(), default=1) == 1


def test_the_wait_is_as_long_as_the_hub_asks(hub: Hub, child: Client, folder: Path) -> None:
    hub.faults = [Fault("POST /api/repos/create", 429, 1, {"Retry-After": "7"})]
    assert 7.0 in child("push", folder=folder, repo=REPO)["waits"]


LASTING: list[Any] = [
    (401, "POST .*/(repos/create|preupload/)", ["does not accept your token", "hf auth login"]),
    (403, "POST .*/(repos/create|preupload/)", ["may not write"]),
    (404, "POST .*/preupload/", ["knows no"]),
    (409, "POST .*/commit/", ["conflict"]),
    (413, "POST .*/commit/", ["too large"]),
    (429, "POST .*/commit/", ["asked too often"]),
    (500, "POST .*/preupload/", ["failed, and went on failing (500)"]),
    (500, "PUT /upload|POST .*/commit/", ["failed, and went on failing (500)"]),
    ("reset", "PUT /upload|POST .*/commit/", ["connection to", "broke"]),
    ("slow", "POST .*/commit/", ["did not answer in time"]),
]


@pytest.mark.parametrize("earlier", [False, True], ids=["first push", "later push"])
@pytest.mark.parametrize(("what", "where", "words"), LASTING, ids=lambda value: str(value))
def test_what_stays_ends_in_one_paragraph_and_nothing_half_published(
    hub: Hub, child: Client, folder: Path, what: int | str, where: str, words: list[str], earlier: bool
) -> None:
    if earlier:
        child("push", folder=folder, repo=REPO)
        (folder / "model.safetensors").write_bytes(b"\0" + os.urandom(100_000))
    before = dict(hub.repositories["models", REPO].branches) if earlier else {}
    local = {path.name: path.read_bytes() for path in folder.iterdir()}
    hub.faults = [Fault(where, what, 10**6)]
    said = child("push", folder=folder, repo=REPO)["error"]
    assert "\n" not in said
    assert [word for word in words if word not in said] == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == local
    if earlier:
        assert hub.repositories["models", REPO].branches == before
        assert f"main still points at {before['main'][:8]}" in said
    elif ("models", REPO) in hub.repositories:
        assert len(hub.repositories["models", REPO].commits) == 1
        assert "exists and holds no file of this push" in said
    else:
        assert f"There is no {REPO} on the Hub." in said
    hub.faults.clear()
    sent = dict(hub.uploads)
    assert "error" not in child("push", folder=folder, repo=REPO)
    assert whole(hub, folder)
    assert all(hub.uploads[blob] == count for blob, count in sent.items())


def test_a_missing_tag_is_made_by_the_next_push(hub: Hub, child: Client, folder: Path) -> None:
    hub.faults = [Fault("POST .*/tag/", 403, 99)]
    assert "lacks only its version tag" in child("push", folder=folder, repo=REPO)["error"]
    hub.faults.clear()
    said = child("push", folder=folder, repo=REPO)
    assert (said["tag"], said["changed"]) == ("v1", False)


def test_a_push_of_somebody_else_is_not_overwritten(hub: Hub, child: Client, folder: Path) -> None:
    child("push", folder=folder, repo=REPO)
    (folder / "config.json").write_text('{"a": 1}')
    repository = hub.repositories["models", REPO]
    hub.faults = [Fault("POST .*/commit/", 500, 1)]
    files = dict(repository.commits[repository.branches["main"]])

    moved: list[str] = []
    original = hub.requests.append

    class Watch(list[str]):
        def append(self, asked: str) -> None:
            original(asked)
            if "/commit/" in asked and not moved:
                moved.append(repository.commit(files | {"other.txt": files["README.md"]}, "main"))

    hub.requests = Watch()
    said = child("push", folder=folder, repo=REPO)["error"]
    hub.requests = []
    assert "Somebody else pushed" in said
    assert repository.branches["main"] == moved[0]


def test_a_public_repository_does_not_pass_for_a_private_one(hub: Hub, child: Client, folder: Path) -> None:
    child("push", folder=folder, repo=REPO)
    assert "is public" in child("push", folder=folder, repo=REPO, private=True)["error"]


@pytest.mark.parametrize("what", [500, "truncated", "reset", "wrong etag"])
def test_a_download_with_a_fault_gives_the_right_bytes(
    hub: Hub, child: Client, folder: Path, tmp_path: Path, what: int | str
) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    hub.faults = [Fault("(HEAD|GET) .*(resolve|blobs)", what, 2)]
    said = child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")
    assert "error" not in said, said


def test_a_download_that_stays_broken_says_that_the_push_is_whole(
    hub: Hub, child: Client, folder: Path, tmp_path: Path
) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    hub.faults = [Fault("(HEAD|GET) .*resolve", 500, 10**6)]
    said = child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")["error"]
    assert f"{REPO} is whole at {commit[:8]}" in said


def test_other_bytes_than_were_sent_are_noticed(hub: Hub, child: Client, folder: Path, tmp_path: Path) -> None:
    commit = child("push", folder=folder, repo=REPO)["commit"]
    files = hub.repositories["models", REPO].commits[commit]
    files["config.json"] = files["README.md"]
    said = child("pull", folder=folder, repo=REPO, commit=commit, cache=tmp_path / "cache")["error"]
    assert "gives other bytes for config.json" in said


def test_pushes_under_random_faults_leave_the_old_files_or_the_new(hub: Hub, child: Client, folder: Path) -> None:
    outcome = push_faults.run(hub, child, folder, pushes=8, seed=1)
    assert outcome.faults > 0
    assert (outcome.half_published, outcome.lost_files, outcome.sent_needlessly) == (0, 0, 0)
