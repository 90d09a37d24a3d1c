"""A recipe as commented YAML: the start of a recipe of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

from hfmm import parts
from hfmm.recipe import Recipe

COMMENT_COLUMN = 44


def commented(recipe: Recipe) -> str:
    """Return the resolved recipe, every default spelled out, each key with what it means."""
    values = recipe.model_dump(mode="json")
    builder = parts.find("data", recipe.data.builder, "build", "data.builder")
    options = builder.Options.model_validate(recipe.data.options)
    values["data"] |= options.model_dump(mode="json")
    comments = dict(_descriptions(Recipe)) | {f"data.{key}": text for key, text in _descriptions(builder.Options)}
    lines = [f"# {recipe.name}: run it with `hfmm run <this file>`.", *_lines(values, comments)]
    return "\n".join(lines) + "\n"


def _descriptions(kind: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in kind.model_fields.items():
        if field.description:
            yield f"{prefix}{name}", field.description
        annotation: Any = field.annotation
        for nested in (annotation, *getattr(annotation, "__args__", ())):
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                yield from _descriptions(nested, f"{prefix}{name}.")


def _lines(values: dict[str, Any], comments: dict[str, str], path: str = "", indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        dotted = f"{path}{key}"
        comment = comments.get(dotted, "")
        if isinstance(value, dict) and value:
            yield _with_comment(f"{indent}{key}:", comment)
            yield from _lines(value, comments, f"{dotted}.", f"{indent}  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield _with_comment(f"{indent}{key}:", comment)
            for item in value:
                first, *rest = _lines(item, comments, f"{dotted}.", f"{indent}    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from rest
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n...\n").strip()
            yield _with_comment(f"{indent}{key}: {text}", comment)


def _with_comment(line: str, comment: str) -> str:
    return f"{line:<{COMMENT_COLUMN}}# {comment}" if comment else line
