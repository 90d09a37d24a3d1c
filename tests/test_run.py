"""Whole runs: the files that they write, their records, and several processes."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import file_bytes

# What `accelerate launch` starts on several GPUs; on CPUs it starts several processes only through MPI.
TWO_PROCESSES = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
HFMM_REPORTING_ITS_PROCESS_GROUP = """
import atexit
from torch import distributed
from hfmm.cli.main import main

atexit.register(lambda: print("exits in its group") if distributed.is_initialized() else None)
main()
"""


def results(run: Path) -> dict:  # type: ignore[type-arg]
    return json.loads((run / "results.json").read_text())  # type: ignore[no-any-return]


def test_a_run_directory_has_every_file(finished_run: Path) -> None:
    expected = {
        "recipe.yaml",
        "results.json",
        "predictions.parquet",
        "log.jsonl",
        "samples.png",
        "model",
        "adapter",
        "plots",
        "checkpoints",
    }
    assert {path.name for path in finished_run.iterdir()} == expected


def test_no_published_file_is_a_pickle(finished_run: Path) -> None:
    for folder in ("model", "adapter"):
        kinds = {path.suffix for path in (finished_run / folder).rglob("*") if path.is_file()}
        assert kinds <= {".json", ".safetensors", ".md", ".png", ".yaml", ".jinja", ".txt"}


def test_records_have_all_fields_and_the_primary_score_is_first(finished_run: Path) -> None:
    records = results(finished_run)["records"]
    fields = {"metric", "value", "ci95", "n", "split", "weights", "baseline", "slice"}
    assert all(set(record) == fields for record in records)
    first = records[0]
    assert (first["metric"], first["baseline"], first["slice"], first["weights"]) == ("accuracy", "", "", "tuned")
    assert all(record["ci95"][0] <= record["value"] <= record["ci95"][1] for record in records)
    assert {record["baseline"] for record in records} == {"", "colour histogram"}


def test_the_score_follows_from_the_recorded_predictions(finished_run: Path) -> None:
    rows = pq.read_table(finished_run / "predictions.parquet").to_pylist()
    right = sum(row["prediction"] == row["reference"] for row in rows) / len(rows)
    assert results(finished_run)["records"][0]["value"] == pytest.approx(right)


def test_base_model_and_adapter_equal_the_merged_model(finished_run: Path, tiny_vit: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageClassification

    merged = AutoModelForImageClassification.from_pretrained(finished_run / "model").eval()
    base = AutoModelForImageClassification.from_pretrained(tiny_vit, num_labels=merged.config.num_labels)
    adapted = PeftModel.from_pretrained(base, finished_run / "adapter").eval()
    pixels = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(adapted(pixels).logits, merged(pixels).logits, atol=1e-5)
    assert results(finished_run)["train"]["stages"][1]["merge_difference"] < 1e-5


def test_the_log_has_every_stage(finished_run: Path) -> None:
    lines = [json.loads(line) for line in (finished_run / "log.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"head", "full"}
    assert any("loss" in line for line in lines)
    assert any("eval_accuracy" in line for line in lines)


@pytest.fixture(scope="module")
def again(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of the finished run once more, where a call to the network fails it."""
    from hfmm.recipe.load import load_recipe
    from hfmm.run import run_recipe

    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise AssertionError(f"a call to {address}")
        connect(self, address)

    folder = tmp_path_factory.mktemp("again") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        run_recipe(load_recipe(str(finished_run / "recipe.yaml")), folder, False, lambda step, text: None)
    return folder


def test_a_whole_run_makes_no_network_call(again: Path) -> None:
    assert results(again)["verified"]["snippet"]


def test_the_same_recipe_gives_the_same_weights_twice(again: Path, finished_run: Path) -> None:
    for weights in ("model/model.safetensors", "adapter/adapter_model.safetensors"):
        assert (again / weights).read_bytes() == (finished_run / weights).read_bytes()


