"""The cards in model_cards/ and those of the built-in checkpoints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from hfmm import registry
from hfmm.assets import CHECKPOINTS, MODEL_CARDS
from hfmm.card.code_blocks import code_block
from hfmm.card.model_card import HAND_WRITTEN_SECTIONS, MEDIA, validate_metadata
from hfmm.card.scores import format_score
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import FORMAT

CARDS = sorted([*MODEL_CARDS.glob("[!R]*.md"), *CHECKPOINTS.glob("*/README.md")])
BUILTIN_CARDS = sorted(CHECKPOINTS.glob("*/README.md"))
SECTIONS = ["How to use", "Uses", "Limitations", "Training", "Evaluation", "Citation"]


def card_id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {title: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("path", CARDS, ids=card_id)
def test_recipe_of_a_committed_card_loads(path: Path, tmp_path: Path) -> None:
    recipe_text = code_block(path.read_text(encoding="utf-8"), "yaml")
    assert recipe_text is not None and recipe_text.startswith(f"format: {FORMAT}\n")
    (tmp_path / "recipe.yaml").write_text(recipe_text, encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "recipe.yaml"))
    assert recipe.name in (path.stem, path.parent.name)
    registry.get("tasks", recipe.task.name)
    for kind, names in (("metrics", recipe.metrics), ("baselines", recipe.baselines)):
        for name in names:
            registry.get(kind, name)  # type: ignore[arg-type]
    for data in (recipe.data, *recipe.forgetting):
        registry.get("data", data.builder).OPTIONS.model_validate(data.options)


@pytest.mark.parametrize("path", CARDS, ids=card_id)
def test_committed_card_has_the_sections_of_the_hub(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    validate_metadata(text)
    assert [title for title in SECTIONS if title in sections(text)] == list(sections(text))
    assert {*SECTIONS} - {*sections(text)} <= {"Citation"}


@pytest.mark.parametrize("path", CARDS, ids=card_id)
def test_scores_of_the_metadata_are_in_the_tables(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for result in ModelCard(text).data.eval_results:
        metric, slice_name = result.metric_type, result.metric_name.removeprefix(result.metric_type).strip()
        table = text.partition(f"\n### {metric.replace('_', ' ')}\n")[2].partition("\n### ")[0]
        (cell,) = re.findall(rf"^\| {re.escape(slice_name or '**overall**')} \| (.*?) \|", table, re.MULTILINE)
        record = {"metric": metric, "slice": slice_name, "value": result.metric_value, **result.metric_args}
        numbers, expected = (_numbers(score) for score in (cell, format_score(record)))
        # The metadata is rounded to four digits, and the table once more.
        is_percent = "%" in format_score(record)
        assert numbers == pytest.approx(expected, abs=0.101 if is_percent else 0.0011, rel=0.001), (metric, slice_name)
        assert ("%" in cell) == is_percent


def _numbers(score: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", score)]


@pytest.mark.parametrize("path", BUILTIN_CARDS, ids=card_id)
def test_card_of_a_builtin_checkpoint_is_copied_to_model_cards(path: Path) -> None:
    name = path.parent.name
    text = path.read_text(encoding="utf-8")
    copy = (MODEL_CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert copy == re.sub(MEDIA, rf"\1{name}/\2", text)
    for title in HAND_WRITTEN_SECTIONS:
        assert len(sections(text)[title]) > 100
