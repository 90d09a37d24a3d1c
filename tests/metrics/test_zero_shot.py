from pathlib import Path

import evaluate
import numpy as np
import pytest

from hfmm.metrics import zero_shot


def embeddings(rows: int, classes: int, seed: int) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    rng = np.random.default_rng(seed)
    prompts = rng.standard_normal((classes, 8))
    prompts /= np.linalg.norm(prompts, axis=1, keepdims=True)
    own = rng.integers(classes, size=rows)
    images = prompts[own] + 0.5 * rng.standard_normal((rows, 8))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    return {"image": images, "class": prompts[own]}, [{"class": f"class {one}"} for one in own]


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_naive_nearest_class(seed: int) -> None:
    predictions, references = embeddings(50, 7, seed)
    prompts = {one["class"]: row for one, row in zip(references, predictions["class"], strict=True)}
    right = [
        max(prompts, key=lambda name: float(image @ prompts[name])) == one["class"]
        for image, one in zip(predictions["image"], references, strict=True)
    ]
    assert zero_shot.statistics(predictions, references)[""][0].mean() == pytest.approx(np.mean(right))


def test_constant_embeddings_know_nothing() -> None:
    predictions, references = embeddings(20, 4, 0)
    constant = {name: np.ones_like(value) / np.sqrt(8) for name, value in predictions.items()}
    assert zero_shot.statistics(constant, references)[""][0].sum() == 0


def test_what_cannot_be_compared_is_refused() -> None:
    predictions, references = embeddings(20, 4, 0)
    with pytest.raises(ValueError, match="8 dimensions, class embeddings 7"):
        zero_shot.statistics(predictions | {"class": predictions["class"][:, :7]}, references)
    with pytest.raises(ValueError, match="for 19 references"):
        zero_shot.statistics(predictions, references[1:])


def test_evaluate_loads_it_by_path() -> None:
    predictions, references = embeddings(20, 4, 1)
    metric = evaluate.load(str(Path(zero_shot.__file__)))
    rows = [{"image": image, "class": own} for image, own in zip(*predictions.values(), strict=True)]
    expected = zero_shot.statistics(predictions, references)[""][0].mean()
    assert metric.compute(predictions=rows, references=references)["zero_shot"] == pytest.approx(expected)
