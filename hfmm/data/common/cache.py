"""Where hfmm keeps datasets and recordings for later runs: beside the cache of the Hugging Face libraries."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants


def cache_folder(content: str) -> Path:
    """Return the folder for a kind of content, such as ``datasets``."""
    return Path(constants.HF_HOME) / "hfmm" / content
