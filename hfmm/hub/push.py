"""Contents into a repository on the Hub: one commit, one tag, and a clear word on what is there if something fails."""

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

MANIFEST = "hfmm.json"  # in every repository that hfmm pushed: where it comes from, and which files are hfmm's
GIT_ATTRIBUTES = ".gitattributes"  # the Hub's own
TAG = re.compile(r"v(\d+)")

Hashes = dict[str, str]  # by path, as the Hub tells them


class RepoTarget(NamedTuple):
    """A repository, whether it is there or not yet."""

    id: str
    kind: Literal["model", "dataset", "space"] = "model"
    private: bool = False
    branch: str = "main"


class RepoDiff(NamedTuple):
    """What a push would change."""

    head: str | None  # the commit that the branch points at; none where there is no branch, or no repository
    sent: list[str]
    deleted: list[str]
    foreign: list[str]  # files that are there and that no push of hfmm left
    earlier: dict[str, Any] | None = None  # what the last push of hfmm said of the repository


class PushResult(NamedTuple):
    """Where the contents are now."""

    commit: str
    tag: str
    changed: bool


def with_manifest(contents: RepoFiles, provenance: dict[str, Any]) -> RepoFiles:
    """Return the contents with the file that says where they come from and what they are."""
    files = {name: file.sha256 for name, file in sorted(contents.items()) if name != MANIFEST}
    text = json.dumps({**provenance, "files": files}, indent=2, ensure_ascii=False) + "\n"
    return contents | {MANIFEST: repo_file(MANIFEST, text.encode())}


def compare(target: RepoTarget, contents: RepoFiles) -> RepoDiff:
    """Ask the Hub what of the contents it lacks, and which files of an earlier push are no longer among them.

    Files that somebody else put there stay. Raises what the client raises.
    """
    api = HfApi()
    head = _head(api, target)
    if head is None:
        return RepoDiff(None, sorted(contents), [], [])
    there = _hashes(api, target, head)
    sent = sorted(name for name, file in contents.items() if not _same(file, there.get(name)))
    earlier = _manifest(target, head) if MANIFEST in there else None
    ours = {*earlier["files"]} if earlier else set()
    foreign = sorted(there.keys() - ours - {MANIFEST, GIT_ATTRIBUTES})
    return RepoDiff(head, sent, sorted(ours & there.keys() - contents.keys()), foreign, earlier)


def push(target: RepoTarget, contents: RepoFiles, message: str) -> PushResult:
    """Bring the repository to the contents in one commit and tag it ``v1``, ``v2``, ...; the same again does nothing.

    Raises UserError, which says what state the Hub is in, for whatever does not pass.
    """
    api = HfApi()
    try:
        begun = with_retries(lambda: _head(api, target))
    except Exception as error:
        raise UserError(f"{explain(error, target.id)} Nothing was sent to {target.id}.") from error
    commit = begun
    try:
        _prepare(api, target)
        difference = with_retries(lambda: compare(target, contents))
        commit = difference.head
        if difference.sent or difference.deleted:
            commit = _commit(api, target, contents, difference, message)
        tag = _tag(api, target, str(commit))
    except Exception as error:
        raise UserError(f"{explain(error, target.id)} {_describe_hub_state(api, target, contents, begun)}") from error
    return PushResult(str(commit), tag, bool(difference.sent or difference.deleted))


def _prepare(api: HfApi, target: RepoTarget) -> None:
    """Make the repository and the branch, where they are missing; a public one does not become private unnoticed."""
    sdk = {"space_sdk": "gradio"} if target.kind == "space" else {}
    visibility = {"private": True} if target.private else {}
    with_retries(lambda: api.create_repo(target.id, repo_type=target.kind, exist_ok=True, **visibility, **sdk))
    info = with_retries(lambda: api.repo_info(target.id, repo_type=target.kind))
    if target.private and not info.private:
        raise UserError(
            f"{target.id} exists and is public, though it was to be private. Make it private in its settings, or "
            "publish without --private."
        )
    if target.branch != constants.DEFAULT_REVISION:
        with_retries(lambda: api.create_branch(target.id, branch=target.branch, repo_type=target.kind, exist_ok=True))


