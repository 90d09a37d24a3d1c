from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from hfmm import registry
from hfmm.card import model_card
from hfmm.card.code_blocks import code_block
from hfmm.card.hub_text import HubLocation, HubRevision
from hfmm.errors import UserError
from hfmm.recipe.load import load_recipe
from hfmm.run_directory import RunDirectory
from tests.conftest import Call
from tests.loading import open_evaluated_run

USER_METRIC = """
import numpy as np

GREATER_IS_BETTER = True


def row_statistics(predictions, references):
    return {"": (np.array([len(" ".join(labels)) for labels in predictions]), np.ones(len(predictions)))}
"""
USER_BASELINE = """
NAME = "predicted twice"


def predict(plan, task, tuned, data):
    return list(task.predict(tuned, data["test"], 8))
"""


@pytest.fixture
def text(finished_run: Path) -> str:
    return (finished_run / "model/README.md").read_text()


@pytest.fixture
def render_with_results(finished_run: Path, tmp_path: Path) -> Callable[..., str]:
    """Render the card of the finished run with other values in its results."""

    def render(**blocks: dict[str, Any]) -> str:
        run = RunDirectory(tmp_path / "run")
        shutil.copytree(finished_run, run.root, ignore=shutil.ignore_patterns("checkpoints"))
        results = run.read_results()
        run.update_results(**{name: results[name] | values for name, values in blocks.items()})
        return model_card.render(*open_evaluated_run(run.root))

    return render


def test_metadata_has_the_fields_of_the_hub(text: str) -> None:
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "transformers",
        "image-classification",
    )
    (overall, *slices) = data.eval_results
    assert overall.metric_type == "accuracy"
    assert {result.metric_name for result in slices} == {"accuracy lemma", "accuracy tense", "accuracy person"}


def test_every_recorded_score_is_in_the_card(text: str, finished_run: Path) -> None:
    for record in json.loads((finished_run / "results.json").read_text())["records"]:
        if record["metric"] == "accuracy":
            low, high = record["ci95"]
            assert f" {100 * record['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) |" in text


def test_card_lists_frozen_modules_and_the_recipe(text: str, finished_run: Path) -> None:
    assert "| `vit.embeddings` | 12,400 | frozen | frozen |" in text
    assert "| `classifier` | 476 | trained | trained |" in text
    assert (finished_run / "model/recipe.yaml").read_text().strip() in text
    assert json.loads((finished_run / "results.json").read_text())["data"]["fingerprint"] in text


def test_local_path_is_cut_to_its_last_part(text: str, finished_run: Path, tiny_vit: Path) -> None:
    assert f"checkpoint: {tiny_vit}\n" in (finished_run / "recipe.yaml").read_text()
    assert f"  checkpoint: {tiny_vit.name}  # a local folder\n" in text
    assert f"the folder `{tiny_vit.name}`" in text
    assert str(tiny_vit.parent) not in text


def test_copied_card_includes_its_images(finished_run: Path, tmp_path: Path) -> None:
    path = model_card.copy_card(RunDirectory(finished_run), "tiny", tmp_path)
    image_paths = re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text())
    assert "tiny/confusion.png" in image_paths
    assert all((tmp_path / name).is_file() for name in image_paths)


