from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, ModelCardData

from hfmm.errors import UserError
from hfmm.hub.files import format_size
from hfmm.hub.int8 import QuantizedModel, int8_contents, verify_int8
from hfmm.hub.publish import PublishOptions, publish
from hfmm.hub.push import RepoTarget
from hfmm.models.common import int8
from hfmm.run import open_run
from hfmm.run_directory import RunDirectory
from hfmm.verify import process

SAID = process.ProcessOutput([[{"label": "a", "score": 0.5}]], "0.50 a\n")
SNIPPET = 'from transformers import pipeline\n\nmodel = "tiny"  # here\nprint(pipeline("image-classification", model))'


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> RunDirectory:
    """The finished run with a file in the place of its int8 weights."""
    shutil.copytree(finished_run, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    run.int8.mkdir()
    (run.int8 / "model.safetensors").write_bytes(b"\0" * 2_000)
    return run


def made(printed: str = SAID.printed, outputs: list[Any] = SAID.outputs) -> QuantizedModel:
    return QuantizedModel("me/tiny-int8", None, SNIPPET, process.ProcessOutput(outputs, printed))  # type: ignore[arg-type]


def card(run: RunDirectory) -> str:
    block = ModelCardData(license="mit", language="en", pipeline_tag="image-classification", tags=["hfmm"])
    source = int8_contents(run, made(), block, "Tiny", "me/tiny", "main")["README.md"].source
    assert isinstance(source, bytes)
    return source.decode()


def test_the_card_names_the_full_model_and_loads_by_its_own_id(run: RunDirectory) -> None:
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
    assert "smaller, not faster than in bf16" in text


def test_sizes_and_scores_stand_beside_those_of_the_full_model(run: RunDirectory) -> None:
    full = format_size((run.model / "model.safetensors").stat().st_size)
    results = run.read_results()
    first = next(one for one in results["records"] if one["metric"] == "accuracy" and not one["slice"])
    rounded = first | {"baseline": "int8 weights", "value": 0.125, "ci95": [0.1, 0.25]}
    run.update_results(records=[*results["records"], rounded])
    text = card(run)
    assert f"| file size of the weights | 2.0 kB | {full} |" in text
    told = f"{100 * first['value']:.1f} % ({100 * first['ci95'][0]:.1f} to {100 * first['ci95'][1]:.1f})"
    assert f"| accuracy | 12.5 % (10.0 to 25.0) | {told} |" in text


def test_what_no_probe_measured_is_not_claimed(run: RunDirectory) -> None:
    assert "| accuracy | not measured |" in card(run)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (
            process.ProcessOutput([[{"label": "b", "score": 0.5}]], SAID.printed),
            "me/tiny-int8 is not the model that was",
        ),
        (process.ProcessOutput(SAID.outputs, "0.90 a"), "the snippet in the card of me/tiny-int8 prints"),
    ],
)
def test_a_repository_that_says_something_else_is_told_of(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: process.ProcessOutput, complaint: str
) -> None:
    recorded = process.rows_with_inputs(run)[:1]
    monkeypatch.setattr(process, "rows_with_inputs", lambda run: recorded)
    monkeypatch.setattr(process, "run_pipeline", lambda *arguments: said)
    with pytest.raises(UserError, match=complaint):
        verify_int8(run, made(), "main", tmp_path)
    monkeypatch.setattr(process, "run_pipeline", lambda *arguments: SAID)
    assert verify_int8(run, made(), "main", tmp_path) == 1


def test_without_torchao_nothing_is_begun(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    recipe, run = open_run(run.root)
    with pytest.raises(UserError, match=r'--int8-repo needs torchao, which is not installed: pip install "hfmm\[int8'):
        publish(
            recipe, run, RepoTarget("me/tiny"), PublishOptions(int8="me/tiny-int8"), lambda: True, lambda *said: None
        )


def test_a_run_that_fails_its_verification_has_no_int8_weights_to_publish(run: RunDirectory) -> None:
    recipe, run = open_run(run.root)
    path = run.model / "README.md"
    path.write_text(path.read_text().replace("```text\n", "```text\n0.99 nonsense\n"))
    wishes = PublishOptions(int8="me/tiny-int8", allow_unverified=True)
    with pytest.raises(UserError, match="--int8-repo is for a run that passes its verification"):
        publish(recipe, run, RepoTarget("me/tiny"), wishes, lambda: True, lambda *said: None)
    assert json.loads(run.results.read_text())["verified"] is None
