"""The model card: every number from the run directory, the prose about use and limits from model_cards/."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from hfmm import parts
from hfmm.errors import UserError
from hfmm.evaluation import headline, load_task, read_predictions
from hfmm.models.checkpoint import BUILTIN
from hfmm.publishing import transcripts
from hfmm.publishing.plots import draw_plots
from hfmm.publishing.wrong_answers import wrong_answers
from hfmm.recipe import load
from hfmm.resources import MODEL_CARDS
from hfmm.run_directory import RunDirectory, atomic_file
from hfmm.tasks import resolve

PROSE = ("Uses", "Limits")
CHECKPOINTS = ("checkpoint", "text", "language")  # where a recipe's model names what it starts from
MEDIA = r'(!\[[^]]*\]\(|<audio controls src=")([^)"/]+)(?=[)"])'  # only what lies beside the card


def write_card(run: RunDirectory) -> Path:
    """Draw the plots, render the card, put both and an example input into model/, and return the card's path.

    Raises UserError when the run has not been evaluated or its metadata breaks the Hub's rules.
    """
    resolved = load(str(run.recipe))
    recipe = resolved.model_dump(mode="json")
    results = run.read_results()
    best = headline(run)
    plots = draw_plots(run, recipe["metrics"][0])
    for name in plots:
        shutil.copyfile(run.plots / name, run.model / name)
    predictions = read_predictions(run)
    recipe_text = _without_folders(run.recipe.read_text(encoding="utf-8"), recipe)
    (run.model / "recipe.yaml").write_text(recipe_text, encoding="utf-8")
    model, task = load_task(run.model, *resolve(resolved))
    example_file = task.write_example(task.from_stored(predictions[0]["input"]), run.model)
    data = _metadata(recipe, results, task.pipeline_tag, best)
    environment = Environment(
        loader=PackageLoader("hfmm.publishing", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    text = environment.get_template("card.md.jinja").render(
        metadata=data.to_yaml(line_break="\n"),
        recipe=recipe,
        recipe_text=recipe_text.strip(),
        results=results,
        task=task,
        plots=plots,
        headline=best,
        meaning=parts.find("metrics", best["metric"], "statistics", "metrics").PLAIN,
        conditions=list(dict.fromkeys(one["condition"] for one in results["records"])),
        measures=_measures(results["records"]),
        probes=[_explained(name) for name in recipe["probes"]],
        classes=_class_rows(results["records"]),
        forgetting=_forgetting(results["records"]),
        mistakes=sum(row["wrong"] for row in predictions),
        clips=transcripts.worst_clips(predictions),
        confusions=transcripts.confusions(predictions),
        wrong_answers=wrong_answers(predictions),
        example=example_file,
        snippet=task.snippet(recipe["name"], example_file, predictions),
        snippet_output=task.snippet_output(model, predictions),
        base=" and ".join(_base(recipe["model"][key]) for key in CHECKPOINTS if recipe["model"].get(key)),
        prose=prose(recipe["name"]),
        title=recipe["publish"]["title"] or recipe["name"],
    )
    check(text)
    path = run.model / "README.md"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def copy_card(run: RunDirectory, name: str, folder: Path) -> Path:
    """Copy a run's card to ``name``.md in ``folder``, and what it shows and plays into a folder ``name`` beside it."""
    text = (run.model / "README.md").read_text(encoding="utf-8")
    (folder / name).mkdir(parents=True, exist_ok=True)
    for _, file in re.findall(MEDIA, text):
        shutil.copyfile(run.model / file, folder / name / file)
    path = folder / f"{name}.md"
    with atomic_file(path) as temporary:
        temporary.write_text(re.sub(MEDIA, rf"\1{name}/\2", text), encoding="utf-8")
    return path


def check(text: str) -> None:
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


def prose(name: str) -> dict[str, str]:
    """Return the sections about use and limits of the committed card of that name; empty where there is none."""
    path = MODEL_CARDS / f"{name}.md"
    if not path.is_file():
        return {}
    sections = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    return {title: found[title].strip() for title in PROSE if title in found}


