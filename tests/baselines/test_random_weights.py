from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features
from transformers import AutoModel

from hfmm.baselines import pretrained, random_weights
from hfmm.plan import Plan, resolve_plan
from hfmm.recipe.load import load_recipe


class WeightsTask:
    """A task that predicts a weight of the model."""

    def predict(self, model: Any, rows: Iterable[Any], batch_size: int) -> Iterator[dict[str, Any]]:
        assert not model.training
        for _ in rows:
            yield {"weight": model.vit.embeddings.patch_embeddings.projection.weight}


def test_random_weights_follow_the_seed_and_pretrained_the_checkpoint(
    finished_run: Path, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plan, "make_task", lambda self, model, processor: WeightsTask())
    rows = Dataset.from_dict({"label": [0]}, features=Features({"label": ClassLabel(names=["a", "b"])}))
    data = DatasetDict(train=rows, test=rows)
    pretrained_weight = AutoModel.from_pretrained(tiny_vit).embeddings.patch_embeddings.projection.weight
    random_predictions = []
    for init in ("pretrained", "random"):
        plan = resolve_plan(load_recipe(str(finished_run / "recipe.yaml"), [f"model.init={init}"]))
        (base,) = pretrained.predict(plan, WeightsTask(), None, data)  # type: ignore[arg-type]
        assert torch.equal(base["weight"], pretrained_weight)
        random_predictions += random_weights.predict(plan, WeightsTask(), None, data)  # type: ignore[arg-type]
    first, second = (prediction["weight"] for prediction in random_predictions)
    assert torch.equal(first, second) and not torch.equal(first, pretrained_weight)
