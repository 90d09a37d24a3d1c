"""hfmm: from one recipe to a verified, publishable multimodal model.

`import hfmm` loads no torch: the functions below are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hfmm.api import Run, evaluate, load_dataset, predict, publish_run, run_recipe, verify_run
    from hfmm.errors import UserError
    from hfmm.recipe.load import load_recipe
    from hfmm.recipe.schema import Recipe

_MODULES = {
    "Recipe": "hfmm.recipe.schema",
    "Run": "hfmm.api",
    "UserError": "hfmm.errors",
    "evaluate": "hfmm.api",
    "load_dataset": "hfmm.api",
    "load_recipe": "hfmm.recipe.load",
    "predict": "hfmm.api",
    "publish_run": "hfmm.api",
    "run_recipe": "hfmm.api",
    "verify_run": "hfmm.api",
}

__all__ = [
    "Recipe",
    "Run",
    "UserError",
    "__version__",
    "evaluate",
    "load_dataset",
    "load_recipe",
    "predict",
    "publish_run",
    "run_recipe",
    "verify_run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'hfmm' has no attribute {name!r}")
    from importlib import import_module

    from hfmm.utils.imports import silence_import_warnings

    silence_import_warnings()
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
