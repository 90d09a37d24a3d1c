"""Where a checkpoint is: embedded, in a folder, or on the Hub; and what is said when it cannot be had."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hfmm.assets import BUILTIN, CHECKPOINTS, builtin_checkpoints
from hfmm.errors import UserError
from hfmm.models.common.malloc import configure_malloc
from hfmm.recipe.schema import Model

RECIPE_KEY = (
    "model.checkpoint"  # where a recipe names it; a family that takes a second checkpoint has another key for that
)


def run_folder_hint(folder: Path) -> str:
    """Return a sentence that says where the model of a run lies; an empty one where the folder is none."""
    inner = folder / "model"
    return f" It is a run; its model is {inner}." if (inner / "config.json").is_file() else ""


def resolve_checkpoint(spec: Model, key: str = RECIPE_KEY) -> str:
    """Return the folder or Hub id that `from_pretrained` takes; raises UserError for what cannot exist."""
    name = spec.checkpoint
    if name.startswith(BUILTIN):
        folder = CHECKPOINTS / name.removeprefix(BUILTIN)
        if not (folder / "config.json").is_file():
            raise UserError(f"{key}: there is no {name}. {_builtin_hint()}")
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{key}: the folder {name} holds no config.json, so it is no checkpoint.{run_folder_hint(path)}"
            )
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"{key}: there is no folder {name}. {_builtin_hint()}")
    return name


def config(source: str, spec: Model, key: str = RECIPE_KEY) -> Any:
    """Return the transformers config at ``source``; raises UserError when it cannot be had or read."""
    from transformers import AutoConfig

    return load_pretrained(AutoConfig, source, spec, key)


def load_pretrained(kind: Any, source: str, spec: Model, key: str = RECIPE_KEY) -> Any:
    """Return what ``kind``, an Auto class of configs, processors or tokenizers, finds at ``source``.

    Raises UserError when it cannot be had or read.
    """
    try:
        return kind.from_pretrained(source, revision=spec.revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise checkpoint_error(spec, error, key) from error


def checkpoint_error(spec: Model, error: Exception, key: str = RECIPE_KEY) -> UserError:
    """Return the paragraph for a checkpoint that did not load, offering the embedded ones."""
    revision = f" at revision {spec.revision}" if spec.revision else ""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if Path(spec.checkpoint).expanduser().is_dir():
        return UserError(f"{key}: the folder {spec.checkpoint} does not load: {reason}")
    return UserError(
        f"{key}: {spec.checkpoint}{revision} cannot be had. Either this machine is offline, or the "
        "repository is missing, or it is private and you are not logged in (`hf auth login`); the Hub does not tell "
        f"these apart. {_builtin_hint()} The loader said: {reason}"
    )


def load_weights(kind: Any, source: str, spec: Model, key: str = RECIPE_KEY, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Return what ``kind.from_pretrained`` reads, in fp32, and what it tells of tensors missing and mismatched.

    ``more`` goes to it as well. Raises UserError when the checkpoint cannot be had or read, or is quantized.
    """
    from safetensors import SafetensorError

    try:
        model, info = kind.from_pretrained(
            source, revision=spec.revision, dtype="float32", output_loading_info=True, **more
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise checkpoint_error(spec, error, key) from error
    if getattr(model, "is_quantized", False):
        raise UserError(
            f"{key}: {spec.checkpoint} holds quantized weights, which are read and not trained. Name the model that it "
            "was made of, which its card calls its base."
        )
    return model, info


def check_missing_keys(lost: Iterable[str], model: Any, spec: Model, key: str = RECIPE_KEY) -> None:
    """Raise UserError where a checkpoint lacks tensors that its architecture needs."""
    if names := sorted(lost):
        raise UserError(
            f"{key}: {spec.checkpoint} lacks {len(names)} tensors that a {type(model).__name__} needs, "
            f"among them {', '.join(names[:3])}. It is damaged, or made for another architecture."
        )


def _builtin_hint() -> str:
    return f"These come with hfmm: {', '.join(BUILTIN + name for name in builtin_checkpoints())}."


def load_saved(directory: str, dtype: str = "auto") -> tuple[Any, Any]:
    """Return (model, processor) from a folder that a run wrote; ``auto`` is the dtype it was saved in.

    Raises UserError when the folder does not hold both whole.
    """
    import transformers
    from safetensors import SafetensorError

    configure_malloc()
    try:
        config = transformers.AutoConfig.from_pretrained(directory)
        model = getattr(transformers, config.architectures[0]).from_pretrained(directory, dtype=dtype)
        # For a classifier that was a CLIP, AutoProcessor would look for the tokenizer too.
        pictures = "ForImageClassification" in config.architectures[0]
        kind = transformers.AutoImageProcessor if pictures else transformers.AutoProcessor
        return model, kind.from_pretrained(directory)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The model in {directory} needs the package {error.name!r}, which is not installed: "
            f"pip install {error.name}."
        ) from error
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise UserError(f"The model in {directory} does not load: {str(error).strip().splitlines()[0]}") from error
