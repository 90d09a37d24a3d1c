"""What `hfmm predict` computes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hfmm.evaluation import predict
from hfmm.evaluation.predict import predict_files
from hfmm.models.common.checkpoint import load_saved
from hfmm.utils import hardware


@pytest.mark.parametrize(("fast", "dtype"), [("bf16", "bfloat16"), ("fp32", "float32")])
def test_predictions_are_computed_in_what_the_hardware_is_fast_at(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, fast: str, dtype: str
) -> None:
    loaded: list[str] = []
    reload = load_saved

    def watched(folder: str, dtype: str) -> tuple[Any, Any]:
        loaded.append(dtype)
        return reload(folder, dtype)

    monkeypatch.setattr(predict, "load_saved", watched)
    measured = hardware.choose_precision
    monkeypatch.setattr(
        hardware,
        "choose_precision",
        lambda requested: measured(fast if requested == "auto" else requested),  # type: ignore[arg-type]
    )
    predict_files(finished_run / "model", [str(finished_run / "model" / "example.png")])
    assert loaded == [dtype]


def test_bf16_predicts_what_fp32_predicts_within_its_three_digits(finished_run: Path) -> None:
    model = finished_run / "model"
    exact, quick = (
        predict_files(model, [str(model / "example.png")], precision=precision)[0] for precision in ("fp32", "bf16")
    )
    assert quick["prediction"] == exact["prediction"]
    assert quick["score"] != exact["score"]
    assert quick["score"] == pytest.approx(exact["score"], abs=0.01)
