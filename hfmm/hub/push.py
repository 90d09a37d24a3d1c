"""Push files to a Hub repository: one commit, one tag, and an exact report of the remote state after a failure."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from hfmm.errors import UserError
from hfmm.hub.errors import explain
from hfmm.hub.files import File, RepoFiles, repo_file
from hfmm.hub.retry import with_retries

MANIFEST = "hfmm.json"  # in every repository that hfmm pushed: its provenance, and the files that belong to hfmm
GIT_ATTRIBUTES = ".gitattributes"  # created by the Hub
TAG = re.compile(r"v(\d+)")

Hashes = dict[str, str]  # by path, as reported by the Hub


class RepoTarget(NamedTuple):
    """A repository, which may not exist yet."""

    id: str
    kind: Literal["model", "dataset", "space"] = "model"
    private: bool = False
    branch: str = "main"


class RepoDiff(NamedTuple):
    """The changes that a push would make."""

    head: str | None  # the commit of the branch; None if there is no branch or no repository
    sent: list[str]
    deleted: list[str]
    foreign: list[str]  # remote files that hfmm did not push
    manifest: dict[str, Any] | None = None  # the manifest of the last hfmm push


class PushResult(NamedTuple):
    """The commit and the tag of a push, and whether it changed anything."""

    commit: str
    tag: str
    changed: bool


def with_manifest(files: RepoFiles, provenance: dict[str, Any]) -> RepoFiles:
    """Return the files with a manifest that records their provenance and hashes."""
    hashes = {name: file.sha256 for name, file in sorted(files.items()) if name != MANIFEST}
    text = json.dumps({**provenance, "files": hashes}, indent=2, ensure_ascii=False) + "\n"
    return files | {MANIFEST: repo_file(MANIFEST, text.encode())}


def compare(target: RepoTarget, files: RepoFiles) -> RepoDiff:
    """Return which files the Hub is missing, and which files of an earlier push have to be deleted.

    Files that somebody else uploaded are kept. Exceptions of the client are not caught.
    """
    api = HfApi()
    head = _branch_head(api, target)
    if head is None:
        return RepoDiff(None, sorted(files), [], [])
    remote_hashes = _remote_hashes(api, target, head)
    sent = sorted(name for name, file in files.items() if not _has_hash(file, remote_hashes.get(name)))
    manifest = _read_manifest(target, head) if MANIFEST in remote_hashes else None
    tracked = {*manifest["files"]} if manifest else set()
    foreign = sorted(remote_hashes.keys() - tracked - {MANIFEST, GIT_ATTRIBUTES})
    return RepoDiff(head, sent, sorted(tracked & remote_hashes.keys() - files.keys()), foreign, manifest)


def push(target: RepoTarget, files: RepoFiles, message: str) -> PushResult:
    """Push the files in one commit and tag it ``v1``, ``v2``, ...; pushing the same files again does nothing.

    Raises UserError, which reports the remote state, if the push fails.
    """
    api = HfApi()
    try:
        old_head = with_retries(lambda: _branch_head(api, target))
    except Exception as error:
        raise UserError(f"{explain(error, target.id)} Nothing was sent to {target.id}.") from error
    commit = old_head
    try:
        _create_repo(api, target)
        diff = with_retries(lambda: compare(target, files))
        commit = diff.head
        if diff.sent or diff.deleted:
            commit = _commit(api, target, files, diff, message)
        tag = _create_tag(api, target, str(commit))
    except Exception as error:
        raise UserError(f"{explain(error, target.id)} {_describe_hub_state(api, target, files, old_head)}") from error
    return PushResult(str(commit), tag, bool(diff.sent or diff.deleted))


def _create_repo(api: HfApi, target: RepoTarget) -> None:
    """Create the repository and the branch if they are missing; raises UserError if a private one exists as public."""
    sdk = {"space_sdk": "gradio"} if target.kind == "space" else {}
    visibility = {"private": True} if target.private else {}
    with_retries(lambda: api.create_repo(target.id, repo_type=target.kind, exist_ok=True, **visibility, **sdk))
    info = with_retries(lambda: api.repo_info(target.id, repo_type=target.kind))
    if target.private and not info.private:
        raise UserError(
            f"--private was passed, but {target.id} already exists and is public. Make it private in its settings, or "
            "publish without --private."
        )
    if target.branch != constants.DEFAULT_REVISION:
        with_retries(lambda: api.create_branch(target.id, branch=target.branch, repo_type=target.kind, exist_ok=True))


def _commit(api: HfApi, target: RepoTarget, files: RepoFiles, diff: RepoDiff, message: str) -> str:
    """Upload the missing files, then move the branch in one commit.

    If the response is lost, the commit is looked up, so that nothing is sent twice.
    """
    repo_args: dict[str, Any] = {"repo_id": target.id, "repo_type": target.kind, "revision": target.branch}
    additions = [CommitOperationAdd(name, files[name].source) for name in diff.sent]
    with_retries(lambda: api.preupload_lfs_files(additions=additions, **repo_args))
    deletions = [CommitOperationDelete(name) for name in diff.deleted]

    def send() -> str:
        head = _branch_head(api, target)
        if head != diff.head:
            return _commit_if_complete(api, target, files, head)
        commit = api.create_commit(
            operations=[*additions, *deletions], commit_message=message, parent_commit=diff.head, **repo_args
        )
        return str(commit.oid)

    return with_retries(send)


def _commit_if_complete(api: HfApi, target: RepoTarget, files: RepoFiles, head: str | None) -> str:
    """Return the commit that the branch was moved to; raises UserError if it does not have all files."""
    if head is None:
        raise UserError(f"{target.id} is no longer visible on the Hub. The repository or your token was removed.")
    if _missing_files(files, _remote_hashes(api, target, head)):
        raise UserError(f"Somebody else pushed to {target.id} in the meantime. Check their commit, then publish again.")
    return head


def _create_tag(api: HfApi, target: RepoTarget, commit: str) -> str:
    """Return the version tag of a commit. The tag is created if the commit has none."""

    def create() -> str:
        refs = api.list_repo_refs(target.id, repo_type=target.kind)
        commit_by_tag = {tag.name: tag.target_commit for tag in refs.tags if TAG.fullmatch(tag.name)}
        if existing := [name for name, tagged_commit in commit_by_tag.items() if tagged_commit == commit]:
            return str(existing[0])
        name = f"v{1 + max((int(tag[1:]) for tag in commit_by_tag), default=0)}"
        api.create_tag(target.id, tag=name, revision=commit, repo_type=target.kind)
        return name

    return with_retries(create)


def _describe_hub_state(api: HfApi, target: RepoTarget, files: RepoFiles, old_head: str | None) -> str:
    """Return what the Hub holds after a failure, if that can be read, and how to continue."""
    remedy = "The local run is unchanged. Publish again: files that have arrived are not sent twice."
    try:
        head = with_retries(lambda: _branch_head(api, target))
        remote_hashes = with_retries(lambda: _remote_hashes(api, target, head)) if head else {}
    except Exception:
        before = f"{target.branch} pointed at {old_head[:8]} before" if old_head else "it did not exist before"
        return f"The state of {target.id} on the Hub could not be read; {before}. {remedy}"
    if head is None:
        return f"{target.id} does not exist on the Hub. {remedy}"
    if not _missing_files(files, remote_hashes):
        return f"{target.id} has every file at {head[:8]}, only the version tag is missing. {remedy}"
    if head == old_head:
        return f"{target.id} is unchanged: {target.branch} still points at {head[:8]}. {remedy}"
    if old_head is None:
        return f"{target.id} exists, but contains no file of this push. {remedy}"
    return f"{target.id} was moved to {head[:8]} by somebody else. {remedy}"


def _branch_head(api: HfApi, target: RepoTarget) -> str | None:
    try:
        return str(api.repo_info(target.id, repo_type=target.kind, revision=target.branch).sha)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None


def _remote_hashes(api: HfApi, target: RepoTarget, commit: str) -> Hashes:
    tree = api.list_repo_tree(target.id, repo_type=target.kind, revision=commit, recursive=True)
    files = [entry for entry in tree if isinstance(entry, RepoFile)]
    return {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files}


def _read_manifest(target: RepoTarget, commit: str) -> dict[str, Any]:
    path = hf_hub_download(target.id, MANIFEST, repo_type=target.kind, revision=commit)
    manifest: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return manifest


def _has_hash(file: File, remote_hash: str | None) -> bool:
    return remote_hash in (file.sha256, file.sha1)


def _missing_files(files: RepoFiles, remote_hashes: Hashes) -> list[str]:
    return [name for name, file in files.items() if not _has_hash(file, remote_hashes.get(name))]
