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


class Scales:
    """A task whose predictions are what the model is made of."""

    def predict(self, model: Any, rows: Iterable[Any], batch_size: int) -> Iterator[dict[str, Any]]:
        assert not model.training
        for row in rows:
            yield {"id": row["id"], "int8": isinstance(model.classifier.weight.data, Int8Tensor)}


def test_the_test_rows_are_predicted_by_the_saved_model_in_int8_and_the_tuned_one_stays_whole(
    finished_run: Path,
) -> None:
    plan = resolve_plan(load_recipe(str(finished_run / "recipe.yaml")))
    tuned, _ = load_model_and_task(finished_run / "model")
    data = DatasetDict(test=Dataset.from_dict({"id": ["a", "b"]}))
    said = int8_weights.predict(plan, Scales(), tuned, data)  # type: ignore[arg-type]
    assert said == [{"id": "a", "int8": True}, {"id": "b", "int8": True}]
    assert not isinstance(tuned.classifier.weight.data, Int8Tensor)


def test_a_recipe_that_asks_for_it_is_refused_before_training_where_torchao_is_missing(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(str(finished_run / "recipe.yaml")).model_copy(update={"baselines": ["int8_weights"]})
    resolve_plan(recipe)
    monkeypatch.setattr(int8, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'baselines: int8_weights needs torchao.*pip install "hfmm\[int8\]"'):
        resolve_plan(recipe)
