"""What goes into one repository, and how it is shown before it is sent."""

from __future__ import annotations

from typing import NamedTuple

from huggingface_hub import ModelCard

from hfmm.publishing.contents import Contents, readable, size
from hfmm.publishing.hub_errors import reason
from hfmm.publishing.push import Difference, Target, compare


class Parcel(NamedTuple):
    """A repository, its files, and the message of the commit that brings them there."""

    target: Target
    contents: Contents
    message: str


def describe(parcel: Parcel) -> str:
    """Return every file with its size and what the push does to it, below the repository's name and promises."""
    target, contents = parcel.target, parcel.contents
    try:
        difference, asked = compare(target, contents), ""
    except Exception as error:
        difference, asked = Difference(None, sorted(contents), [], []), f" ({reason(error, target.id)})"
    lines = [f"{target.id} ({_promises(parcel)}){asked}"]
    for name, file in sorted(contents.items()):
        state = "" if name in difference.sent else "  already there"
        lines.append(f"  {name:<32} {readable(file.size):>10}{state}")
    lines += [f"  {name:<32} {'deleted':>10}" for name in difference.deleted]
    lines += [f"  {name:<32} {'stays':>10}" for name in difference.foreign if name not in contents]
    sent = sum(contents[name].size for name in difference.sent)
    lines.append(f"  {len(contents)} files, {readable(size(contents))}; {readable(sent)} to send")
    return "\n".join(lines)


def _promises(parcel: Parcel) -> str:
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
