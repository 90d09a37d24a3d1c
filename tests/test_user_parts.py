"""Parts of a user's own, each a file outside the package that a recipe names by its dotted path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfmm.errors import UserError
from hfmm.plan import resolve_plan
from hfmm.recipe.load import load_recipe
from tests.conftest import Call, file_bytes
from tests.hub.fake_hub import Hub, serve

DATASET = '''
"""Bright and dark squares."""

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from hfmm.data.common.images import encode
from hfmm.recipe.validation import StrictModel
from PIL import Image as Pillow


class SquaresOptions(StrictModel):
    """Options of `data: {builder: ours.squares}`."""

    train: int = 16


OPTIONS = SquaresOptions


def build(options, cache, num_proc=1):
    """Return squares whose label is their brightness."""
    features = Features(
        id=Value("string"), group=Value("string"), image=Image(), label=ClassLabel(names=["dark", "bright"])
    )

    def rows(split, count):
        values = np.random.default_rng(len(split)).integers(0, 100, count) + np.arange(count) % 2 * 155
        for index, value in enumerate(values.tolist()):
            image = encode(Pillow.new("RGB", (32, 32), (value,) * 3))
            yield {"id": f"{split}-{index}", "group": f"{split}-{index}", "image": image, "label": index % 2}

    sizes = {"train": options.train, "validation": 4, "test": 8}
    return DatasetDict({
        split: Dataset.from_list(list(rows(split, count)), features=features) for split, count in sizes.items()
    })
'''

METRIC = '''
"""Fraction of rows that are predicted as bright, compared with the fraction that is."""

import datasets
import evaluate
import numpy as np

GREATER_IS_BETTER = True
SUMMARY = "fraction of correct rows"


def row_statistics(predictions, references):
    """Return the numerators and denominators of each row."""
    correct = [prediction == reference for prediction, reference in zip(predictions, references, strict=True)]
    return {"": (np.array(correct, dtype=float), np.ones(len(references)))}


class CorrectRows(evaluate.Metric):
    """The `evaluate` wrapper of `row_statistics`."""

    def _info(self):
        value = datasets.Value("string")
        features = datasets.Features({"predictions": value, "references": value})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        numerators, denominators = row_statistics(predictions, references)[""]
        return {"correct_rows": float(numerators.sum() / denominators.sum())}
'''

TASK = '''
"""Brightness: a model tells dark squares from bright ones."""

from hfmm.data.common.images import decode_rows
from hfmm.data.common.rows import iter_batches
from hfmm.models.common.batch import to_model_device
from hfmm.tasks import BaseTask
from hfmm.tasks.common.inputs import ImageInput


class BrightnessTask(BaseTask):
    """Cross-entropy over two classes."""

    auto_classes = ("AutoModelForImageClassification",)
    pipeline_tag = "image-classification"
    required_columns = ("id", "image", "label", "group")
    input = ImageInput

    def pixels(self, rows):
        """Return the pixels of some rows."""
        return dict(self.processor(images=decode_rows(rows), return_tensors="pt"))

    def collate(self, rows):
        """Return the batch."""
        import torch

        return {**self.pixels(rows), "labels": torch.tensor([row["label"] for row in rows])}

    def loss(self, model, batch, num_items):
        """Return the summed cross-entropy divided by the number of items."""
        from torch.nn import functional

        logits = model(pixel_values=batch["pixel_values"]).logits.float()
        return functional.cross_entropy(logits, batch["labels"], reduction="sum") / num_items

    def predict(self, model, rows, batch_size):
        """Yield the name of the likeliest class."""
        import torch

        for batch in iter_batches(rows, batch_size):
            with torch.inference_mode():
                indices = model(**to_model_device(self.pixels(batch), model)).logits.argmax(-1).tolist()
            yield from ({"prediction": self.config.id2label[index]} for index in indices)

    def reference(self, row):
        """Return the name of the class."""
        return self.config.id2label[row["label"]]

    def pipeline_call(self, example, recorded):
        """Return the call that prints the likeliest class."""
        return f\'print(pipe(f"{{model}}/{example}")[0]["label"])\'

    def parse_pipeline_output(self, output):
        """Return the likeliest class."""
        return {"prediction": output[0]["label"]}


TASK = BrightnessTask
'''

FAMILY = '''
"""A family that counts how often it loads a model."""

from hfmm.models.image_classifier import ImageClassifier


class CountingClassifier(ImageClassifier):
    """An image classifier."""

    loads = 0

    def load(self, *arguments):
        """Load the model as its parent does."""
        self.loads += 1
        return super().load(*arguments)


FAMILY = CountingClassifier()
'''

RECIPE = """
name: squares
task: {task}
data: {{builder: {builder}, train: 16}}
model: {{checkpoint: {checkpoint}{family}}}
stages:
  - {{name: full, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-3, per_device_train_batch_size: 8}}
