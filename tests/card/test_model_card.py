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

from hfmm.card import model_card
from hfmm.card.hub_text import HubLocation, HubRevision
from hfmm.errors import UserError
from hfmm.recipe.load import load_recipe
from hfmm.run_directory import RunDirectory
from tests.conftest import Call
from tests.loading import open_evaluated_run

LETTERS = """
import numpy as np

GREATER_IS_BETTER = True


def statistics(predictions, references):
    return {"": (np.array([len(" ".join(one)) for one in predictions]), np.ones(len(predictions)))}
"""
AGAIN = """
CONDITION = "asked again"


def predict(recipe, task, tuned, data):
    return list(task.predict(tuned, data["test"], 8))
"""


@pytest.fixture
def text(finished_run: Path) -> str:
    return (finished_run / "model/README.md").read_text()


@pytest.fixture
def recorded(finished_run: Path, tmp_path: Path) -> Callable[..., str]:
    """The card of the finished run, had it recorded these values."""

    def render(**blocks: dict[str, Any]) -> str:
        run = RunDirectory(tmp_path / "run")
        shutil.copytree(finished_run, run.root, ignore=shutil.ignore_patterns("checkpoints"))
        results = run.read_results()
        run.update_results(**{name: results[name] | block for name, block in blocks.items()})
        return model_card.render(*open_evaluated_run(run.root))

    return render


def test_the_metadata_is_what_the_hub_reads(text: str) -> None:
    data = ModelCard(text).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "transformers",
        "image-classification",
    )
    (plain, *slices) = data.eval_results
    assert plain.metric_type == "accuracy"
    assert {one.metric_name for one in slices} == {"accuracy lemma", "accuracy tense", "accuracy person"}


def test_every_score_is_that_of_the_record(text: str, finished_run: Path) -> None:
    for record in json.loads((finished_run / "results.json").read_text())["records"]:
        if record["metric"] == "accuracy":
            low, high = record["ci95"]
            assert f" {100 * record['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) |" in text


def test_it_says_what_was_frozen_and_how_to_repeat_it(text: str, finished_run: Path) -> None:
    assert "| `vit.embeddings` | 12,400 | frozen | frozen |" in text
    assert "| `classifier` | 476 | trained | trained |" in text
    assert (finished_run / "model/recipe.yaml").read_text().strip() in text
    assert json.loads((finished_run / "results.json").read_text())["data"]["fingerprint"] in text


def test_a_folder_of_this_machine_is_published_by_its_last_part(text: str, finished_run: Path, tiny_vit: Path) -> None:
    assert f"checkpoint: {tiny_vit}\n" in (finished_run / "recipe.yaml").read_text()
    assert f"  checkpoint: {tiny_vit.name}  # a local folder\n" in text
    assert f"the folder `{tiny_vit.name}`" in text
    assert str(tiny_vit.parent) not in text


def test_a_copy_takes_its_pictures_along(finished_run: Path, tmp_path: Path) -> None:
    path = model_card.copy_card(RunDirectory(finished_run), "tiny", tmp_path)
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", path.read_text())
    assert "tiny/confusion.png" in linked
    assert all((tmp_path / name).is_file() for name in linked)


