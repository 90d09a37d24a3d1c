"""The files that come with the package: recipes, model cards, and the built-in checkpoints and datasets.

In a checkout (and in an editable install) recipes/ and model_cards/ are next to the package. In a wheel they are inside
this folder.
"""

from __future__ import annotations

from pathlib import Path

BUILTIN = "builtin:"

_ASSETS = Path(__file__).parent

CHECKPOINTS = _ASSETS / "checkpoints"
DATASETS = _ASSETS / "datasets"


def _find_resource(name: str) -> Path:
    packaged = _ASSETS / name
    return packaged if packaged.is_dir() else _ASSETS.parent.parent / name


RECIPES = _find_resource("recipes")
MODEL_CARDS = _find_resource("model_cards")


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a built-in checkpoint, or of one that is named by its path; it may not exist."""
    return CHECKPOINTS / name.removeprefix(BUILTIN) if name.startswith(BUILTIN) else Path(name).expanduser()


def builtin_checkpoints() -> list[str]:
    """Return the names of the built-in checkpoints, which recipes write as ``builtin:<name>``."""
    return sorted(folder.name for folder in CHECKPOINTS.iterdir() if (folder / "config.json").exists())
