import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hfmm.recipe.load import load_recipe
from tests.conftest import Call, paragraph


def test_help_is_fast(process: Call) -> None:
    process("--help")
    times = []
    for _ in range(3):
        start = sum(os.times()[2:4])  # CPU time, because other test workers use the CPU too
        assert process("--help").returncode == 0
        times.append(sum(os.times()[2:4]) - start)
    assert min(times) < 0.4


def test_list_shows_recipes_and_components(hfmm: Call) -> None:
    output = hfmm("list").stdout
    for name in ("vit_icons", "builtin:tiny-vit", "icons", "image_classification", "accuracy", "colour_histogram"):
        assert name in output


def test_list_shows_the_task_without_its_options(hfmm: Call) -> None:
    assert re.search(r"\n  clip_grammar +contrastive on icons, starts from builtin:tiny-clip\n", hfmm("list").stdout)


def test_show_writes_a_recipe_for_user_data(hfmm: Call, tmp_path: Path) -> None:
    output = hfmm("show", "vit_icons", "--data", "./photos", "--column", "label=species").stdout
    assert "path: ./photos" in output
    assert "label: species" in output
    assert "# a Hub id, a folder, or builtin:" in output
    (tmp_path / "mine.yaml").write_text(output)
    assert hfmm("show", "mine.yaml").stdout == output


@pytest.mark.parametrize("data", ["./my #photos", "2024", "a: b", "Vögel 🐦"])
def test_show_keeps_special_characters_of_path_and_column(hfmm: Call, tmp_path: Path, data: str) -> None:
    (tmp_path / "mine.yaml").write_text(hfmm("show", "vit_icons", "--data", data, "--column", f"label={data}").stdout)
    options = load_recipe(str(tmp_path / "mine.yaml")).data.options
    assert (options["path"], options["columns"]) == (data, {"label": data})


def test_show_applies_set_after_data(hfmm: Call, fails: Callable[..., str], tmp_path: Path) -> None:
    command = ["show", "vit_icons", "--data", "./photos"]
    output = hfmm(*command, "--set", "data.validation=0.3", "--set", "name=birds").stdout
    assert "name: birds\n" in output and "validation: 0.3 " in output
    assert "Did you mean 'validation'?" in fails(*command, "--set", "data.validaton=0.3")


@pytest.mark.parametrize("name", ["vit_icons", "clip_grammar", "whisper_verbs", "llava_tutor"])
def test_recipe_for_user_data_has_no_verb_metrics(hfmm: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.yaml").write_text(hfmm("show", name, "--data", "./mine").stdout)
    recipe, shipped = load_recipe(str(tmp_path / "mine.yaml")), load_recipe(name)
    verb_metrics = {"verb_form", "correction_accuracy", "page_cer"}
    assert recipe.metrics == [metric for metric in shipped.metrics if metric not in verb_metrics]
    assert (recipe.forgetting, recipe.baselines, recipe.publish.title) == ([], [], None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--column", "label=species"], "--column needs --data"),
        (["--data", "./photos", "--column", "species"], "--column species: write it as hfmm_column=your_column"),
    ],
)
def test_invalid_column_option_is_rejected(fails: Callable[..., str], arguments: list[str], message: str) -> None:
    assert message in fails("show", "vit_icons", *arguments)


