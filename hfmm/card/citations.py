"""The papers that a model rests on, as BibTeX from templates/papers.bib; an entry's key says which models it is for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hfmm.recipe.schema import Recipe

TOWER = r"_(vision|text)_model$"  # what the type of a CLIP's or SigLIP's tower ends in
BIBLIOGRAPHY = Path(__file__).parent / "templates" / "papers.bib"


def citations_for(config: Any, recipe: Recipe) -> str:
    """Return the entries of the model's architecture, of its towers, and of how it was tuned: LoRA, interpolation."""
    parts: list[Any] = [getattr(config, name, None) for name in ("vision_config", "text_config")]
    keys = [config.model_type, *(re.sub(TOWER, "", part.model_type) for part in parts if part is not None)]
    keys += ["lora"] if any(stage.trainable == "lora" for stage in recipe.stages) else []
    keys += ["wiseft"] if any(stage.wise_ft_alpha is not None for stage in recipe.stages) else []
    entries = {text.partition("{")[2].partition(",")[0]: text for text in _entries()}
    return "\n\n".join(entries[key] for key in dict.fromkeys(keys) if key in entries)


def _entries() -> list[str]:
    return [text.strip() for text in BIBLIOGRAPHY.read_text(encoding="utf-8").split("\n\n") if text.strip()]
