"""Where a checkpoint is: embedded, in a folder, or on the Hub; and what is said when it cannot be had."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hfmm.errors import UserError
from hfmm.recipe import Model
from hfmm.resources import CHECKPOINTS, embedded_checkpoints

BUILTIN = "builtin:"
KEY = "model.checkpoint"  # where a recipe names it; a family that takes a second checkpoint has another key for that


def of_a_run(folder: Path) -> str:
    """Return a sentence that says where the model of a run lies; an empty one where the folder is none."""
    inner = folder / "model"
    return f" It is a run; its model is {inner}." if (inner / "config.json").is_file() else ""


def locate(spec: Model, key: str = KEY) -> str:
    """Return the folder or Hub id that `from_pretrained` takes; raises UserError for what cannot exist."""
    name = spec.checkpoint
    if name.startswith(BUILTIN):
        folder = CHECKPOINTS / name.removeprefix(BUILTIN)
        if not (folder / "config.json").is_file():
            raise UserError(f"{key}: there is no {name}. {_embedded()}")
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"{key}: the folder {name} holds no config.json, so it is no checkpoint.{of_a_run(path)}")
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"{key}: there is no folder {name}. {_embedded()}")
    return name


def config(source: str, spec: Model, key: str = KEY) -> Any:
    """Return the transformers config at ``source``; raises UserError when it cannot be had or read."""
    from transformers import AutoConfig

    return read(AutoConfig, source, spec, key)


def read(kind: Any, source: str, spec: Model, key: str = KEY) -> Any:
    """Return what ``kind``, an Auto class of configs, processors or tokenizers, finds at ``source``.

    Raises UserError when it cannot be had or read.
    """
    try:
        return kind.from_pretrained(source, revision=spec.revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise unavailable(spec, error, key) from error


def unavailable(spec: Model, error: Exception, key: str = KEY) -> UserError:
    """Return the paragraph for a checkpoint that did not load, offering the embedded ones."""
    revision = f" at revision {spec.revision}" if spec.revision else ""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if Path(spec.checkpoint).expanduser().is_dir():
        return UserError(f"{key}: the folder {spec.checkpoint} does not load: {reason}")
    return UserError(
        f"{key}: {spec.checkpoint}{revision} cannot be had. Either this machine is offline, or the "
        "repository is missing, or it is private and you are not logged in (`hf auth login`); the Hub does not tell "
        f"these apart. {_embedded()} The loader said: {reason}"
    )


def weights(kind: Any, source: str, spec: Model, key: str = KEY, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Return what ``kind.from_pretrained`` reads, in fp32, and what it tells of tensors missing and mismatched.

    ``more`` goes to it as well. Raises UserError when the checkpoint cannot be had or read, or is quantized.
    """
    from safetensors import SafetensorError

    try:
        model, info = kind.from_pretrained(
            source, revision=spec.revision, dtype="float32", output_loading_info=True, **more
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise unavailable(spec, error, key) from error
    if getattr(model, "is_quantized", False):
        raise UserError(
            f"{key}: {spec.checkpoint} holds quantized weights, which are read and not trained. Name the model that it "
            "was made of, which its card calls its base."
        )
    return model, info


def refuse_missing(lost: Iterable[str], model: Any, spec: Model, key: str = KEY) -> None:
    """Raise UserError where a checkpoint lacks tensors that its architecture needs."""
    if names := sorted(lost):
        raise UserError(
            f"{key}: {spec.checkpoint} lacks {len(names)} tensors that a {type(model).__name__} needs, "
            f"among them {', '.join(names[:3])}. It is damaged, or made for another architecture."
        )


def _embedded() -> str:
    return f"These come with hfmm: {', '.join(BUILTIN + name for name in embedded_checkpoints())}."