def _base(checkpoint: str) -> str:
    """Return how the card names the checkpoint; a folder by its last part, because its path is nobody's business."""
    if checkpoint.startswith(BUILTIN):
        return f"`{checkpoint.removeprefix(BUILTIN)}`, the small checkpoint that comes with hfmm,"
    return f"the folder `{_last_part(checkpoint)}`" if _is_folder(checkpoint) else f"`{checkpoint}`"


def _is_folder(source: str) -> bool:
    return Path(source).expanduser().exists()


def _last_part(folder: str) -> str:
    path = Path(folder).expanduser().resolve()
    return path.parent.name if path.name == "model" else path.name  # a run's model/ is known by the run


def _without_folders(text: str, recipe: dict[str, Any]) -> str:
    """Return the recipe with each folder of this machine cut down to its last part, and marked as such."""
    named = [(recipe["model"], key) for key in (*CHECKPOINTS, "vision")]
    named += [(data, "path") for data in (recipe["data"], *recipe["elsewhere"])]
    for part, key in named:
        source = part.get(key)
        if source and _is_folder(source):
            line = yaml.safe_dump({key: source}, allow_unicode=True, width=10_000).strip()
            text = text.replace(f"  {line}\n", f"  {key}: {_last_part(source)}  # a local folder\n", 1)
    return text


def _metadata(recipe: dict[str, Any], results: dict[str, Any], tag: str, best: dict[str, Any]) -> ModelCardData:
    checkpoint = recipe["model"]["checkpoint"]
    on_the_hub = not checkpoint.startswith(BUILTIN) and not _is_folder(checkpoint)
    return ModelCardData(
        language=recipe["publish"]["language"],
        license=recipe["publish"]["license"],
        library_name="transformers",
        pipeline_tag=tag,
        tags=["hfmm", results["task"].replace("_", "-")],
        base_model=checkpoint if on_the_hub else None,
        base_model_relation="finetune" if on_the_hub else None,
        metrics=recipe["metrics"][:1],
        model_name=recipe["name"],
        eval_results=[
            EvalResult(
                task_type=tag,
                dataset_type=recipe["data"]["builder"],
                dataset_name=f"{recipe['data']['builder']} ({results['data']['fingerprint'][:12]})",
                dataset_split=record["split"],
                metric_type=record["metric"],
                metric_name=f"{record['metric']} {record['group']}".strip(),
                metric_value=round(record["value"], 4),
                metric_args={"ci95": [round(bound, 4) for bound in record["ci95"]], "n": record["n"]},
            )
            for record in results["records"]
            if record["metric"] == best["metric"] and record["split"] == "test" and not record["condition"]
        ],
    )


def _explained(probe: str) -> tuple[str, str]:
    """Return a probe's condition and its docstring, which says what it is, on one line."""
    module = parts.find("probes", probe, "CONDITION", "probes")
    text = " ".join((module.__doc__ or "").split())
    return module.CONDITION, text[:1].lower() + text[1:]


def _forgetting(records: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return, for each metric on data that was not trained on, its records before and after."""
    others = [one for one in records if one["split"] != "test"]
    before, after = ([one for one in others if one["weights"] == weights] for weights in ("base", "tuned"))
    return list(zip(before, after, strict=True))


def _measures(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for each measure that has no table of its own, its name and its record under each condition."""
    rows: dict[str, dict[str, Any]] = {}
    for one in records:
        if one["metric"] != "confusion" and one["split"] == "test":
            name = f"{one['metric'].replace('_', ' ')} {one['group']}".strip()
            rows.setdefault(name, {"name": name, "share": _is_share(one)})[one["condition"]] = one
    return list(rows.values())


def _is_share(record: dict[str, Any]) -> bool:
    metric = parts.find("metrics", record["metric"], "statistics", "metrics")
    return bool(metric.is_share(record["group"]))


def _class_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of each class, worst first."""
    rows = [one for one in records if one["metric"] == "confusion" and one["split"] == "test" and not one["condition"]]
    return sorted(rows, key=lambda one: one["value"])
