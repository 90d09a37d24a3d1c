"""The papers to cite for a model, as BibTeX. The keys in templates/papers.bib are model types and methods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hfmm.recipe.schema import Recipe

TOWER = r"_(vision|text)_model$"  # the end of the model type of a CLIP or SigLIP tower
BIBLIOGRAPHY = Path(__file__).parent / "templates" / "papers.bib"


def citations_for(config: Any, recipe: Recipe) -> str:
    """Return the entries of the architecture, of its towers, and of the methods: LoRA, WiSE-FT."""
    towers: list[Any] = [getattr(config, name, None) for name in ("vision_config", "text_config")]
    keys = [config.model_type, *(re.sub(TOWER, "", tower.model_type) for tower in towers if tower is not None)]
    keys += ["lora"] if any(stage.trainable == "lora" for stage in recipe.stages) else []
    keys += ["wiseft"] if any(stage.wise_ft_alpha is not None for stage in recipe.stages) else []
    entries = {text.partition("{")[2].partition(",")[0]: text for text in _entries()}
    return "\n\n".join(entries[key] for key in dict.fromkeys(keys) if key in entries)


def _entries() -> list[str]:
    return [text.strip() for text in BIBLIOGRAPHY.read_text(encoding="utf-8").split("\n\n") if text.strip()]
