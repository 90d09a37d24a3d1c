from typing import Any

import numpy as np
import pytest

from hfmm.metrics import zero_shot


def embeddings(rows: int, classes: int, seed: int) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
    rng = np.random.default_rng(seed)
    prompts = rng.standard_normal((classes, 8))
    prompts /= np.linalg.norm(prompts, axis=1, keepdims=True)
    class_ids = rng.integers(classes, size=rows)
    images = prompts[class_ids] + 0.5 * rng.standard_normal((rows, 8))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    return {"image": images, "class": prompts[class_ids]}, [{"class": f"class {index}"} for index in class_ids]


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_equals_naive_nearest_class(seed: int) -> None:
    predictions, references = embeddings(50, 7, seed)
    prompts = {row["class"]: prompt for row, prompt in zip(references, predictions["class"], strict=True)}
    is_correct = [
        max(prompts, key=lambda name: float(image @ prompts[name])) == row["class"]
        for image, row in zip(predictions["image"], references, strict=True)
    ]
    assert zero_shot.row_statistics(predictions, references)[""][0].mean() == pytest.approx(np.mean(is_correct))


def test_constant_embeddings_score_zero() -> None:
    predictions, references = embeddings(20, 4, 0)
    constant = {name: np.ones_like(value) / np.sqrt(8) for name, value in predictions.items()}
    assert zero_shot.row_statistics(constant, references)[""][0].sum() == 0


def test_embeddings_that_do_not_match_are_an_error() -> None:
    predictions, references = embeddings(20, 4, 0)
    with pytest.raises(ValueError, match="8 dimensions, class embeddings 7"):
        zero_shot.row_statistics(predictions | {"class": predictions["class"][:, :7]}, references)
    with pytest.raises(ValueError, match="for 19 references"):
        zero_shot.row_statistics(predictions, references[1:])


@pytest.mark.parametrize("name", ["image", "class"])
@pytest.mark.parametrize(("value", "problem"), [(np.nan, "contains NaN or infinity"), (0, "is zero")])
def test_embeddings_without_a_direction_are_an_error(name: str, value: float, problem: str) -> None:
    predictions, references = embeddings(20, 4, 0)
    predictions[name][3] = value
    with pytest.raises(ValueError, match=f"the {name} embedding of row 3 {problem}"):
        zero_shot.row_statistics(predictions, references)


def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(compute_offline: Any) -> None:
    predictions, references = embeddings(20, 4, 1)
    pairs = zip(*predictions.values(), strict=True)
    rows = [{"image": image.tolist(), "class": prompt.tolist()} for image, prompt in pairs]
    expected = zero_shot.row_statistics(predictions, references)[""][0].mean()
    assert compute_offline(zero_shot, rows, references) == {"zero_shot": pytest.approx(expected)}
