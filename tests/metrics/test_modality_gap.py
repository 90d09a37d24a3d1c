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
    return np.array([one / math.sqrt(sum(value**2 for value in one)) for one in vectors])


def scores(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, float]:
    ones = np.ones(len(references))
    slices = modality_gap.row_statistics(predictions, references)
    return {name: top.sum() / bottom.sum() for name, (top, bottom) in slices.items()} | {
        name: measure(ones) for name, measure in modality_gap.weighted_scores(predictions, references).items()
    }


def uniformity(vectors: np.ndarray) -> float:
    distances = [
        np.sum((one - other) ** 2) for i, one in enumerate(vectors) for j, other in enumerate(vectors) if i != j
    ]
    return math.log(np.mean(np.exp(-2 * np.array(distances))))


@pytest.mark.parametrize("seed", range(3))
def test_the_measures_equal_their_definitions(seed: int) -> None:
    predictions, references = pairs(30, seed)
    images, texts = unit(predictions["image"]), unit(predictions["text"])
    centres = images.mean(axis=0), texts.mean(axis=0)
    expected = {
        "paired cosine": np.mean([images[i] @ texts[i] for i in range(30)]),
        "unpaired cosine": np.mean([images[i] @ texts[j] for i in range(30) for j in range(30) if i != j]),
        "alignment": np.mean([np.sum((images[i] - texts[i]) ** 2) for i in range(30)]),
        "distance": np.linalg.norm(centres[0] - centres[1]),
        "cosine distance": 1 - centres[0] @ centres[1] / np.linalg.norm(centres[0]) / np.linalg.norm(centres[1]),
        "uniformity image": uniformity(images),
        "uniformity text": uniformity(texts),
    }
    found = scores(predictions, references)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_clouds_far_apart_are_told_apart_and_equal_ones_are_not() -> None:
    assert scores(*pairs(200, 0, gap=50))["separability"] == 1
    predictions, references = pairs(200, 0)
    same = {"image": predictions["image"], "text": predictions["image"]}
    assert scores(same, references)["separability"] == 0.5
    assert scores(same, references)["distance"] == 0


def test_separability_is_close_to_the_best_that_is_possible() -> None:
    generator = np.random.default_rng(0)
    angles = np.concatenate([generator.normal(0.5, 0.5, 4000), generator.normal(-0.5, 0.5, 4000)])
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    predictions = {"image": circle[:4000], "text": circle[4000:]}
    references = [{"group": str(index)} for index in range(4000)]
    best = (1 + math.erf(1 / math.sqrt(2))) / 2
    assert scores(predictions, references)["separability"] == pytest.approx(best, abs=0.015)


def test_only_held_out_groups_count_for_separability() -> None:
    predictions, references = pairs(40, 1)
    tops, bottoms = modality_gap.row_statistics(predictions, references)["separability"]
    groups = sorted({row["group"] for row in references})
    assert bottoms.tolist() == [float(groups.index(row["group"]) % 2) for row in references]
    assert (tops <= bottoms).all()


def test_more_dimensions_than_rows_can_be_separated() -> None:
    assert 0 <= scores(*pairs(12, 2, width=64))["separability"] <= 1


def test_one_group_alone_has_no_separability() -> None:
    predictions, _ = pairs(10, 0)
    assert "separability" not in modality_gap.row_statistics(predictions, [{"group": "a"}] * 10)


def test_a_common_rotation_and_any_lengths_change_nothing() -> None:
    predictions, references = pairs(80, 3)
    generator = np.random.default_rng(4)
    rotation, _ = np.linalg.qr(generator.standard_normal((6, 6)))
    turned = {name: one @ rotation * generator.uniform(0.1, 10, (80, 1)) for name, one in predictions.items()}
    assert scores(turned, references) == pytest.approx(scores(predictions, references), abs=1e-5)


def test_weights_count_rows_repeatedly_for_the_centroids() -> None:
    predictions, references = pairs(30, 5)
    weights = np.random.default_rng(6).integers(0, 4, 30)
    repeated = {name: np.repeat(one, weights, axis=0) for name, one in predictions.items()}
    again = [row for row, times in zip(references, weights, strict=True) for _ in range(times)]
    measures = modality_gap.weighted_scores(predictions, references)
    for name in ("distance", "cosine distance"):
        assert measures[name](weights.astype(float)) == pytest.approx(scores(repeated, again)[name], abs=1e-5)


def test_uniformity_varies_over_replicates_as_the_whole_sum_over_pairs_does() -> None:
    predictions, references = pairs(300, 7)
    images = unit(predictions["image"])
    kernel = np.exp(4 * images @ images.T - 4)
    np.fill_diagonal(kernel, 0)
    measure = modality_gap.weighted_scores(predictions, references)["uniformity image"]
    draws = np.random.default_rng(8).multinomial(300, np.full(300, 1 / 300), size=400).astype(float)
    exact = [math.log(draw @ kernel @ draw / (draw.sum() ** 2 - draw @ draw)) for draw in draws]
    ours = [measure(draw) for draw in draws]
    assert np.std(ours) == pytest.approx(np.std(exact), rel=0.1)
    assert np.corrcoef(ours, exact)[0, 1] > 0.98


def test_the_size_of_a_block_changes_nothing_and_bounds_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, references = pairs(3000, 9, width=16)
    before = scores(predictions, references)
    monkeypatch.setattr(modality_gap, "BLOCK_FLOATS", 2**17)
    tracemalloc.start()
    after = scores(predictions, references)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after == pytest.approx(before, abs=1e-6)
    assert peak < 4 * 2**20  # all pairs would be 34 MiB


def spoil(name: str, value: float) -> dict[str, np.ndarray]:
    predictions, _ = pairs(6, 0)
    predictions[name][4] = value
    return predictions


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (spoil("image", np.nan), "the image embedding of row 4 holds NaN or infinity"),
        (spoil("text", np.inf), "the text embedding of row 4 holds NaN or infinity"),
        (spoil("text", 0), "the text embedding of row 4 is zero"),
        ({"image": np.ones((6, 3)), "text": np.ones((6, 4))}, "image embeddings have 3 dimensions, text embeddings 4"),
        ({"image": np.ones((5, 3)), "text": np.ones((6, 3))}, "5 image embeddings are no pairs with 6 text embeddings"),
        ({"image": np.ones((1, 3)), "text": np.ones((1, 3))}, "at least 2 rows, not 1"),
        (pairs(5, 0)[0], "5 pairs of embeddings for 6 references"),
    ],
)
def test_what_cannot_be_measured_is_named(predictions: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        modality_gap.row_statistics(predictions, [{"group": "a"}] * 6)


def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(alone: Any) -> None:
    vectors = [{"image": [1.0, index], "text": [index, 1.0]} for index in (0.0, 0.1, 0.2)]
    names = ["alignment", "cosine distance", "distance", "paired cosine", "separability"]
    names += ["uniformity image", "uniformity text", "unpaired cosine"]
    assert sorted(alone(modality_gap, vectors, [{"group": name} for name in "abc"])) == names
