"""Locate and load checkpoints: built-in ones, local folders and the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hfmm.assets import BUILTIN, builtin_checkpoints, checkpoint_folder
from hfmm.errors import UserError, first_line
from hfmm.models.common import quantization
from hfmm.models.common.malloc import configure_malloc
from hfmm.recipe.schema import Model

RECIPE_KEY = "model.checkpoint"  # families with a second checkpoint have another key for it


def run_folder_hint(folder: Path) -> str:
    """Return a sentence with the path of the model if the folder is a run, otherwise an empty string."""
    inner = folder / "model"
    return f" It is a run. Its model is {inner}." if (inner / "config.json").is_file() else ""


def resolve_checkpoint(model_options: Model, key: str = RECIPE_KEY) -> str:
    """Return the folder or Hub id for `from_pretrained`; raises UserError for a folder that does not exist."""
    name = model_options.checkpoint
    path = checkpoint_folder(name)
    if name.startswith(BUILTIN):
        if not (path / "config.json").is_file():
            raise UserError(f"{key}: {name} does not exist. {_builtin_hint()}")
        return str(path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{key}: the folder {name} is not a checkpoint: config.json is missing.{run_folder_hint(path)}"
            )
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(f"{key}: the folder {name} does not exist. {_builtin_hint()}")
    return name


def config(source: str, model_options: Model, key: str = RECIPE_KEY) -> Any:
    """Return the config of the checkpoint at ``source``; raises UserError if it could not be loaded."""
    from transformers import AutoConfig

    return load_pretrained(AutoConfig, source, model_options, key)


def load_pretrained(auto_class: Any, source: str, model_options: Model, key: str = RECIPE_KEY) -> Any:
    """Return the config, processor or tokenizer at ``source``; raises UserError if it could not be loaded.

    Args:
        auto_class: An Auto class of configs, processors or tokenizers.
        source: A folder or a Hub id.
        model_options: The ``model`` section of the recipe.
        key: The recipe key of the checkpoint, for messages.
    """
    try:
        return auto_class.from_pretrained(source, revision=model_options.revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise checkpoint_error(model_options, error, key) from error


def checkpoint_error(model_options: Model, error: Exception, key: str = RECIPE_KEY) -> UserError:
    """Return the error for a checkpoint that could not be loaded. It lists the built-in checkpoints."""
    checkpoint, revision = model_options.checkpoint, model_options.revision
    if Path(checkpoint).expanduser().is_dir():
        return UserError(f"{key}: the folder {checkpoint} could not be loaded: {first_line(error)}")
    return UserError(
        f"{key}: {checkpoint}{f' at revision {revision}' if revision else ''} could not be loaded. Either this machine "
        "is offline, or the repository does not exist, or it is private and you are not logged in (`hf auth login`). "
        f"{_builtin_hint()} The error was: {first_line(error)}"
    )


def load_weights(
    model_class: Any, source: str, model_options: Model, key: str = RECIPE_KEY, **kwargs: Any
) -> tuple[Any, dict[str, Any]]:
    """Return a model in fp32, and the loading info of `from_pretrained` with the missing and mismatched keys.

    Args:
        model_class: The class of the model, or an Auto class.
        source: A folder or a Hub id.
        model_options: The ``model`` section of the recipe. Its ``load`` is passed to `from_pretrained`.
        key: The recipe key of the checkpoint, for messages.
        kwargs: Further arguments of `from_pretrained`.

    Raises:
        UserError: The checkpoint could not be loaded, or its weights are stored in a quantized format.
    """
    from safetensors import SafetensorError

    arguments = from_pretrained_arguments(model_options.load) | kwargs
    try:
        model, info = model_class.from_pretrained(
            source, revision=model_options.revision, dtype="float32", output_loading_info=True, **arguments
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise checkpoint_error(model_options, error, key) from error
    if "quantization_config" in arguments:
        quantization.check_supported_shapes(model, model_options.checkpoint)
    elif getattr(model, "is_quantized", False):
        raise UserError(
            f"{key}: {model_options.checkpoint} has quantized weights, which cannot be trained. Use the model that was "
            "quantized. It is the base model in the model card."
        )
    return model, info


def load_with_new_head(model_class: Any, source: str, model_options: Model, config: Any) -> tuple[Any, set[str]]:
    """Return a model whose head may have another size than in the checkpoint, and the names of its new tensors."""
    model, info = load_weights(model_class, source, model_options, config=config, ignore_mismatched_sizes=True)
    return model, {*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])}


def from_pretrained_arguments(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` for ``model.load`` of a recipe, with the quantization config made."""
    arguments = dict(load)
    if "quantization_config" in arguments:
        arguments["quantization_config"] = quantization.make_quantization_config(arguments["quantization_config"])
    return arguments


def check_missing_keys(missing_keys: Iterable[str], model: Any, model_options: Model, key: str = RECIPE_KEY) -> None:
    """Raise UserError if tensors of the model are missing in the checkpoint."""
    if names := sorted(missing_keys):
        raise UserError(
            f"{key}: {model_options.checkpoint} lacks {len(names)} tensors that a {type(model).__name__} needs, for "
            f"example {', '.join(names[:3])}. It is damaged, or it was saved from another architecture."
        )


def _builtin_hint() -> str:
    return f"The built-in checkpoints are {', '.join(BUILTIN + name for name in builtin_checkpoints())}."


def load_saved(directory: str, dtype: str = "auto", **kwargs: Any) -> tuple[Any, Any]:
    """Return the model and the processor from a folder that a run saved.

    Args:
        directory: The folder.
        dtype: The dtype of the weights; ``auto`` is the one they were saved in.
        kwargs: Further arguments of `from_pretrained`.

    Raises:
        UserError: The model or the processor could not be loaded.
    """
    import transformers
    from safetensors import SafetensorError

    configure_malloc()
    try:
        config = transformers.AutoConfig.from_pretrained(directory)
        model = getattr(transformers, config.architectures[0]).from_pretrained(directory, dtype=dtype, **kwargs)
        return model, _processor_class(model).from_pretrained(directory)
    except ModuleNotFoundError as error:
        raise UserError(
            f"The model in {directory} needs the package {error.name!r}, which is not installed: "
            f"pip install {error.name}."
        ) from error
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise UserError(f"The model in {directory} could not be loaded: {first_line(error)}") from error


def _processor_class(model: Any) -> Any:
    """Return the Auto class of the processor that a run saves with the model.

    AutoProcessor would also look for the tokenizer of the CLIP or the Whisper that a classifier was made from.
    """
    import transformers
    from transformers.models.auto import modeling_auto

    if "ForImageClassification" in type(model).__name__:
        return transformers.AutoImageProcessor
    audio_classifiers = modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    is_audio_classifier = audio_classifiers.get(model.config.model_type) == type(model).__name__
    return transformers.AutoFeatureExtractor if is_audio_classifier else transformers.AutoProcessor