def test_a_copy_takes_a_clip_along_and_leaves_links_alone(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.model.mkdir(parents=True)
    (run.model / "example.wav").write_bytes(b"sound")
    elsewhere = "![badge](https://example.org/badge.png)"
    (run.model / "README.md").write_text(f'<audio controls src="example.wav"></audio>\n{elsewhere}\n')
    text = model_card.copy_card(run, "heard", tmp_path).read_text()
    assert '<audio controls src="heard/example.wav"></audio>' in text and elsewhere in text
    assert (tmp_path / "heard/example.wav").read_bytes() == b"sound"


@pytest.mark.parametrize("change", ["data.train=500", "model.checkpoint=my/vit", "stages.full.trainable=lora"])
def test_the_prose_of_a_recipe_stays_where_the_data_are_of_its_kind(change: str) -> None:
    assert "icon" in model_card.hand_written_sections(load_recipe("vit_icons", [change]))["Uses"]


@pytest.mark.parametrize(
    "change", [["data.builder=folder", "data.path=photos"], ["data.builder=shapes"], ["task=mine"]]
)
def test_the_prose_of_a_recipe_goes_where_data_or_task_are_others(change: list[str]) -> None:
    assert model_card.hand_written_sections(load_recipe("vit_icons", change)) == {}


def test_every_picture_it_shows_is_there(text: str, finished_run: Path) -> None:
    names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert {"example.png", "loss.png", "confusion.png", "mistakes.png"} <= set(names)
    for name in names:
        with Image.open(finished_run / "model" / name) as picture:
            assert picture.width >= 32


def test_no_line_is_left_unfilled(text: str) -> None:
    assert "More information needed" not in text
    assert "{{" not in text
    assert "None" not in text.replace("None of the", "")


GOOD = "---\nlicense: mit\nlanguage: en\nlibrary_name: transformers\npipeline_tag: image-classification\n---\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("license: mit\n", ""), "no license"),
        (GOOD.replace("mit", "other"), "license_name"),
        (GOOD.replace("mit", "My Licence"), "not a licence identifier"),
        (GOOD, "no evaluation results"),
    ],
)
def test_a_card_that_the_hub_would_refuse_is_refused_here(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        model_card.validate_metadata(text)


def test_its_record_and_it_agree_or_it_is_named(finished_run: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run, run.root, ignore=shutil.ignore_patterns("checkpoints"))
    model_card.copy_card(run, "tiny", tmp_path)
    assert model_card.check_card_is_current(*open_evaluated_run(run.root), tmp_path) == [run.model / "README.md", tmp_path / "tiny.md"]
    copy = tmp_path / "tiny.md"
    copy.write_text(copy.read_text().replace("# tiny\n", "# much better\n"))
    with pytest.raises(UserError, match=r"tiny\.md disagrees.*\n- ?# much better\n\+ ?# tiny"):
        model_card.check_card_is_current(*open_evaluated_run(run.root), tmp_path)


def test_it_shows_the_data_and_names_the_papers(text: str) -> None:
    assert "](samples.png)" in text
    assert "@article{vit," in text and "@article{lora," in text


def test_one_that_failed_its_verification_says_so(finished_run: Path) -> None:
    place = HubLocation("me/tiny", unverified="The snippet prints\n\n0.5 a\nbut the card says\n0.9 a")
    said = model_card.render(*open_evaluated_run(finished_run), place)
    quoted = said[said.index("> **Not verified.**") :].split("\n\n")[0]
    assert quoted.endswith("same:\n> The snippet prints\n> \n> 0.5 a\n> but the card says\n> 0.9 a")


def test_on_a_branch_its_snippet_and_its_widget_name_the_branch(finished_run: Path) -> None:
    said = model_card.render(*open_evaluated_run(finished_run), HubLocation("me/tiny", "next"))
    assert 'model = snapshot_download("me/tiny", revision="next")' in said
    assert "https://huggingface.co/me/tiny/resolve/next/example.png" in said


def test_it_says_what_each_metric_measures_and_which_way_is_better(text: str) -> None:
    assert "\n- accuracy: rows whose label is right, as a whole; more is better\n" in text


def test_where_a_folder_is_missing_to_others_it_does_not_promise_that_they_can_repeat_it(finished_run: Path) -> None:
    run = RunDirectory(finished_run)
    published = model_card.render(*open_evaluated_run(finished_run), HubLocation("me/tiny"))
    assert "hfmm reproduce" not in published
    assert "names a folder that lay on the machine of the training" in published
    recipe = load_recipe(str(run.recipe))
    whole = model_card.render(*open_evaluated_run(finished_run), HubLocation("me/tiny", bases={recipe.model.checkpoint: HubRevision("me/base", "c0ffee")})
    )
    assert "hfmm reproduce me/tiny " in whole and "lay on the machine" not in whole


def test_a_metric_and_a_comparison_of_ones_own_need_no_words_for_the_card(
    hfmm: Call, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run, run.root)
    (tmp_path / "homemade").mkdir()
    (tmp_path / "homemade/letters.py").write_text(LETTERS)
    (tmp_path / "homemade/again.py").write_text(AGAIN)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = load_recipe(str(run.recipe), ["metrics=[homemade.letters]", "baselines=[homemade.again]"])
    run.recipe.write_text(recipe.to_yaml())
    for command in ("evaluate", "card"):
        done = hfmm(command, run.root)
        assert done.returncode == 0, done.stderr
    record = run.read_results()["records"][0]
    value, low, high = (f"{one:.3g}" for one in (record["value"], *record["ci95"]))
    said = (run.model / "README.md").read_text()
    assert f"On the test split its homemade.letters is **{value}**\n(95 % interval {low} to {high}, 40 rows)." in said
    assert f"| homemade.letters | {value} ({low} to {high}) | {value} ({low} to {high}) |" in said
    assert "\n- asked again\n" in said


def test_on_a_processor_memory_is_memory(recorded: Callable[..., str]) -> None:
    said = recorded(train={"peak_rss_mb": 1024, "peak_gpu_mb": 0}, environment={"hardware": "AMD EPYC, 2 cores"})
    assert ", 1.0 GiB of memory at most, on AMD EPYC, 2 cores (" in said


def test_beside_a_gpu_the_main_memory_is_told_from_the_gpus(recorded: Callable[..., str]) -> None:
    said = recorded(train={"peak_rss_mb": 1024, "peak_gpu_mb": 2048}, environment={"hardware": "NVIDIA H100 80GB HBM3"})
    assert ", 1.0 GiB of main memory and 2.0 GiB of the GPU's at most, on NVIDIA H100 80GB HBM3 (" in said


def test_a_training_of_less_than_a_second_took_some_time(recorded: Callable[..., str]) -> None:
    assert "\n0.3 s of training at " in recorded(train={"seconds": 0.3})


def test_one_row_that_was_skipped_is_one_row(recorded: Callable[..., str]) -> None:
    reason = "cat3.png is not an image that Pillow knows."
    said = recorded(data={"skipped": [{"split": "train", "row": "7", "reason": reason}]})
    assert f"\n1 row could not be used and was skipped: train 7 ({reason.rstrip('.')}).\n" in said
