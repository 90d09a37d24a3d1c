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


def test_help_answers_quickly(process: Call) -> None:
    process("--help")
    times = []
    for _ in range(3):
        begun = sum(os.times()[2:4])  # the processor's, since another worker may have it in between
        assert process("--help").returncode == 0
        times.append(sum(os.times()[2:4]) - begun)
    assert min(times) < 0.4


def test_list_names_recipes_and_parts(hfmm: Call) -> None:
    said = hfmm("list").stdout
    for word in ("vit_icons", "builtin:tiny-vit", "icons", "image_classification", "accuracy", "colour_histogram"):
        assert word in said


def test_list_names_a_recipes_task_without_its_options(hfmm: Call) -> None:
    assert re.search(r"\n  clip_grammar +contrastive of icons from builtin:tiny-clip\n", hfmm("list").stdout)


def test_show_starts_a_recipe_for_the_users_own_data(hfmm: Call, tmp_path: Path) -> None:
    said = hfmm("show", "vit_icons", "--data", "./photos", "--column", "label=species").stdout
    assert "path: ./photos" in said
    assert "label: species" in said
    assert "# a Hub id, a folder, or builtin:" in said
    (tmp_path / "mine.yaml").write_text(said)
    again = hfmm("show", "mine.yaml").stdout
    assert again == said


@pytest.mark.parametrize("data", ["./my #photos", "2024", "a: b", "Vögel 🐦"])
def test_show_takes_a_path_and_a_column_by_the_letter(hfmm: Call, tmp_path: Path, data: str) -> None:
    (tmp_path / "mine.yaml").write_text(hfmm("show", "vit_icons", "--data", data, "--column", f"label={data}").stdout)
    options = load_recipe(str(tmp_path / "mine.yaml")).data.options
    assert (options["path"], options["columns"]) == (data, {"label": data})


def test_what_the_user_sets_comes_after_their_own_data(hfmm: Call, fails: Callable[..., str], tmp_path: Path) -> None:
    own = ["show", "vit_icons", "--data", "./photos"]
    said = hfmm(*own, "--set", "data.validation=0.3", "--set", "name=birds").stdout
    assert "name: birds\n" in said and "validation: 0.3 " in said
    assert "Did you mean 'validation'?" in fails(*own, "--set", "data.validaton=0.3")


@pytest.mark.parametrize("name", ["vit_icons", "clip_grammar", "whisper_verbs", "llava_tutor"])
def test_a_recipe_for_the_users_own_data_speaks_of_no_verbs(hfmm: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.yaml").write_text(hfmm("show", name, "--data", "./mine").stdout)
    recipe, shipped = load_recipe(str(tmp_path / "mine.yaml")), load_recipe(name)
    of_verbs = {"verb_form", "correction", "transcription"}
    assert recipe.metrics == [one for one in shipped.metrics if one not in of_verbs]
    assert (recipe.forgetting, recipe.baselines, recipe.publish.title) == ([], [], None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--column", "label=species"], "give the data with --data"),
        (["--data", "./photos", "--column", "species"], "--column species: write ours=yours"),
    ],
)
def test_columns_that_say_nothing_are_refused(fails: Callable[..., str], arguments: list[str], words: str) -> None:
    assert words in fails("show", "vit_icons", *arguments)


