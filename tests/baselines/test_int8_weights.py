from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict
from torchao.quantization import Int8Tensor

from hfmm.baselines import int8_weights
from hfmm.errors import UserError
from hfmm.evaluation.predict import load_model_and_task
from hfmm.models.common import int8
from hfmm.plan import resolve_plan
from hfmm.recipe.load import load_recipe


class DtypeTask:
    """A task that predicts whether the weights of the model are int8."""

    def predict(self, model: Any, rows: Iterable[Any], batch_size: int) -> Iterator[dict[str, Any]]:
        assert not model.training
        for row in rows:
            yield {"id": row["id"], "int8": isinstance(model.classifier.weight.data, Int8Tensor)}


def test_saved_model_is_quantized_and_the_given_one_is_unchanged(
    finished_run: Path,
) -> None:
    plan = resolve_plan(load_recipe(str(finished_run / "recipe.yaml")))
    tuned, _ = load_model_and_task(finished_run / "model")
    data = DatasetDict(test=Dataset.from_dict({"id": ["a", "b"]}))
    predictions = int8_weights.predict(plan, DtypeTask(), tuned, data)  # type: ignore[arg-type]
    assert predictions == [{"id": "a", "int8": True}, {"id": "b", "int8": True}]
    assert not isinstance(tuned.classifier.weight.data, Int8Tensor)


def test_int8_baseline_without_torchao_raises_before_training(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(str(finished_run / "recipe.yaml")).model_copy(update={"baselines": ["int8_weights"]})
    resolve_plan(recipe)
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'baselines: int8_weights needs torchao.*pip install "hfmm\[int8\]"'):
        resolve_plan(recipe)