metrics: [{metric}]
"""


@pytest.fixture
def user_recipe(tmp_path: Path, tiny_vit: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the user's package and a recipe that names parts of it."""
    package = tmp_path / "ours"
    package.mkdir()
    for name, text in (("squares", DATASET), ("correct", METRIC), ("brightness", TASK), ("family", FAMILY)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(task: str = "image_classification", metric: str = "accuracy", family: str = "") -> Path:
        path = tmp_path / "squares.yaml"
        family = f", family: {family}" if family else ""
        values = {"task": task, "builder": "ours.squares", "metric": metric, "family": family}
        path.write_text(RECIPE.format(checkpoint=tiny_vit, **values))
        return path

    return write


@pytest.mark.parametrize(
    ("task", "metric"),
    [("image_classification", "accuracy"), ("ours.brightness", "ours.correct")],
    ids=["dataset", "dataset, metric and task"],
)
def test_user_parts_run_through_card_verify_and_predict(
    task: str, metric: str, user_recipe: Callable[..., Path], hfmm: Call, tmp_path: Path
) -> None:
    done = hfmm("run", user_recipe(task, metric), "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "8 predictions and the card's snippet reproduced" in done.stdout
    records = json.loads((tmp_path / "run/results.json").read_text())["records"]
    assert records[0]["metric"] == metric and records[0]["n"] == 8
    before = file_bytes(tmp_path / "run")
    for command in ("card", "verify"):
        assert hfmm(command, tmp_path / "run").returncode == 0
    assert file_bytes(tmp_path / "run") == before
    predicted = hfmm("predict", tmp_path / "run/model", tmp_path / "run/model/example.png")
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout)["prediction"] in ("dark", "bright", ["dark"], ["bright"])


def test_a_run_of_user_parts_is_published_and_verified_by_id(
    user_recipe: Callable[..., Path], process: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = process("run", user_recipe("ours.brightness", "ours.correct"), "--out", "run")
    assert done.returncode == 0, done.stderr
    with serve(Hub(tmp_path / "hub", xet=True)) as hub:
        for name, value in {**hub.environment(), "HF_HOME": str(tmp_path / "hf")}.items():
            monkeypatch.setenv(name, value)
        done = process("publish", "run", "--repo", "me/squares", "--license", "mit", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "downloaded by id: 8 predictions and the card's snippet reproduced" in done.stdout
        files = hub.repositories["models", "me/squares"].commits
        card = hub.read(files[hub.repositories["models", "me/squares"].branches["main"]]["README.md"]).decode()
    assert "ours.brightness" in card and "correct" in card


def test_a_user_family_loads_the_model(user_recipe: Callable[..., Path]) -> None:
    from datasets import ClassLabel, Features

    plan = resolve_plan(load_recipe(str(user_recipe(family="ours.family"))))
    family: Any = plan.model.family
    model, _ = plan.model.load(Features(label=ClassLabel(names=["dark", "bright"])))
    assert (type(family).__name__, family.loads, model.config.num_labels) == ("CountingClassifier", 1, 2)


def test_a_module_that_is_not_a_family_is_refused(user_recipe: Callable[..., Path]) -> None:
    plan = resolve_plan(load_recipe(str(user_recipe(family="ours.squares"))))
    with pytest.raises(UserError, match=r"model\.family: .*'ours\.squares' .* does not define 'FAMILY'"):
        _ = plan.model