def test_a_run_ends_with_the_lines_that_come_next(
    process: Call, hfmm: Call, write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    done = process("run", write_recipe(), "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    look, predict, load = done.stdout.strip().splitlines()[-3:]
    assert (tmp_path / look.split()[1]).is_file()
    answer = hfmm(*predict.split()[2:])
    assert len(json.loads(answer.stdout)["prediction"]) == 3
    code = load.split(maxsplit=1)[1]
    again = subprocess.run([sys.executable, "-c", f"import transformers; {code}"], cwd=tmp_path, capture_output=True)
    assert again.returncode == 0
    for command in ("evaluate", "card", "verify"):
        assert hfmm(command, "out").returncode == 0


def test_data_is_written_and_read_back(hfmm: Call, tmp_path: Path) -> None:
    small = [word for pair in ("train=20", "validation=5", "test=6", "size=32") for word in ("--set", pair)]
    assert hfmm("data", "icons", "--out", "icons", *small).returncode == 0
    from datasets import load_dataset

    data = load_dataset(str(tmp_path / "icons"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in data.items()} == {"train": 20, "validation": 5, "test": 6}
    assert data["train"][0]["image"].size == (32, 32)
    assert Image.open(tmp_path / "icons" / "contact_sheet.png").width > 500
    assert "hfmm data icons --set train=20" in (tmp_path / "icons" / "README.md").read_text()


def test_doctor_says_which_precision_and_why(hfmm: Call) -> None:
    said = hfmm("env").stdout
    assert re.search(r"precision +(bf16|fp32): ", said)
    assert re.search(r"Hub +not asked: HF_HUB_OFFLINE is set", said)


class TestBadInput:
    def test_a_dataset_of_the_users_own_without_a_path(self, fails: Callable[..., str]) -> None:
        assert "hfmm data folder: say where your data lies, with --set path=" in fails("data", "folder", "--out", "d")

    def test_wrong_values_of_a_recipe_to_be_shown(self, fails: Callable[..., str]) -> None:
        assert "Did you mean 'size'?" in fails("show", "vit_icons", "--set", "data.sise=3")
        assert "valid integer" in fails("show", "vit_icons", "--set", "data.size=big")

    def test_unknown_recipe(self, fails: Callable[..., str]) -> None:
        assert "Did you mean 'vit_icons'?" in fails("run", "vit_icon")

    def test_unknown_key(self, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path) -> None:
        path = write_recipe()
        path.write_text(path.read_text().replace("epochs: 1", "epoch: 1"))
        said = fails("run", path, "--out", "out")
        assert "tiny.yaml, line 7" in said
        assert "Did you mean 'epochs'?" in said
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                "data.builder=icon",
                [
                    "data.builder",
                    "Did you mean 'icons'?",
                    "clips, conversations, exercises, folder, icons, pages, reading, shapes, speech, words",
                ],
            ),
            ("data.size=big", ["--set data.size=big", "valid integer"]),
            ("data.colour=red", ["unknown key 'data.colour'"]),
            ("metrics=[acuracy]", ["metrics", "Did you mean 'accuracy'?"]),
            ("baselines=[nothing]", ["baselines", "colour_histogram"]),
            ("task=speech", ["task", "image_classification"]),
            ("model.checkpoint=builtin:huge", ["no builtin:huge", "builtin:tiny-vit"]),
            ("model.checkpoint=nobody/nothing", ["cannot be had", "offline", "private", "builtin:tiny-vit"]),
            ("model.checkpoint=./nowhere", ["no folder ./nowhere"]),
            ("stages.head.trainable=[head]", ["stages.head.trainable", "no module 'head'", "classifier"]),
        ],
    )
    def test_wrong_values(
        self, fails: Callable[..., str], write_recipe: Callable[..., Path], change: str, words: list[str]
    ) -> None:
        said = fails("run", write_recipe(), "--set", change, "--out", "out")
        assert [word for word in words if word not in said] == []

    def test_a_model_that_does_not_fit_the_task(
        self, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
    ) -> None:
        (tmp_path / "bert").mkdir()
        (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
        said = fails("run", write_recipe(checkpoint=tmp_path / "bert"), "--out", "out")
        assert "'bert' model, which does not fit this task" in said

    def test_damaged_weights(
        self, process: Call, write_recipe: Callable[..., Path], tmp_path: Path, tiny_vit: Path
    ) -> None:
        shutil.copytree(tiny_vit, tmp_path / "damaged")
        weights = tmp_path / "damaged" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:500])
        said = paragraph(process("run", write_recipe(checkpoint=tmp_path / "damaged"), "--out", "out"))
        assert "does not load" in said

    def test_bad_pictures_are_named_and_may_be_skipped(
        self, hfmm: Call, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
    ) -> None:
        for name in ("cat", "dog"):
            for index in range(12):
                path = tmp_path / "photos" / name / f"{name}{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.effect_noise((16, 16), 50).save(path)
        (tmp_path / "photos/cat/cat3.png").write_bytes(b"")
        (tmp_path / "photos/dog/dog4.png").write_bytes((tmp_path / "photos/dog/dog5.png").read_bytes()[:120])
        own = ["--set", "data.builder=folder", "--set", "data.path=photos", "--set", "baselines=[]"]
        said = fails("run", write_recipe(), *own, "--out", "out")
        assert "2 rows cannot be used" in said
        assert "cat3.png is empty" in said
        assert "dog4.png is damaged" in said
        done = hfmm("run", write_recipe(), *own, "--set", "data.on_invalid_row=skip", "--out", "skipped")
        assert done.returncode == 0, done.stderr
        assert "2 skipped" in done.stdout
        assert "dog4.png" in (tmp_path / "skipped/model/README.md").read_text()

    def test_an_output_folder_that_holds_a_run(
        self, fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
    ) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/recipe.yaml").write_text("name: old")
        said = fails("run", write_recipe(), "--out", "out")
        assert "already holds a run" in said
        assert "--resume" in said
        assert (tmp_path / "out/recipe.yaml").read_text() == "name: old"

    def test_predict_without_a_model_or_a_file(self, fails: Callable[..., str], finished_run: Path) -> None:
        assert "config.json is missing" in fails("predict", "nowhere", "a.png")
        assert "a.png does not exist" in fails("predict", finished_run / "model", "a.png")

    def test_a_run_that_is_none(self, fails: Callable[..., str], tmp_path: Path) -> None:
        assert "is not a run" in fails("card", tmp_path)

    @pytest.mark.skipif(os.name != "posix", reason="signals work otherwise there")
    def test_ctrl_c_says_how_to_go_on(self, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
        command = [sys.executable, "-m", "hfmm.cli", "run", str(write_recipe()), "--out", "out"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        while not (tmp_path / "out/results.json").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said.startswith("hfmm: Interrupted. Nothing half-written is left. Run the same command again")
        assert "--resume" in said

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
    def test_a_full_disk_is_one_paragraph(self, write_recipe: Callable[..., Path], tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]).returncode:
            pytest.skip("this machine lets nobody mount a small disk")
        try:
            command = [sys.executable, "-m", "hfmm.cli", "run", str(write_recipe()), "--out", str(disk / "out")]
            done = subprocess.run(command, capture_output=True, text=True)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith("hfmm: The disk is full.")
