from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData

from hfmm.errors import UserError
from hfmm.evaluation.predict import SavedModel
from hfmm.hub.files import format_size
from hfmm.hub.int8 import QuantizedModel, int8_files, verify_int8
from hfmm.hub.publish import PublishOptions, publish
from hfmm.hub.push import RepoTarget
from hfmm.models.common import int8
from hfmm.run import open_run
from hfmm.run_directory import RunDirectory, read_predictions
from hfmm.verify import process

OUTPUT = process.ProcessOutput([[{"label": "a", "score": 0.5}]], "0.50 a\n")
SNIPPET = 'from transformers import pipeline\n\nmodel = "tiny"  # here\nprint(pipeline("image-classification", model))'


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> RunDirectory:
    """The finished run with a placeholder for its int8 weights."""
    shutil.copytree(finished_run, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    run.int8.mkdir()
    (run.int8 / "model.safetensors").write_bytes(b"\0" * 2_000)
    return run


def quantized_model(printed: str = OUTPUT.printed, outputs: list[Any] = OUTPUT.outputs) -> QuantizedModel:
    return QuantizedModel("me/tiny-int8", None, SNIPPET, process.ProcessOutput(outputs, printed))  # type: ignore[arg-type]


def card(run: RunDirectory) -> str:
    metadata = ModelCardData(license="mit", language="en", pipeline_tag="image-classification", tags=["hfmm"])
    source = int8_files(run, quantized_model(), metadata, "Tiny", "me/tiny", "main")["README.md"].source
    assert isinstance(source, bytes)
    return source.decode()


def test_card_names_the_full_model_and_loads_its_own_repository(run: RunDirectory) -> None:
    text = card(run)
    data = ModelCard(text).data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["library_name"]) == (
        "me/tiny",
        "quantized",
        "transformers",
    )
    assert (data["pipeline_tag"], data["license"], data["tags"]) == ("image-classification", "mit", ["hfmm"])
    assert 'model = snapshot_download("me/tiny-int8")' in text
    assert "pip install transformers torchao" in text and "```text\n0.50 a\n```" in text
    assert "smaller but not faster than in bf16" in text


def test_card_shows_sizes_and_scores_of_both_models(run: RunDirectory) -> None:
    full_size = format_size((run.model / "model.safetensors").stat().st_size)
    results = run.read_results()
    full_record = next(
        record for record in results["records"] if record["metric"] == "accuracy" and not record["slice"]
    )
    int8_record = full_record | {"baseline": "int8 weights", "value": 0.125, "ci95": [0.1, 0.25]}
    run.update_results(records=[*results["records"], int8_record])
    text = card(run)
    assert f"| file size of the weights | 2.0 kB | {full_size} |" in text
    low, high = full_record["ci95"]
    full_score = f"{100 * full_record['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    assert f"| accuracy | 12.5 % (10.0 to 25.0) | {full_score} |" in text


def test_score_without_int8_baseline_is_reported_as_not_measured(run: RunDirectory) -> None:
    assert "| accuracy | not measured |" in card(run)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            process.ProcessOutput([[{"label": "b", "score": 0.5}]], OUTPUT.printed),
            "me/tiny-int8 does not reproduce the local model",
        ),
        (process.ProcessOutput(OUTPUT.outputs, "0.90 a"), "the snippet in the card of me/tiny-int8 prints"),
    ],
)
def test_verify_int8_raises_on_a_different_prediction_or_output(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: process.ProcessOutput, message: str
) -> None:
    saved = SavedModel(None, None, read_predictions(run))  # type: ignore[arg-type]
    recorded = process.rows_with_inputs(saved.predictions)[:1]
    monkeypatch.setattr(process, "rows_with_inputs", lambda predictions: recorded)
    monkeypatch.setattr(process, "run_pipeline", lambda *arguments: output)
    with pytest.raises(UserError, match=message):
        verify_int8(saved, quantized_model(), "main", tmp_path)
    monkeypatch.setattr(process, "run_pipeline", lambda *arguments: OUTPUT)
    assert verify_int8(saved, quantized_model(), "main", tmp_path) == 1


def test_publish_raises_at_once_without_torchao(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    plan, run = open_run(run.root)
    with pytest.raises(UserError, match=r'--int8-repo needs torchao, which is not installed: pip install "hfmm\[int8'):
        publish(
            plan,
            run,
            RepoTarget("me/tiny"),
            PublishOptions(int8="me/tiny-int8"),
            lambda: True,
            lambda *arguments: None,
        )


def test_int8_repo_is_rejected_for_a_run_that_fails_verification(run: RunDirectory) -> None:
    plan, run = open_run(run.root)
    path = run.model / "README.md"
    path.write_text(path.read_text().replace("```text\n", "```text\n0.99 nonsense\n"))
    options = PublishOptions(int8="me/tiny-int8", allow_unverified=True)
    with pytest.raises(UserError, match="--int8-repo requires a run that passes its verification"):
        publish(plan, run, RepoTarget("me/tiny"), options, lambda: True, lambda *arguments: None)
    assert json.loads(run.results.read_text())["verified"] is None