def test_copied_card_includes_audio_and_keeps_urls(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.model.mkdir(parents=True)
    (run.model / "example.wav").write_bytes(b"audio")
    badge = "![badge](https://example.org/badge.png)"
    (run.model / "README.md").write_text(f'<audio controls src="example.wav"></audio>\n{badge}\n')
    text = model_card.copy_card(run, "speech", tmp_path).read_text()
    assert '<audio controls src="speech/example.wav"></audio>' in text and badge in text
    assert (tmp_path / "speech/example.wav").read_bytes() == b"audio"


@pytest.mark.parametrize("change", ["data.train=500", "model.checkpoint=my/vit", "stages.full.trainable=lora"])
def test_prose_is_kept_for_the_same_task_and_builder(change: str) -> None:
    sections = model_card.hand_written_sections(load_recipe("vit_icons", [change]))
    assert "icon" in sections["Uses"] and "photographs" in sections["Limitations"]


@pytest.mark.parametrize(
    "change", [["data.builder=folder", "data.path=photos"], ["data.builder=shapes"], ["task=mine"]]
)
def test_prose_is_dropped_for_another_task_or_builder(change: list[str]) -> None:
    assert model_card.hand_written_sections(load_recipe("vit_icons", change)) == {}


def test_every_image_in_the_card_exists(text: str, finished_run: Path) -> None:
    names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert {"example.png", "loss.png", "confusion.png", "mistakes.png"} <= set(names)
    for name in names:
        with Image.open(finished_run / "model" / name) as image:
            assert image.width >= 32


def test_no_placeholder_is_left(text: str) -> None:
    assert "More information needed" not in text
    assert "{{" not in text
    assert "None" not in text


GOOD = "---\nlicense: mit\nlanguage: en\nlibrary_name: transformers\npipeline_tag: image-classification\n---\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("license: mit\n", ""), "no license"),
        (GOOD.replace("mit", "other"), "license_name"),
        (GOOD.replace("mit", "My License"), "not a license identifier"),
        (GOOD, "no evaluation results"),
    ],
)
def test_metadata_that_the_hub_rejects_raises(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        model_card.validate_metadata(text)


def test_edited_card_raises_with_the_differing_lines(finished_run: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run, run.root, ignore=shutil.ignore_patterns("checkpoints"))
    model_card.copy_card(run, "tiny", tmp_path)
    copy = tmp_path / "tiny.md"
    evaluated = open_evaluated_run(run.root)
    assert model_card.check_card_is_current(*evaluated, tmp_path) == [run.model / "README.md", copy]
    copy.write_text(copy.read_text().replace("# tiny\n", "# much better\n"))
    with pytest.raises(UserError, match=r"tiny\.md does not match the run.*\n- ?# much better\n\+ ?# tiny"):
        model_card.check_card_is_current(*evaluated, tmp_path)


def test_card_shows_training_data_and_cites_papers(text: str) -> None:
    assert "](samples.png)" in text
    assert "@article{vit," in text and "@article{lora," in text


def test_card_reports_a_failed_verification(finished_run: Path) -> None:
    location = HubLocation("me/tiny", unverified="The snippet prints\n\n0.5 a\nbut the card says\n0.9 a")
    text = model_card.render(*open_evaluated_run(finished_run), location)
    quote = text[text.index("> **Not verified.**") :].split("\n\n")[0]
    assert quote.endswith("published anyway:\n> The snippet prints\n> \n> 0.5 a\n> but the card says\n> 0.9 a")


def test_snippet_and_widget_use_the_published_branch(finished_run: Path) -> None:
    text = model_card.render(*open_evaluated_run(finished_run), HubLocation("me/tiny", "next"))
    assert 'model = snapshot_download("me/tiny", revision="next")' in text
    (example,) = ModelCard(text).data.to_dict()["widget"]
    assert example["src"] == "https://huggingface.co/me/tiny/resolve/next/example.png"
    printed = [f"{guess['score']:.2f} {guess['label']}" for guess in example["output"]]
    assert "\n".join(printed) == str(code_block(text, "text")).strip()


def test_card_explains_each_metric_and_its_direction(text: str) -> None:
    summary = registry.get("metrics", "accuracy").SUMMARY
    description = f"{summary[0].upper()}{summary[1:]}. Higher is better."
    assert f"\n### accuracy\n\n{description}\n\n| accuracy | this model |" in text


def test_recipe_with_a_local_folder_is_not_called_reproducible(finished_run: Path) -> None:
    evaluated = open_evaluated_run(finished_run)
    published = model_card.render(*evaluated, HubLocation("me/tiny"))
    assert "hfmm reproduce" not in published
    assert "names a local folder of the training machine" in published
    recipe = load_recipe(str(finished_run / "recipe.yaml"))
    location = HubLocation("me/tiny", bases={recipe.model.checkpoint: HubRevision("me/base", "c0ffee")})
    with_bases = model_card.render(*evaluated, location)
    assert "hfmm reproduce me/tiny " in with_bases and "local folder" not in with_bases


def test_user_metric_and_baseline_need_no_description(
    hfmm: Call, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run, run.root)
    (tmp_path / "homemade").mkdir()
    (tmp_path / "homemade/letters.py").write_text(USER_METRIC)
    (tmp_path / "homemade/again.py").write_text(USER_BASELINE)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = load_recipe(str(run.recipe), ["metrics=[homemade.letters]", "baselines=[homemade.again]"])
    run.recipe.write_text(recipe.to_yaml())
    for command in ("evaluate", "card"):
        completed = hfmm(command, run.root)
        assert completed.returncode == 0, completed.stderr
    record = run.read_results()["records"][0]
    value, low, high = (f"{number:.3g}" for number in (record["value"], *record["ci95"]))
    text = (run.model / "README.md").read_text()
    headline = f"its homemade.letters is **{value}**\n(95 % confidence interval {low} to {high}, 40 rows)."
    assert f"On the test split {headline}" in text
    assert "\n### homemade.letters\n\n| homemade.letters | this model | predicted twice |\n|---|---|---|\n" in text
    assert f"| **overall** | {value} ({low} to {high}) | {value} ({low} to {high}) |" in text
    assert "\n- **predicted twice**\n" in text


def test_cpu_run_reports_memory(render_with_results: Callable[..., str]) -> None:
    cpu = {"hardware": "AMD EPYC, 2 cores"}
    text = render_with_results(train={"peak_rss_mb": 1024, "peak_gpu_mb": 0}, environment=cpu)
    assert " and at most 1.0 GiB of memory on AMD EPYC, 2 cores (" in text


def test_gpu_run_reports_main_and_gpu_memory(render_with_results: Callable[..., str]) -> None:
    gpu = {"hardware": "NVIDIA H100 80GB HBM3"}
    text = render_with_results(train={"peak_rss_mb": 1024, "peak_gpu_mb": 2048}, environment=gpu)
    assert " and at most 1.0 GiB of main memory and 2.0 GiB of GPU memory on NVIDIA H100 80GB HBM3 (" in text


def test_training_time_below_a_second_is_not_rounded_to_zero(render_with_results: Callable[..., str]) -> None:
    assert "\nTraining took 0.3 s (" in render_with_results(train={"seconds": 0.3})


def test_one_skipped_row_is_reported_in_the_singular(render_with_results: Callable[..., str]) -> None:
    reason = "cat3.png is not an image that Pillow knows."
    text = render_with_results(data={"skipped": [{"split": "train", "row": "7", "reason": reason}]})
    assert f"\n1 invalid row was skipped: train 7 ({reason.rstrip('.')}).\n" in text


def test_more_than_ten_skipped_rows_are_counted(render_with_results: Callable[..., str]) -> None:
    skipped = [{"split": "train", "row": str(index), "reason": "empty"} for index in range(12)]
    text = render_with_results(data={"skipped": skipped})
    assert "\n12 invalid rows were skipped: train 0 (empty); " in text and "train 9 (empty); and 2 more.\n" in text


def test_sections_follow_the_order_of_the_hub(text: str) -> None:
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["How to use", "Training", "Evaluation", "Citation"]
    assert "\n\n\n" not in text.partition("\n# tiny\n")[2]
