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


class Weights:
    """A task whose predictions are a weight of the model that makes them."""

    def predict(self, model: Any, rows: Iterable[Any], batch_size: int) -> Iterator[dict[str, Any]]:
        assert not model.training
        for _ in rows:
            yield {"weight": model.vit.embeddings.patch_embeddings.projection.weight}


def test_weights_are_drawn_by_the_seed_and_those_before_training_are_the_checkpoint_whatever_it_begins_with(
    finished_run: Path, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plan, "make_task", lambda self, model, processor: Weights())
    rows = Dataset.from_dict({"label": [0]}, features=Features({"label": ClassLabel(names=["a", "b"])}))
    data = DatasetDict(train=rows, test=rows)
    came = AutoModel.from_pretrained(tiny_vit).embeddings.patch_embeddings.projection.weight
    drawn = []
    for init in ("pretrained", "random"):
        plan = resolve_plan(load_recipe(str(finished_run / "recipe.yaml"), [f"model.init={init}"]))
        (base,) = pretrained.predict(plan, Weights(), None, data)  # type: ignore[arg-type]
        assert torch.equal(base["weight"], came)
        drawn += random_weights.predict(plan, Weights(), None, data)  # type: ignore[arg-type]
    assert torch.equal(drawn[0]["weight"], drawn[1]["weight"]) and not torch.equal(drawn[0]["weight"], came)
