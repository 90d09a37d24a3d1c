"""The model card: the numbers from the run directory, the sections Uses and Limitations from model_cards/."""

from __future__ import annotations

import re
import shutil
import tempfile
from difflib import unified_diff
from pathlib import Path
from types import ModuleType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hfmm.assets import MODEL_CARDS
from hfmm.card import citations, hub_text, transcripts
from hfmm.card.hub_text import LOCAL_PATH_MARK, HubLocation
from hfmm.card.lineage import ancestors, dataset_name
from hfmm.card.metadata import metadata, validate_metadata
from hfmm.card.plots import draw_plots
from hfmm.card.scores import OWN_SECTION, format_score, format_score_parts, score_tables
from hfmm.card.wrong_answers import wrong_answers
from hfmm.errors import UserError
from hfmm.evaluation.predict import SavedModel
from hfmm.plan import Plan
from hfmm.recipe.load import list_recipes, load_recipe
from hfmm.recipe.pinning import CHECKPOINT_KEYS
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory, primary_record
from hfmm.utils.files import atomic_file

HAND_WRITTEN_SECTIONS = ("Uses", "Limitations")
MEDIA = r'(!\[[^]]*\]\(|<audio controls src=")([^)"/]+)(?=[)"])'  # files next to the card, not URLs
MAX_DIFF_LINES = 6


def write_card(plan: Plan, run: RunDirectory, saved: SavedModel) -> Path:
    """Write the plots, the card and an example input into model/, and return the path of the card.

    Raises UserError if the run was not evaluated, or if the metadata breaks a rule of the Hub.
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
    """Return the recipe of the run as it is published, without local paths."""
    recipe = plan.recipe.model_dump(mode="json")
    return hub_text.recipe_text(run.recipe.read_text(encoding="utf-8"), recipe, published)


def render(
    plan: Plan,
    run: RunDirectory,
    saved: SavedModel,
    published: HubLocation | None = None,
    examples: Path | None = None,
) -> str:
    """Return the text of the card.

    Args:
        plan: The plan of the run.
        run: The run directory.
        saved: The model with its task and predictions.
        published: Where the model is published. By default the text is that of the card in the run directory.
        examples: A folder for the files of the example input. By default they are not kept.

    Raises:
        UserError: See `write_card`.
    """
    recipe, results, headline = plan.recipe.model_dump(mode="json"), run.read_results(), primary_record(run)
    model, task, predictions = saved
    plots = sorted(path.name for path in run.plots.glob("*.png"))
    with tempfile.TemporaryDirectory() as folder:
        row = task.input.from_bytes(predictions[0]["input"])
        example_file = task.input.write_example(row, examples or Path(folder))
    snippet = task.usage_snippet(recipe["name"], example_file, predictions)
    if published:
        snippet = hub_text.snippet_from_hub(snippet, published.repo, published.branch)
    printed = task.expected_snippet_output(model, predictions)
    environment = Environment(
        loader=PackageLoader("hfmm.card", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.1f}"
    environment.filters["score"] = format_score
    environment.filters["score_parts"] = format_score_parts
    recipe_text = public_recipe_yaml(plan, run, published).strip()
    text = environment.get_template("card.md.jinja").render(
        metadata=metadata(recipe, results, saved, headline, example_file, printed, published).to_yaml(line_break="\n"),
        recipe=recipe,
        recipe_text=recipe_text,
        local=LOCAL_PATH_MARK if LOCAL_PATH_MARK in recipe_text else "",
        results=results,
        task=task,
        plots=plots,
        samples=run.samples.name if run.samples.is_file() else "",
        headline=headline,
        headline_summary=getattr(plan.metrics[headline["metric"]], "SUMMARY", "").rstrip("."),
        score_tables=score_tables(results["records"]),
        baselines=[_baseline_summary(module) for module in plan.baselines.values()],
        classes=_class_rows(results["records"]),
        forgetting=_forgetting(results["records"]),
        num_wrong=sum(row["wrong"] for row in predictions),
        clips=transcripts.worst_clips(predictions),
        confusions=transcripts.confusions(predictions),
        wrong_answers=wrong_answers(predictions),
        example=example_file,
        snippet=snippet,
        snippet_output=printed,
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
    """Return the paths of the cards that were compared with the run: its own, and its copy in ``folder``.

    Raises UserError with the first differing lines if a card is out of date.
    """
    text = render(plan, run, saved)
    expected = {run.model / "README.md": text}
    if folder is not None:
        expected[folder / f"{plan.recipe.name}.md"] = _with_media_in(plan.recipe.name, text)
    for path, current in expected.items():
        committed = path.read_text(encoding="utf-8") if path.is_file() else ""
        if committed != current:
            lines = unified_diff(committed.splitlines(), current.splitlines(), "card", "run", n=0, lineterm="")
            changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")][:MAX_DIFF_LINES]
            raise UserError(
                f"{path} does not match the run {run.root} (-: the card, +: the run):\n"
                + "\n".join(changed)
                + f"\nUpdate it with `hfmm card {run.root}{f' --to {folder}' if folder else ''}`."
            )
    return list(expected)


def copy_card(run: RunDirectory, name: str, folder: Path) -> Path:
    """Copy the card of a run to ``folder``/``name``.md, and its images and audio to ``folder``/``name``/."""
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
    """Return the hand-written sections of the committed card with the name of the recipe.

    The result is empty if there is no such card, or if that card is about another task or other data.
    """
    path = MODEL_CARDS / f"{recipe.name}.md"
    if not path.is_file() or _subject(recipe) not in map(_subject, map(load_recipe, list_recipes())):
        return {}
    sections = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    by_title = dict(zip(sections[1::2], sections[2::2], strict=True))
    return {title: by_title[title].strip() for title in HAND_WRITTEN_SECTIONS if title in by_title}


def _subject(recipe: Recipe) -> tuple[str, str, str]:
    return recipe.name, recipe.task.name, recipe.data.builder


def _baseline_summary(module: ModuleType) -> tuple[str, str]:
    """Return the name of a baseline and its docstring as one line."""
    return module.NAME, " ".join((module.__doc__ or "").split())


def _forgetting(records: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return, for each metric on data that was not trained on, its records before and after training."""
    others = [record for record in records if record["split"] != "test"]
    before, after = ([record for record in others if record["weights"] == weights] for weights in ("base", "tuned"))
    return list(zip(before, after, strict=True))


def _class_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of each class, the lowest recall first."""
    rows = [
        record
        for record in records
        if record["metric"] == OWN_SECTION and record["split"] == "test" and not record["baseline"]
    ]
    return sorted(rows, key=lambda record: record["value"])
