"""Recipes as commented YAML, from which users start their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from hfmm import registry
from hfmm.assets import checkpoint_folder
from hfmm.recipe.schema import Recipe
from hfmm.recipe.validation import validate

COMMENT_COLUMN = 44


def to_annotated_yaml(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML with all defaults and a comment that explains each key.

    Raises UserError if the task or dataset does not exist, or if a key or value is invalid.
    """
    values, comments = recipe.model_dump(mode="json"), dict(_descriptions(Recipe))
    for name, kind in _option_classes(recipe).items():
        section = getattr(recipe, name)
        options = validate(kind, section.options, recipe.key_locations, prefix=name)
        values[name] = dict(section) | options.model_dump(mode="json")
        comments |= _descriptions(kind, f"{name}.")
    lines = [f"# {recipe.name}: run with `hfmm run <this file>`.", *_lines(values, comments)]
    return "\n".join(lines) + "\n"


def _option_classes(recipe: Recipe) -> dict[str, type[BaseModel]]:
    """Return the class that validates the extra keys of each section.

    The model section is included only if a single family fits the task, the config of a checkpoint that is not on the
    Hub, and the options that the recipe sets.
    """
    task = registry.get("tasks", recipe.task.name, "task").TASK
    builder = registry.get("data", recipe.data.builder, "data.builder")
    option_classes = {"task": task.Options, "data": builder.OPTIONS}
    families = [module.FAMILY for module in registry.load_all("models").values()]
    model_type, keys = _local_model_type(recipe.model.checkpoint), recipe.model.options.keys()

    def fits(family: Any) -> bool:
        names = {name for auto_class in task.auto_classes for name in family.supported_model_types(auto_class)}
        return model_type in names if model_type else bool(names)

    families = [family for family in families if fits(family)]
    if len(families) > 1:
        families = [family for family in families if keys <= family.Options.model_fields.keys()]
    return {**option_classes, "model": families[0].Options} if len(families) == 1 else option_classes


def _local_model_type(checkpoint: str) -> str | None:
    """Return the model type of a built-in checkpoint or of a folder, and None for one on the Hub."""
    config = checkpoint_folder(checkpoint) / "config.json"
    return json.loads(config.read_text(encoding="utf-8")).get("model_type") if config.is_file() else None


def _descriptions(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in kind.model_fields.items():
        annotation: Any = field.annotation
        choices = " | ".join(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ""
        if comment := "; ".join(filter(None, [choices, field.description])):
            yield f"{prefix}{name}", comment
        for nested in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                yield from _descriptions(nested, f"{prefix}{name}.")


def _lines(values: dict[str, Any], comments: dict[str, str], path: str = "", indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        dotted = f"{path}{key}"
        comment = comments.get(dotted, "")
        if isinstance(value, dict) and value:
            yield _with_comment(f"{indent}{_inline(key)}:", comment)
            yield from _lines(value, comments, f"{dotted}.", f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield _with_comment(f"{indent}{key}:", comment)
            for item in value:
                first, *rest = _lines(item, comments, f"{dotted}.", f"{indent}    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            yield _with_comment(f"{indent}{_inline(key)}: {_inline(value)}", comment)


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("\n...\n").strip()


def _with_comment(line: str, comment: str) -> str:
    # In YAML a comment must be separated from the value by a space.
    return f"{line:<{COMMENT_COLUMN - 1}} # {comment}" if comment else line
