"""The card's YAML block, which the Hub reads: licence, bases, results with intervals; and the Hub's rules for it."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hfmm.assets import BUILTIN
from hfmm.card.hub_text import HubLocation
from hfmm.card.lineage import dataset_name
from hfmm.errors import UserError
from hfmm.recipe.pinning import CHECKPOINT_KEYS, is_local_path
from hfmm.tasks import BaseTask


def metadata(
    recipe: dict[str, Any],
    results: dict[str, Any],
    task: BaseTask,
    best: dict[str, Any],
    example: str,
    publication: HubLocation | None,
) -> ModelCardData:
    """Return the block; without a publication it holds what is known before there is a repository."""
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
        widget=_widget(task, example, publication),
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
            if record["metric"] == best["metric"] and record["split"] == "test" and not record["baseline"]
        ],
    )


def derived_metadata(card: ModelCardData, library: str, base: str, relation: str, **more: Any) -> ModelCardData:
    """Return the block of a repository that was made of a published model, whose block ``card`` is.

    ``base`` is what the new one needs or comes from, and ``relation`` how, in the Hub's words; it takes over language,
    licence and tags.
    """
    told = card.to_dict()
    kept = {key: told[key] for key in ("language", "license", "license_name", "license_link", "tags") if key in told}
    return ModelCardData(**kept, **more, library_name=library, base_model=base, base_model_relation=relation)


def validate_metadata(text: str) -> None:
    """Raise UserError where a card breaks those of the Hub's rules that need no network."""
    card = ModelCard(text)
    data = card.data
    for key in ("license", "library_name", "pipeline_tag", "language"):
        if not getattr(data, key):
            raise UserError(f"The card's metadata has no {key}. Set it under `publish` in the recipe.")
    if data.license == "other" and not getattr(data, "license_name", None):
        raise UserError("The card says `license: other`, for which the Hub wants a license_name and license_link.")
    if not re.fullmatch(r"[a-z0-9.\-]+", data.license):
        raise UserError(f"publish.license: {data.license!r} is not a licence identifier such as apache-2.0 or mit.")
    if not data.eval_results:
        raise UserError("The card has no evaluation results, so it promises nothing.")
    if BUILTIN in str(data.base_model or ""):
        raise UserError("An embedded checkpoint is no base_model: it has no repository of its own.")


def _bases(recipe: dict[str, Any], publication: HubLocation | None) -> list[str]:
    """Return the Hub ids that the weights come from; none where training began from random weights."""
    if recipe["model"]["init"] == "random":
        return []
    named = [recipe["model"][key] for key in CHECKPOINT_KEYS if recipe["model"].get(key)]
    if publication:
        return [publication.bases[one].id for one in named if one in publication.bases]
    return [one for one in named if not one.startswith(BUILTIN) and not is_local_path(one)]


def _has_lora(recipe: dict[str, Any]) -> bool:
    return any(stage["trainable"] == "lora" for stage in recipe["stages"])


def _datasets(recipe: dict[str, Any]) -> list[str] | None:
    """Return the Hub ids of the training data, where it came from there."""
    path = recipe["data"].get("path")
    return [path] if path and not is_local_path(path) else None


def _widget(task: BaseTask, example: str, publication: HubLocation | None) -> list[dict[str, Any]] | None:
    """Return what the repository's page offers to try; a chat needs messages, which the Hub's widget makes itself."""
    if publication is None or task.input.modality == "chat":
        return None
    url = f"https://huggingface.co/{publication.repo}/resolve/{publication.branch}/{example}"
    texts = {"candidate_labels": ", ".join(task.example_prompts)} if task.example_prompts else {}
    return [{"src": url, "example_title": "an example of the test split", **texts}]
