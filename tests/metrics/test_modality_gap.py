import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from hfmm.metrics import modality_gap


def pairs(
    count: int, seed: int, gap: float = 1.0, width: int = 6
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    generator = np.random.default_rng(seed)
    images, texts = generator.standard_normal((2, count, width))
    images[:, 0] += gap
    texts[:, 0] -= gap
    return {"image": images, "text": texts}, [{"group": f"{index % 10}"} for index in range(count)]


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.array([vector / math.sqrt(sum(value**2 for value in vector)) for vector in vectors])


def scores(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, float]:
    ones = np.ones(len(references))
    slices = modality_gap.row_statistics(predictions, references)
    ratios = {name: numerators.sum() / denominators.sum() for name, (numerators, denominators) in slices.items()}
    weighted_scores = modality_gap.weighted_scores(predictions, references)
    return ratios | {name: score(ones) for name, score in weighted_scores.items()}


def uniformity(vectors: np.ndarray) -> float:
    distances = [np.sum((a - b) ** 2) for i, a in enumerate(vectors) for j, b in enumerate(vectors) if i != j]
    return math.log(np.mean(np.exp(-2 * np.array(distances))))


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_their_definitions(seed: int) -> None:
    predictions, references = pairs(30, seed)
    images, texts = unit(predictions["image"]), unit(predictions["text"])
    centroids = images.mean(axis=0), texts.mean(axis=0)
    expected = {
        "paired cosine": np.mean([images[i] @ texts[i] for i in range(30)]),
        "unpaired cosine": np.mean([images[i] @ texts[j] for i in range(30) for j in range(30) if i != j]),
        "alignment": np.mean([np.sum((images[i] - texts[i]) ** 2) for i in range(30)]),
        "distance": np.linalg.norm(centroids[0] - centroids[1]),
        "cosine distance": 1 - centroids[0] @ centroids[1] / np.prod(np.linalg.norm(centroids, axis=1)),
        "uniformity image": uniformity(images),
        "uniformity text": uniformity(texts),
    }
    actual = scores(predictions, references)
    assert {name: actual[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_separability_of_distant_and_identical_embeddings() -> None:
    assert scores(*pairs(200, 0, gap=50))["separability"] == 1
    predictions, references = pairs(200, 0)
    identical = {"image": predictions["image"], "text": predictions["image"]}
    assert scores(identical, references)["separability"] == 0.5
    assert scores(identical, references)["distance"] == 0


def test_separability_is_close_to_the_optimum() -> None:
    generator = np.random.default_rng(0)
    angles = np.concatenate([generator.normal(0.5, 0.5, 4000), generator.normal(-0.5, 0.5, 4000)])
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    predictions = {"image": circle[:4000], "text": circle[4000:]}
    references = [{"group": str(index)} for index in range(4000)]
    optimum = (1 + math.erf(1 / math.sqrt(2))) / 2
    assert scores(predictions, references)["separability"] == pytest.approx(optimum, abs=0.015)


def test_separability_counts_only_held_out_groups() -> None:
    predictions, references = pairs(40, 1)
    numerators, denominators = modality_gap.row_statistics(predictions, references)["separability"]
    groups = sorted({row["group"] for row in references})
    assert denominators.tolist() == [float(groups.index(row["group"]) % 2) for row in references]
    assert (numerators <= denominators).all()


def test_separability_with_more_dimensions_than_rows() -> None:
    assert 0 <= scores(*pairs(12, 2, width=64))["separability"] <= 1


def test_single_group_has_no_separability() -> None:
    predictions, _ = pairs(10, 0)
    assert "separability" not in modality_gap.row_statistics(predictions, [{"group": "a"}] * 10)


def test_scores_are_invariant_to_rotation_and_scaling() -> None:
    predictions, references = pairs(80, 3)
    generator = np.random.default_rng(4)
    rotation, _ = np.linalg.qr(generator.standard_normal((6, 6)))
    transformed = {
        name: vectors @ rotation * generator.uniform(0.1, 10, (80, 1)) for name, vectors in predictions.items()
    }
    assert scores(transformed, references) == pytest.approx(scores(predictions, references), abs=1e-5)


def test_weighted_distances_equal_those_of_repeated_rows() -> None:
    predictions, references = pairs(30, 5)
    weights = np.random.default_rng(6).integers(0, 4, 30)
    repeated = {name: np.repeat(vectors, weights, axis=0) for name, vectors in predictions.items()}
    repeated_references = [row for row, count in zip(references, weights, strict=True) for _ in range(count)]
    weighted_scores = modality_gap.weighted_scores(predictions, references)
    expected = scores(repeated, repeated_references)
    for name in ("distance", "cosine distance"):
        assert weighted_scores[name](weights.astype(float)) == pytest.approx(expected[name], abs=1e-5)


def test_resampled_uniformity_is_close_to_the_exact_value() -> None:
    predictions, references = pairs(300, 7)
    images = unit(predictions["image"])
    kernel = np.exp(4 * images @ images.T - 4)
    np.fill_diagonal(kernel, 0)
    score = modality_gap.weighted_scores(predictions, references)["uniformity image"]
    draws = np.random.default_rng(8).multinomial(300, np.full(300, 1 / 300), size=400).astype(float)
    exact = [math.log(draw @ kernel @ draw / (draw.sum() ** 2 - draw @ draw)) for draw in draws]
    approximate = [score(draw) for draw in draws]
    assert np.std(approximate) == pytest.approx(np.std(exact), rel=0.1)
    assert np.corrcoef(approximate, exact)[0, 1] > 0.98


def test_block_size_limits_memory_and_keeps_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, references = pairs(3000, 9, width=16)
    before = scores(predictions, references)
    monkeypatch.setattr(modality_gap, "BLOCK_FLOATS", 2**17)
    tracemalloc.start()
    after = scores(predictions, references)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after == pytest.approx(before, abs=1e-6)
    assert peak < 4 * 2**20  # all pairs would be 34 MiB


def with_invalid_row(name: str, value: float) -> dict[str, np.ndarray]:
    predictions, _ = pairs(6, 0)
    predictions[name][4] = value
    return predictions


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (with_invalid_row("image", np.nan), "the image embedding of row 4 contains NaN or infinity"),
        (with_invalid_row("text", np.inf), "the text embedding of row 4 contains NaN or infinity"),
        (with_invalid_row("text", 0), "the text embedding of row 4 is zero"),
        ({"image": np.ones((6, 3)), "text": np.ones((6, 4))}, "image embeddings have 3 dimensions, text embeddings 4"),
        (
            {"image": np.ones((5, 3)), "text": np.ones((6, 3))},
            "5 image embeddings and 6 text embeddings do not form pairs",
        ),
        ({"image": np.ones((1, 3)), "text": np.ones((1, 3))}, "at least 2 rows, not 1"),
        (pairs(5, 0)[0], "5 pairs of embeddings for 6 references"),
    ],
)
def test_invalid_embeddings_are_reported(predictions: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        modality_gap.row_statistics(predictions, [{"group": "a"}] * 6)


def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(compute_offline: Any) -> None:
    vectors = [{"image": [1.0, index], "text": [index, 1.0]} for index in (0.0, 0.1, 0.2)]
    names = ["alignment", "cosine distance", "distance", "paired cosine", "separability"]
    names += ["uniformity image", "uniformity text", "unpaired cosine"]
    assert sorted(compute_offline(modality_gap, vectors, [{"group": name} for name in "abc"])) == names
