"""The model card: every number from the run directory, the prose about use and limits from model_cards/."""

from __future__ import annotations

import re
import shutil
import tempfile
from difflib import unified_diff
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hfmm import registry
from hfmm.assets import MODEL_CARDS
from hfmm.card import citations, hub_text, transcripts
from hfmm.card.hub_text import LOCAL_PATH_MARK, HubLocation
from hfmm.card.lineage import ancestors, dataset_name
from hfmm.card.metadata import metadata, validate_metadata
from hfmm.card.plots import draw_plots
from hfmm.card.scores import format_score, format_score_parts, score_rows
from hfmm.card.wrong_answers import wrong_answers
from hfmm.errors import UserError
from hfmm.evaluation.predict import SavedModel
from hfmm.plan import Plan
from hfmm.recipe.load import list_recipes, load_recipe
from hfmm.recipe.pinning import CHECKPOINT_KEYS
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory, primary_record
from hfmm.utils.files import atomic_file

HAND_WRITTEN_SECTIONS = ("Uses", "Limits")
MEDIA = r'(!\[[^]]*\]\(|<audio controls src=")([^)"/]+)(?=[)"])'  # only what lies beside the card
SHOWN_LINES = 6  # of what differs between a card and its run


def write_card(plan: Plan, run: RunDirectory, saved: SavedModel) -> Path:
    """Draw the plots, render the card, put both and an example input into model/, and return the card's path.

    Raises UserError when the run has not been evaluated or its metadata breaks the Hub's rules.
    """
    for name in draw_plots(run, plan.primary_metric, saved):
        shutil.copyfile(run.plots / name, run.model / name)
    if run.samples.is_file():
        shutil.copyfile(run.samples, run.model / run.samples.name)
    (run.model / "recipe.yaml").write_text(public_recipe_yaml(plan, run), encoding="utf-8")
    text = render(plan, run, saved, examples=run.model)
    path = run.model / "README.md"
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def public_recipe_yaml(plan: Plan, run: RunDirectory, published: HubLocation | None = None) -> str:
    """Return the run's recipe as it lies beside the card."""
    recipe = plan.recipe.model_dump(mode="json")
    return hub_text.recipe_text(run.recipe.read_text(encoding="utf-8"), recipe, published)