def _commit(api: HfApi, target: RepoTarget, contents: RepoFiles, difference: RepoDiff, message: str) -> str:
    """Upload what is missing, then move the branch in one step; a lost answer is looked up, and nothing sent twice."""
    where: dict[str, Any] = {"repo_id": target.id, "repo_type": target.kind, "revision": target.branch}
    additions = [CommitOperationAdd(name, contents[name].source) for name in difference.sent]
    with_retries(lambda: api.preupload_lfs_files(additions=additions, **where))
    deletions = [CommitOperationDelete(name) for name in difference.deleted]

    def send() -> str:
        head = _head(api, target)
        if head != difference.head:
            return _commit_if_complete(api, target, contents, head)
        done = api.create_commit(
            operations=[*additions, *deletions], commit_message=message, parent_commit=difference.head, **where
        )
        return str(done.oid)

    return with_retries(send)


def _commit_if_complete(api: HfApi, target: RepoTarget, contents: RepoFiles, head: str | None) -> str:
    """Return the commit that the branch has moved to, if it holds the contents; raises UserError if it does not."""
    if head is None:
        raise UserError(f"The Hub no longer shows {target.id} to you: it was removed, or your token was.")
    if _missing(contents, _hashes(api, target, head)):
        raise UserError(f"Somebody else pushed to {target.id} meanwhile. Look at what they did, then publish again.")
    return head


def _tag(api: HfApi, target: RepoTarget, commit: str) -> str:
    """Return the version tag of a commit, made where it has none."""

    def make() -> str:
        refs = api.list_repo_refs(target.id, repo_type=target.kind)
        versions = {one.name: one.target_commit for one in refs.tags if TAG.fullmatch(one.name)}
        if known := [name for name, at in versions.items() if at == commit]:
            return str(known[0])
        name = f"v{1 + max((int(one[1:]) for one in versions), default=0)}"
        api.create_tag(target.id, tag=name, revision=commit, repo_type=target.kind)
        return name

    return with_retries(make)


def _describe_hub_state(api: HfApi, target: RepoTarget, contents: RepoFiles, begun: str | None) -> str:
    """Say what the Hub holds after a failure, as far as it can be asked, and how to go on."""
    again = "The run on this machine is as it was. Publish again: what has arrived is not sent twice."
    try:
        head = with_retries(lambda: _head(api, target))
        there = with_retries(lambda: _hashes(api, target, head)) if head else {}
    except Exception:
        before = f"{target.branch} pointed at {begun[:8]} before" if begun else "there was no such repository before"
        return f"The Hub cannot be asked what {target.id} holds now; {before}. {again}"
    if head is None:
        return f"There is no {target.id} on the Hub. {again}"
    if not _missing(contents, there):
        return f"{target.id} holds every file at {head[:8]}, and lacks only its version tag. {again}"
    if head == begun:
        return f"{target.id} is as it was: {target.branch} still points at {head[:8]}. {again}"
    if begun is None:
        return f"{target.id} exists and holds no file of this push. {again}"
    return f"{target.id} was moved to {head[:8]} by somebody else. {again}"


def _head(api: HfApi, target: RepoTarget) -> str | None:
    try:
        return str(api.repo_info(target.id, repo_type=target.kind, revision=target.branch).sha)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None


def _hashes(api: HfApi, target: RepoTarget, commit: str) -> Hashes:
    tree = api.list_repo_tree(target.id, repo_type=target.kind, revision=commit, recursive=True)
    files = [one for one in tree if isinstance(one, RepoFile)]
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in files}


def _manifest(target: RepoTarget, commit: str) -> dict[str, Any]:
    path = hf_hub_download(target.id, MANIFEST, repo_type=target.kind, revision=commit)
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def _same(file: File, known: str | None) -> bool:
    return known in (file.sha256, file.sha1)


def _missing(contents: RepoFiles, there: Hashes) -> list[str]:
    return [name for name, file in contents.items() if not _same(file, there.get(name))]
