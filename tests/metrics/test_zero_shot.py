from typing import Any

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
    assert zero_shot.row_statistics(predictions, references)[""][0].mean() == pytest.approx(np.mean(right))


def test_constant_embeddings_know_nothing() -> None:
    predictions, references = embeddings(20, 4, 0)
    constant = {name: np.ones_like(value) / np.sqrt(8) for name, value in predictions.items()}
    assert zero_shot.row_statistics(constant, references)[""][0].sum() == 0


def test_what_cannot_be_compared_is_refused() -> None:
    predictions, references = embeddings(20, 4, 0)
    with pytest.raises(ValueError, match="8 dimensions, class embeddings 7"):
        zero_shot.row_statistics(predictions | {"class": predictions["class"][:, :7]}, references)
    with pytest.raises(ValueError, match="for 19 references"):
        zero_shot.row_statistics(predictions, references[1:])


@pytest.mark.parametrize("name", ["image", "class"])
@pytest.mark.parametrize(("value", "what"), [(np.nan, "holds NaN or infinity"), (0, "is zero")])
def test_embeddings_without_a_direction_are_refused(name: str, value: float, what: str) -> None:
    predictions, references = embeddings(20, 4, 0)
    predictions[name][3] = value
    with pytest.raises(ValueError, match=f"the {name} embedding of row 3 {what}"):
        zero_shot.row_statistics(predictions, references)


def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(alone: Any) -> None:
    predictions, references = embeddings(20, 4, 1)
    rows = [{"image": image.tolist(), "class": own.tolist()} for image, own in zip(*predictions.values(), strict=True)]
    expected = zero_shot.row_statistics(predictions, references)[""][0].mean()
    assert alone(zero_shot, rows, references) == {"zero_shot": pytest.approx(expected)}