def render(
    plan: Plan,
    run: RunDirectory,
    saved: SavedModel,
    published: HubLocation | None = None,
    examples: Path | None = None,
) -> str:
    """Return the card's text, as it is on the Hub or without a publication as it lies in the run.

    The example input is written to ``examples``, where that is given. Raises UserError like `write_card`.
    """
    recipe, results, best = plan.recipe.model_dump(mode="json"), run.read_results(), primary_record(run)
    model, task, predictions = saved
    plots = sorted(path.name for path in run.plots.glob("*.png"))
    with tempfile.TemporaryDirectory() as folder:
        row = task.input.from_bytes(predictions[0]["input"])
        example_file = task.input.write_example(row, examples or Path(folder))
    snippet = task.usage_snippet(recipe["name"], example_file, predictions)
    if published:
        snippet = hub_text.snippet_from_hub(snippet, published.repo, published.branch)
    environment = Environment(
        loader=PackageLoader("hfmm.card", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["score"] = format_score
    environment.filters["written"] = format_score_parts
    told = public_recipe_yaml(plan, run, published).strip()
    text = environment.get_template("card.md.jinja").render(
        metadata=metadata(recipe, results, task, best, example_file, published).to_yaml(line_break="\n"),
        recipe=recipe,
        recipe_text=told,
        local=LOCAL_PATH_MARK if LOCAL_PATH_MARK in told else "",
        results=results,
        task=task,
        plots=plots,
        samples=run.samples.name if run.samples.is_file() else "",
        headline=best,
        meaning=getattr(registry.get("metrics", best["metric"]), "SUMMARY", ""),
        conditions=list(dict.fromkeys(one["baseline"] for one in results["records"])),
        measures=score_rows(results["records"]),
        explained=_metric_summaries(recipe["metrics"], results["records"]),
        baselines=[_baseline_summary(name) for name in recipe["baselines"]],
        classes=_class_rows(results["records"]),
        forgetting=_forgetting(results["records"]),
        mistakes=sum(row["wrong"] for row in predictions),
        clips=transcripts.worst_clips(predictions),
        confusions=transcripts.confusions(predictions),
        wrong_answers=wrong_answers(predictions),
        example=example_file,
        snippet=snippet,
        snippet_output=task.expected_snippet_output(model, predictions),
        base=" and ".join(
            hub_text.base_model_markdown(recipe["model"][key], published)
            for key in CHECKPOINT_KEYS
            if recipe["model"].get(key)
        ),
        lineage=ancestors(plan.recipe),
        papers=citations.citations_for(model.config, plan.recipe),
        published=published,
        prose=hand_written_sections(plan.recipe),
        title=recipe["publish"]["title"] or recipe["name"],
        dataset=dataset_name(recipe["data"]),
    )
    validate_metadata(text)
    return text


def check_card_is_current(plan: Plan, run: RunDirectory, saved: SavedModel, folder: Path | None = None) -> list[Path]:
    """Return the cards that are compared with the run's record: its own, and its copy in ``folder``.

    Raises UserError with the first lines that differ.
    """
    text = render(plan, run, saved)
    expected = {run.model / "README.md": text}
    if folder is not None:
        expected[folder / f"{plan.recipe.name}.md"] = _with_media_in(plan.recipe.name, text)
    for path, wanted in expected.items():
        committed = path.read_text(encoding="utf-8") if path.is_file() else ""
        if committed != wanted:
            lines = unified_diff(committed.splitlines(), wanted.splitlines(), "card", "run record", n=0, lineterm="")
            changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")][:SHOWN_LINES]
            raise UserError(
                f"{path} disagrees with the record of {run.root} (- the card, + the record):\n"
                + "\n".join(changed)
                + f"\nWrite it again with `hfmm card {run.root}{f' --to {folder}' if folder else ''}`."
            )
    return list(expected)


def copy_card(run: RunDirectory, name: str, folder: Path) -> Path:
    """Copy a run's card to ``name``.md in ``folder``, and what it shows and plays into a folder ``name`` beside it."""
    text = (run.model / "README.md").read_text(encoding="utf-8")
    (folder / name).mkdir(parents=True, exist_ok=True)
    for _, file in re.findall(MEDIA, text):
        shutil.copyfile(run.model / file, folder / name / file)
    path = folder / f"{name}.md"
    with atomic_file(path) as temporary:
        temporary.write_text(_with_media_in(name, text), encoding="utf-8")
    return path


def _with_media_in(folder: str, text: str) -> str:
    return re.sub(MEDIA, rf"\1{folder}/\2", text)


def hand_written_sections(recipe: Recipe) -> dict[str, str]:
    """Return the sections about use and limits of the committed card of the recipe's name.

    Empty where there is none, and where that card is about another task or other data.
    """
    path = MODEL_CARDS / f"{recipe.name}.md"
    if not path.is_file() or _subject(recipe) not in map(_subject, map(load_recipe, list_recipes())):
        return {}
    sections = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = dict(zip(sections[1::2], sections[2::2], strict=True))
    return {title: found[title].strip() for title in HAND_WRITTEN_SECTIONS if title in found}


def _subject(recipe: Recipe) -> tuple[str, str, str]:
    return recipe.name, recipe.task.name, recipe.data.builder


def _metric_summaries(metrics: list[str], records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what each metric of the table measures, and which way is better where it has one score for all rows."""
    whole, told = {one["metric"] for one in records if not one["slice"]}, []
    for name in metrics:
        module = registry.get("metrics", name)
        if plain := getattr(module, "SUMMARY", ""):
            better = f"; {'more' if module.GREATER_IS_BETTER else 'less'} is better" if name in whole else ""
            told.append((name.replace("_", " "), plain + better))
    return told


def _baseline_summary(probe: str) -> tuple[str, str]:
    """Return a probe's condition and its docstring, which says what it is, on one line."""
    module = registry.get("baselines", probe)
    text = " ".join((module.__doc__ or "").split())
    return module.NAME, text[:1].lower() + text[1:]


def _forgetting(records: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return, for each metric on data that was not trained on, its records before and after."""
    others = [one for one in records if one["split"] != "test"]
    before, after = ([one for one in others if one["weights"] == weights] for weights in ("base", "tuned"))
    return list(zip(before, after, strict=True))


def _class_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of each class, worst first."""
    rows = [one for one in records if one["metric"] == "confusion" and one["split"] == "test" and not one["baseline"]]
    return sorted(rows, key=lambda one: one["value"])
