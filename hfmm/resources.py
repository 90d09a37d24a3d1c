"""Where the files that travel with the package lie: recipes, model cards, embedded checkpoints and datasets.

In a checkout (and so in an editable install) recipes/ and model_cards/ stand beside the package; in
a wheel they lie inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent

CHECKPOINTS = _PACKAGE / "checkpoints"
DATASETS = _PACKAGE / "datasets"


def _beside_or_inside(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


RECIPES = _beside_or_inside("recipes")
MODEL_CARDS = _beside_or_inside("model_cards")


def embedded_checkpoints() -> list[str]:
    """Return the names that ``builtin:`` accepts."""
    return sorted(folder.name for folder in CHECKPOINTS.iterdir() if (folder / "config.json").exists())