def test_card_and_verify_of_a_finished_run_write_the_same_bytes(
    finished_run: Path, hfmm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    before = file_bytes(tmp_path / "run")
    (tmp_path / "run/model/README.md").unlink()
    for command in ("card", "verify"):
        assert hfmm(command, tmp_path / "run").returncode == 0
    after = file_bytes(tmp_path / "run")
    assert sorted(name for name in before | after if before.get(name) != after.get(name)) == []


def test_two_processes_train_one_model_and_print_once(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    reporting = ["--no-python", sys.executable, "-c", HFMM_REPORTING_ITS_PROCESS_GROUP]
    command = [*TWO_PROCESSES, *reporting, "run", str(write_recipe()), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "exits in its group" not in done.stdout
    assert done.stdout.count("evaluate") == done.stdout.count("verify") == done.stdout.count("stage head") == 1
    run_results = results(tmp_path / "run")
    assert run_results["verified"]["snippet"]
    # 24 rows in batches of 8 a process: two steps an epoch where one process takes three.
    assert [stage["steps"] for stage in run_results["train"]["stages"]] == [2, 4]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scored = [(line["stage"], line["step"]) for line in lines if "eval_accuracy" in line]
    assert scored == [("head", 2), ("full", 2), ("full", 4)]


def test_an_error_is_printed_once_by_two_processes(write_recipe: Callable[..., Path], tmp_path: Path) -> None:
    command = [*TWO_PROCESSES, "-m", "hfmm.cli", "run", str(write_recipe()), "--set", "stages.head.trainable=[nothing]"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.count("hfmm: ") == 1
    assert "the model has no module 'nothing'" in done.stderr


@pytest.mark.parametrize(
    ("parts", "source", "lacking"),
    [("metrics", "row_statistics = len", "GREATER_IS_BETTER"), ("baselines", "NAME = 'nothing'", "predict")],
)
def test_an_incomplete_user_part_is_refused_before_the_build(
    fails: Callable[..., str],
    write_recipe: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: str,
    source: str,
    lacking: str,
) -> None:
    (tmp_path / "homemade").mkdir()
    (tmp_path / f"homemade/half_of_{parts}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    message = fails("run", write_recipe(), "--set", f"{parts}=[homemade.half_of_{parts}]", "--out", "out")
    expected = (
        f"{parts}: the module 'homemade.half_of_{parts}' could not be imported, or it does not define '{lacking}'"
    )
    assert expected in message
    assert not (tmp_path / "out").exists()


def test_a_wrong_module_of_a_later_stage_is_reported_before_training(
    fails: Callable[..., str], write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    message = fails("run", write_recipe(), "--set", "stages.full.trainable=[encoder]", "--out", "out")
    assert (
        "--set stages.full.trainable=[encoder]: stages.full.trainable: the model has no module 'encoder'. It has vit"
        in message
    )
    assert not (tmp_path / "out/log.jsonl").exists()


def test_a_diverging_stage_stops_and_names_its_step(
    fails: Callable[..., str], write_recipe: Callable[..., Path]
) -> None:
    message = fails("run", write_recipe(), "--set", "stages.full.learning_rate=1.0e+30")
    assert re.search(r"Stage full has diverged: .* at step \d+\. Lower stages\.full\.learning_rate", message)


@pytest.mark.parametrize("assembled", [False, True], ids=["clip", "a ViT with a BERT"])
def test_a_dual_encoder_runs_from_data_to_verification(
    hfmm: Callable[..., subprocess.CompletedProcess[str]],
    fails: Callable[..., str],
    write_recipe: Callable[..., Path],
    tiny_clip: Path,
    tiny_vit: Path,
    tiny_bert: Path,
    tmp_path: Path,
    assembled: bool,
) -> None:
    stages = (
        "stages=[{name: full, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-3, "
        "per_device_train_batch_size: 4, gradient_accumulation: 2}]"
    )
    changes = ["task=contrastive", stages, "metrics=[retrieval,modality_gap,zero_shot]"]
    changes.append("baselines=[pretrained,random_weights,colour_histogram]")
    changes += [f"model.text_model={tiny_bert}", "model.projection_dim=16"] if assembled else []
    recipe = write_recipe(tiny_vit if assembled else tiny_clip)
    done = hfmm("run", recipe, "--out", "out", *(word for change in changes for word in ("--set", change)))
    assert done.returncode == 0, done.stderr
    run_results = json.loads((tmp_path / "out/results.json").read_text())
    assert run_results["verified"]["predictions"] == 32
    assert {"distance", "separability"} <= {
        record["slice"] for record in run_results["records"] if record["metric"] == "modality_gap"
    }
    gaps = {record["weights"]: record["value"] for record in run_results["records"] if record["slice"] == "distance"}
    assert gaps.keys() == {"tuned", "base", "random"}
    card = (tmp_path / "out/model/README.md").read_text()
    assert f"| distance | {gaps['tuned']:.3g} (" in card
    assert str(tmp_path.parent) not in card
    lines = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert any(line.get("logit_scale", 0) > 10 for line in lines)
    stdout = hfmm("predict", "out/model", "out/model/example.png", "--text", "he works", "--text", "I go").stdout
    assert sum(json.loads(stdout)["scores"].values()) == pytest.approx(1)
    assert '--text "a photo of a cat" --text "a photo of a dog"' in fails(
        "predict", "out/model", "out/model/example.png"
    )
