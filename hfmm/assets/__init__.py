"""Where the files that travel with the package lie: recipes, model cards, embedded checkpoints and datasets.

In a checkout (and so in an editable install) recipes/ and model_cards/ stand beside the package; in
a wheel they lie inside it.
"""

from __future__ import annotations

from pathlib import Path

BUILTIN = "builtin:"

_ASSETS = Path(__file__).parent

CHECKPOINTS = _ASSETS / "checkpoints"
DATASETS = _ASSETS / "datasets"


def _find_resource(name: str) -> Path:
    inside = _ASSETS / name
    return inside if inside.is_dir() else _ASSETS.parent.parent / name


RECIPES = _find_resource("recipes")
MODEL_CARDS = _find_resource("model_cards")


def builtin_checkpoints() -> list[str]:
    """Return the names that ``builtin:`` accepts."""
    return sorted(folder.name for folder in CHECKPOINTS.iterdir() if (folder / "config.json").exists())
