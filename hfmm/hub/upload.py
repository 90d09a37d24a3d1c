"""The upload to one repository, and its description before anything is sent."""

from __future__ import annotations

from typing import NamedTuple

from huggingface_hub import ModelCard

from hfmm.hub.errors import explain
from hfmm.hub.files import RepoFiles, format_size, size
from hfmm.hub.push import RepoDiff, RepoTarget, compare


class RepoUpload(NamedTuple):
    """A repository, its files and the commit message."""

    target: RepoTarget
    files: RepoFiles
    message: str


def describe(upload: RepoUpload) -> str:
    """Return the repository with its metadata, and every file with its size and what the push does to it."""
    target, files = upload.target, upload.files
    try:
        diff, problem = compare(target, files), ""
    except Exception as error:
        diff, problem = RepoDiff(None, sorted(files), [], []), f" ({explain(error, target.id)})"
    lines = [f"{target.id} ({_card_summary(upload)}){problem}"]
    for name, file in sorted(files.items()):
        state = "" if name in diff.sent else "  unchanged"
        lines.append(f"  {name:<32} {format_size(file.size):>10}{state}")
    lines += [f"  {name:<32} {'deleted':>10}" for name in diff.deleted]
    lines += [f"  {name:<32} {'kept':>10}" for name in diff.foreign if name not in files]
    sent_size = sum(files[name].size for name in diff.sent)
    lines.append(f"  {len(files)} files, {format_size(size(files))}; {format_size(sent_size)} to send")
    return "\n".join(lines)


def _card_summary(upload: RepoUpload) -> str:
    """Return kind, visibility, license and base models of the repository."""
    target = upload.target
    parts = [f"{'private' if target.private else 'public'} {target.kind}"]
    parts += [f"branch {target.branch}"] if target.branch != "main" else []
    source = upload.files["README.md"].source
    metadata = ModelCard(
        source.decode() if isinstance(source, bytes) else source.read_text(encoding="utf-8")
    ).data.to_dict()
    if "license" in metadata:
        parts.append(f"license {metadata.get('license_name') or metadata['license']}")
    if base := metadata.get("base_model"):
        parts.append(f"base model {base if isinstance(base, str) else ' and '.join(base)}")
    return ", ".join(parts)