def test_run_ends_with_the_next_commands(
    process: Call, hfmm: Call, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    completed = process("run", write_recipe(), "--out", "out")
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    card, predict, load = completed.stdout.strip().splitlines()[-3:]
    assert (tmp_path / card.split()[1]).is_file()
    predicted = hfmm(*predict.split()[2:])
    assert len(json.loads(predicted.stdout)["prediction"]) == 3
    code = load.split(maxsplit=1)[1]
    loaded = subprocess.run([sys.executable, "-c", f"import transformers; {code}"], cwd=tmp_path, capture_output=True)
    assert loaded.returncode == 0
    for command in ("evaluate", "card", "verify"):
        assert hfmm(command, "out").returncode == 0


def test_data_writes_a_dataset_that_loads(hfmm: Call, tmp_path: Path) -> None:
    options = [word for pair in ("train=20", "validation=5", "test=6", "size=32") for word in ("--set", pair)]
    assert hfmm("data", "icons", "--out", "icons", *options).returncode == 0
    from datasets import load_dataset

    data = load_dataset(str(tmp_path / "icons"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 20, "validation": 5, "test": 6}
    assert data["train"][0]["image"].size == (32, 32)
    assert Image.open(tmp_path / "icons" / "contact_sheet.png").width > 500
    assert "hfmm data icons --set train=20" in (tmp_path / "icons" / "README.md").read_text()


def test_env_reports_the_precision_and_its_reason(hfmm: Call) -> None:
    output = hfmm("env").stdout
    assert re.search(r"precision +(bf16|fp32): ", output)
    assert re.search(r"Hub +not checked: HF_HUB_OFFLINE is set", output)


class TestBadInput:
    def test_user_dataset_without_a_path(self, fails: Callable[..., str]) -> None:
        assert "hfmm data folder needs the path of your data: --set path=" in fails("data", "folder", "--out", "d")

    def test_invalid_override_of_show(self, fails: Callable[..., str]) -> None:
        assert "Did you mean 'size'?" in fails("show", "vit_icons", "--set", "data.sise=3")
        assert "valid integer" in fails("show", "vit_icons", "--set", "data.size=big")

    def test_unknown_recipe(self, fails: Callable[..., str]) -> None:
        assert "Did you mean 'vit_icons'?" in fails("run", "vit_icon")

    def test_unknown_key(self, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path) -> None:
        path = write_recipe()
        path.write_text(path.read_text().replace("epochs: 1", "epoch: 1"))
        message = fails("run", path, "--out", "out")
        assert "tiny.yaml, line 7" in message
        assert "Did you mean 'num_train_epochs'?" in message
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("override", "phrases"),
        [
            (
                "data.builder=icon",
                [
                    "data.builder",
                    "Did you mean 'icons'?",
                    "folder, icons, page_ocr, pages, pseudowords, shapes, speech, spoken_verbs, text_questions, "
                    "visual_questions",
                ],
            ),
            ("data.size=big", ["--set data.size=big", "valid integer"]),
            ("data.colour=red", ["unknown key 'data.colour'"]),
            ("metrics=[acuracy]", ["metrics", "Did you mean 'accuracy'?"]),
            ("baselines=[nothing]", ["baselines", "colour_histogram"]),
            ("task=speech", ["task", "image_classification"]),
            ("model.checkpoint=builtin:huge", ["builtin:huge does not exist", "builtin:tiny-vit"]),
            ("model.checkpoint=nobody/nothing", ["could not be loaded", "offline", "private", "builtin:tiny-vit"]),
            ("model.checkpoint=./nowhere", ["the folder ./nowhere does not exist"]),
            ("stages.head.trainable=[head]", ["stages.head.trainable", "no module 'head'", "classifier"]),
        ],
    )
    def test_invalid_values(
        self, fails: Callable[..., str], write_recipe: Callable[..., Path], override: str, phrases: list[str]
    ) -> None:
        message = fails("run", write_recipe(), "--set", override, "--out", "out")
        assert [phrase for phrase in phrases if phrase not in message] == []

    def test_model_that_does_not_fit_the_task(
        self, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
    ) -> None:
        (tmp_path / "bert").mkdir()
        (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
        message = fails("run", write_recipe(checkpoint=tmp_path / "bert"), "--out", "out")
        assert "'bert' model, which does not fit this task" in message

    def test_damaged_weights(
        self, process: Call, write_recipe: Callable[..., Path], tmp_path: Path, tiny_vit: Path
    ) -> None:
        shutil.copytree(tiny_vit, tmp_path / "damaged")
        weights = tmp_path / "damaged" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:500])
        message = paragraph(process("run", write_recipe(checkpoint=tmp_path / "damaged"), "--out", "out"))
        assert "could not be loaded" in message

    def test_invalid_images_are_named_and_can_be_skipped(
        self, hfmm: Call, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
    ) -> None:
        for name in ("cat", "dog"):
            for index in range(12):
                path = tmp_path / "photos" / name / f"{name}{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.effect_noise((16, 16), 50).save(path)
        (tmp_path / "photos/cat/cat3.png").write_bytes(b"")
        (tmp_path / "photos/dog/dog4.png").write_bytes((tmp_path / "photos/dog/dog5.png").read_bytes()[:120])
        options = ["--set", "data.builder=folder", "--set", "data.path=photos", "--set", "baselines=[]"]
        message = fails("run", write_recipe(), *options, "--out", "out")
        assert "2 rows cannot be used" in message
        assert "cat3.png is empty" in message
        assert "dog4.png is damaged" in message
        completed = hfmm("run", write_recipe(), *options, "--set", "data.on_invalid_row=skip", "--out", "skipped")
        assert completed.returncode == 0, completed.stderr
        assert "2 skipped" in completed.stdout
        assert "dog4.png" in (tmp_path / "skipped/model/README.md").read_text()

    def test_output_folder_with_another_run(
        self, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/recipe.yaml").write_text("name: old")
        message = fails("run", write_recipe(), "--out", "out")
        assert "already holds a run" in message
        assert "--resume" in message
        assert (tmp_path / "out/recipe.yaml").read_text() == "name: old"

    def test_predict_with_a_missing_model_or_file(self, fails: Callable[..., str], finished_run: Path) -> None:
        assert "config.json is missing" in fails("predict", "nowhere", "a.png")
        assert "a.png does not exist" in fails("predict", finished_run / "model", "a.png")

    def test_folder_that_is_not_a_run(self, fails: Callable[..., str], tmp_path: Path) -> None:
        assert "is not a run" in fails("card", tmp_path)

    @pytest.mark.skipif(os.name != "posix", reason="signals differ on other systems")
    def test_ctrl_c_explains_how_to_resume(self, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
        command = [sys.executable, "-m", "hfmm.cli", "run", str(write_recipe()), "--out", "out"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        while not (tmp_path / "out/results.json").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert stderr.startswith("hfmm: Interrupted. No incomplete files are left. Run the same command again")
        assert "--resume" in stderr

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a tmpfs needs root")
    def test_full_disk_is_reported_in_one_paragraph(self, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]).returncode:
            pytest.skip("mounting a tmpfs is not allowed here")
        try:
            command = [sys.executable, "-m", "hfmm.cli", "run", str(write_recipe()), "--out", str(disk / "out")]
            completed = subprocess.run(command, capture_output=True, text=True)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        assert completed.returncode == 1, completed.stderr
        assert completed.stderr.startswith("hfmm: The disk is full.")
