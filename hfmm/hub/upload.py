"""What goes into one repository, and how it is shown before it is sent."""

from __future__ import annotations

from typing import NamedTuple

from huggingface_hub import ModelCard

from hfmm.hub.errors import explain
from hfmm.hub.files import RepoFiles, format_size, size
from hfmm.hub.push import RepoDiff, RepoTarget, compare


class RepoUpload(NamedTuple):
    """A repository, its files, and the message of the commit that brings them there."""

    target: RepoTarget
    contents: RepoFiles
    message: str


def describe(parcel: RepoUpload) -> str:
    """Return every file with its size and what the push does to it, below the repository's name and promises."""
    target, contents = parcel.target, parcel.contents
    try:
        difference, asked = compare(target, contents), ""
    except Exception as error:
        difference, asked = RepoDiff(None, sorted(contents), [], []), f" ({explain(error, target.id)})"
    lines = [f"{target.id} ({_card_summary(parcel)}){asked}"]
    for name, file in sorted(contents.items()):
        state = "" if name in difference.sent else "  already there"
        lines.append(f"  {name:<32} {format_size(file.size):>10}{state}")
    lines += [f"  {name:<32} {'deleted':>10}" for name in difference.deleted]
    lines += [f"  {name:<32} {'stays':>10}" for name in difference.foreign if name not in contents]
    sent = sum(contents[name].size for name in difference.sent)
    lines.append(f"  {len(contents)} files, {format_size(size(contents))}; {format_size(sent)} to send")
    return "\n".join(lines)


def _card_summary(parcel: RepoUpload) -> str:
    """Return what the card promises: kind, visibility, licence and bases."""
    target = parcel.target
    words = [f"{'private' if target.private else 'public'} {target.kind}"]
    words += [f"branch {target.branch}"] if target.branch != "main" else []
    source = parcel.contents["README.md"].source
    data = ModelCard(
        source.decode() if isinstance(source, bytes) else source.read_text(encoding="utf-8")
    ).data.to_dict()
    if "license" in data:
        words.append(f"licence {data.get('license_name') or data['license']}")
    if base := data.get("base_model"):
        words.append(f"base model {base if isinstance(base, str) else ' and '.join(base)}")
    return ", ".join(words)
