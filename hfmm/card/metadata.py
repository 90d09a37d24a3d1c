"""The YAML metadata of a card, which the Hub reads: license, base models, results; and the Hub's rules for it."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hfmm.assets import BUILTIN
from hfmm.card.hub_text import HubLocation
from hfmm.card.lineage import dataset_name
from hfmm.card.widget import widget_example
from hfmm.errors import UserError
from hfmm.evaluation.predict import SavedModel
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path


def metadata(
    recipe: dict[str, Any],
    results: dict[str, Any],
    saved: SavedModel,
    headline: dict[str, Any],
    example: str,
    printed: str,
    publication: HubLocation | None,
) -> ModelCardData:
    """Return the metadata of a card.

    Args:
        recipe: The resolved recipe.
        results: The content of results.json.
        saved: The model with its task and predictions.
        headline: The record of the primary metric.
        example: The name of the example file.
        printed: What the snippet of the card prints for the example.
        publication: Where the model is published. Without it the metadata has no widget and no base models of the user.
    """
    task = saved.task
    bases = _bases(recipe, publication)
    return ModelCardData(
        language=recipe["publish"]["language"],
        **({"license": recipe["publish"]["license"]} | (publication.license if publication else {})),
        library_name="transformers",
        pipeline_tag=task.pipeline_tag,
        tags=["hfmm", results["task"].replace("_", "-"), *(["lora"] if _has_lora(recipe) else [])],
        base_model=bases[0] if len(bases) == 1 else bases or None,
        base_model_relation="finetune" if bases else None,
        datasets=_datasets(recipe),
        metrics=recipe["metrics"][:1],
        widget=_widget(saved, example, printed, publication),
        model_name=recipe["name"],
        eval_results=[
            EvalResult(
                task_type=task.pipeline_tag,
                dataset_type=dataset_name(recipe["data"]),
                dataset_name=f"{dataset_name(recipe['data'])} ({results['data']['fingerprint'][:12]})",
                dataset_split=record["split"],
                metric_type=record["metric"],
                metric_name=f"{record['metric']} {record['slice']}".strip(),
                metric_value=round(record["value"], 4),
                metric_args={"ci95": [round(bound, 4) for bound in record["ci95"]], "n": record["n"]},
            )
            for record in results["records"]
            if record["metric"] == headline["metric"] and record["split"] == "test" and not record["baseline"]
        ],
    )


def derived_metadata(card: ModelCardData, library: str, base: str, relation: str, **fields: Any) -> ModelCardData:
    """Return the metadata of a repository that was derived from a published model. Language, license and tags are kept.

    Args:
        card: The metadata of the published model.
        library: The library that loads the new repository.
        base: The Hub id of its base model.
        relation: The `base_model_relation`, such as ``adapter`` or ``quantized``.
        fields: Further fields of the metadata.
    """
    values = card.to_dict()
    inherited_keys = ("language", "license", "license_name", "license_link", "tags")
    inherited = {key: values[key] for key in inherited_keys if key in values}
    return ModelCardData(**inherited, **fields, library_name=library, base_model=base, base_model_relation=relation)


def validate_metadata(text: str) -> None:
    """Raise UserError if a card breaks a rule of the Hub. Only rules that need no network are checked."""
    card = ModelCard(text)
    data = card.data
    for key in ("license", "library_name", "pipeline_tag", "language"):
        if not getattr(data, key):
            raise UserError(f"The metadata of the card has no {key}. Set it under `publish` in the recipe.")
    if data.license == "other" and not getattr(data, "license_name", None):
        raise UserError("The card has `license: other`. The Hub then requires license_name and license_link.")
    if not re.fullmatch(r"[a-z0-9.\-]+", data.license):
        raise UserError(f"publish.license: {data.license!r} is not a license identifier such as apache-2.0 or mit.")
    if not data.eval_results:
        raise UserError("The card has no evaluation results.")
    if BUILTIN in str(data.base_model or ""):
        raise UserError("A built-in checkpoint has no repository on the Hub, so it cannot be the base_model of a card.")


def _bases(recipe: dict[str, Any], publication: HubLocation | None) -> list[str]:
    """Return the Hub ids of the base models; empty if training began from random weights."""
    if recipe["model"]["init"] == "random":
        return []
    checkpoints = [recipe["model"][key] for key in CHECKPOINT_KEYS if recipe["model"].get(key)]
    if publication:
        return [publication.bases[checkpoint].id for checkpoint in checkpoints if checkpoint in publication.bases]
    return [
        checkpoint for checkpoint in checkpoints if not checkpoint.startswith(BUILTIN) and not is_local_path(checkpoint)
    ]


def _has_lora(recipe: dict[str, Any]) -> bool:
    return any(stage["trainable"] == "lora" for stage in recipe["stages"])


def _datasets(recipe: dict[str, Any]) -> list[str] | None:
    """Return the Hub id of the training data; None if it is not from the Hub."""
    path = recipe["data"].get("path")
    return [path] if path and not is_local_path(path) else None


def _widget(
    saved: SavedModel, example: str, printed: str, publication: HubLocation | None
) -> list[dict[str, Any]] | None:
    """Return the examples of the widget; None before the model has a repository, which serves the example file."""
    if publication is None:
        return None
    files_url = f"https://huggingface.co/{publication.repo}/resolve/{publication.branch}"
    entry = widget_example(saved.task, saved.predictions, example, printed, files_url)
    return [entry] if entry else None
