import tracemalloc
from typing import Any

import numpy as np
import pytest

from hfmm.metrics import retrieval
from hfmm.metrics.retrieval import DIRECTIONS

CAPTIONS = {"a": ["one", "both", "first"], "b": ["two", "both"], "c": ["three", "all"], "d": ["four", "all", "both"]}


def rows(count: int, seed: int, width: int = 8) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    generator = np.random.default_rng(seed)
    groups = generator.choice(list(CAPTIONS), count)
    references: list[dict[str, Any]] = [
        {"text": str(generator.choice(CAPTIONS[group])), "captions": CAPTIONS[group], "group": str(group)}
        for group in groups
    ]
    vectors = {text: generator.standard_normal(width) for group in CAPTIONS.values() for text in group}
    texts = np.array([vectors[row["text"]] for row in references])
    images = texts + generator.standard_normal((count, width))
    return {"image": images.astype(np.float32), "text": texts.astype(np.float32)}, references


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(float), b.astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def naive_rank(query: np.ndarray, positives: list[np.ndarray], negatives: list[np.ndarray]) -> int:
    if not positives:
        return 0
    best = max(cosine(query, positive) for positive in positives)
    return 1 + sum(cosine(query, negative) >= best - 1e-6 for negative in negatives)


def naive_ranks(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, list[int]]:
    images, texts = predictions["image"], predictions["text"]
    vector = {row["text"]: texts[index] for index, row in enumerate(references)}
    ranks: dict[str, list[int]] = {direction: [] for direction in DIRECTIONS}
    for index, row in enumerate(references):
        related_texts = {text for other in references if row["text"] in other["captions"] for text in other["captions"]}
        queries = {
            "image->text": (images[index], [(vector[text], text in row["captions"]) for text in vector]),
            "text->image": (
                texts[index],
                [(images[j], row["text"] in other["captions"]) for j, other in enumerate(references)],
            ),
            "image->image": (
                images[index],
                [(images[j], row["group"] == other["group"]) for j, other in enumerate(references) if j != index],
            ),
            "text->text": (
                texts[index],
                [(vector[text], text in related_texts) for text in vector if text != row["text"]],
            ),
        }
        for direction, (query, candidates) in queries.items():
            positives = [candidate for candidate, is_relevant in candidates if is_relevant]
            negatives = [candidate for candidate, is_relevant in candidates if not is_relevant]
            ranks[direction].append(naive_rank(query, positives, negatives))
    return ranks


@pytest.mark.parametrize("seed", range(5))
def test_every_direction_equals_naive_ranks(seed: int) -> None:
    predictions, references = rows(40, seed)
    slices = retrieval.row_statistics(predictions, references)
    expected = {direction: np.array(ranks) for direction, ranks in naive_ranks(predictions, references).items()}
    for direction, ranks in expected.items():
        has_relevant = ranks > 0
        for cutoff in (1, 5, 10):
            numerators, denominators = slices[f"{direction} R@{cutoff}"]
            assert numerators.tolist() == ((ranks <= cutoff) & has_relevant).tolist()
            assert denominators.tolist() == has_relevant.tolist()
        numerators, _ = slices[f"{direction} MRR"]
        assert numerators == pytest.approx([1 / rank if rank else 0 for rank in ranks])
    recalls_at_1 = [np.mean(expected[direction] == 1) for direction in ("image->text", "text->image")]
    numerators, denominators = slices[""]
    assert numerators.sum() / denominators.sum() == pytest.approx(np.mean(recalls_at_1))
    assert next(iter(slices)) == ""


def test_only_the_recalls_are_shown_in_percent() -> None:
    names = [*retrieval.row_statistics(*rows(40, 0)), *retrieval.weighted_scores(*rows(40, 0))]
    assert {name for name in names if not name or "R@" in name} == retrieval.PERCENT
    assert len(retrieval.PERCENT) == 13 and len(names) == 21


def test_other_relevant_candidates_do_not_lower_the_rank() -> None:
    query = np.array([[1.0, 0.0]])
    candidates = np.array([[1.0, 0.3], [1.0, 0.2], [1.0, 0.1], [1.0, 0.0]])
    assert retrieval.ranks(query, candidates, [np.array([0, 1])]).tolist() == [3]
    assert retrieval.ranks(query, candidates, [np.array([0, 2, 3])]).tolist() == [1]


@pytest.mark.parametrize(("queries", "candidates"), [(3, 5), (7, 33), (13, 1000), (64, 1501)])
def test_constant_embeddings_have_the_last_rank_at_every_index(queries: int, candidates: int) -> None:
    generator = np.random.default_rng(0)
    constant = np.repeat(generator.standard_normal((1, 512), dtype=np.float32), candidates, axis=0)
    random_queries = generator.standard_normal((queries, 512), dtype=np.float32)
    for index in (0, candidates // 2, candidates - 1):
        assert (retrieval.ranks(random_queries, constant, [np.array([index])] * queries) == candidates).all()


def test_exclude_self_ignores_the_query_as_candidate() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    relevant = [np.array([0, 2]), np.array([1]), np.array([0, 2])]
    assert retrieval.ranks(vectors, vectors, relevant, exclude_self=True).tolist() == [2, 0, 2]


def test_row_without_relevant_candidates_is_not_counted() -> None:
    predictions, references = rows(12, 0)
    references[0] = references[0] | {"group": "alone"}
    assert retrieval.row_statistics(predictions, references)["image->image R@1"][1].tolist() == [0] + [1] * 11


def test_direction_without_relevant_candidates_has_no_slice() -> None:
    predictions = {"image": np.eye(3), "text": np.eye(3)}
    references = [{"text": name, "captions": [name], "group": name} for name in "abc"]
    slices = retrieval.row_statistics(predictions, references)
    assert {name.split(" ")[0] for name in slices} == {"", "image->text", "text->image"}
    assert all((numerators == denominators).all() for numerators, denominators in slices.values())


def test_ranks_are_invariant_to_rotation_and_scaling() -> None:
    predictions, references = rows(60, 1)
    generator = np.random.default_rng(2)
    rotation, _ = np.linalg.qr(generator.standard_normal((8, 8)))
    transformed = {name: vectors @ rotation for name, vectors in predictions.items()}
    transformed["image"] = transformed["image"] * generator.uniform(0.1, 10, (60, 1))
    before, after = (retrieval.ranks_by_direction(inputs, references) for inputs in (predictions, transformed))
    assert all((before[name] == after[name]).all() for name in DIRECTIONS)


def test_ranks_do_not_depend_on_row_order() -> None:
    predictions, references = rows(60, 3)
    order = np.random.default_rng(4).permutation(60)
    before = retrieval.ranks_by_direction(predictions, references)
    shuffled = {name: vectors[order] for name, vectors in predictions.items()}
    after = retrieval.ranks_by_direction(shuffled, [references[index] for index in order])
    assert all((before[name][order] == after[name]).all() for name in DIRECTIONS)


def test_ranks_do_not_depend_on_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, references = rows(100, 5)
    before = retrieval.ranks_by_direction(predictions, references)
    for limits in ({"BLOCK_ROWS": 7}, {"BLOCK_FLOATS": 1}):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(retrieval, name, value)
            after = retrieval.ranks_by_direction(predictions, references)
        assert all((before[name] == after[name]).all() for name in DIRECTIONS)


def test_memory_is_limited_to_a_candidate_copy_and_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK_FLOATS", 2**20)
    vectors = np.random.default_rng(0).standard_normal((6000, 32), dtype=np.float32)
    relevant = [np.array([index]) for index in range(len(vectors))]
    tracemalloc.start()
    retrieval.ranks(vectors, vectors, relevant)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < vectors.nbytes + 4 * 2**20 + 2**20  # the full matrix would be 137 MiB


@pytest.mark.parametrize("seed", range(3))
def test_weighted_median_rank_equals_that_of_repeated_rows(seed: int) -> None:
    predictions, references = rows(50, seed)
    weights = np.random.default_rng(seed).integers(0, 4, 50)
    medians = retrieval.weighted_scores(predictions, references)
    for direction, ranks in naive_ranks(predictions, references).items():
        repeated = np.repeat(ranks, weights)
        assert medians[f"{direction} median rank"](weights.astype(float)) == np.median(repeated[repeated > 0])


def test_median_rank_of_zero_weights_is_nan() -> None:
    predictions, references = rows(10, 0)
    assert np.isnan(retrieval.weighted_scores(predictions, references)["image->text median rank"](np.zeros(10)))


def with_invalid_row(name: str, value: float) -> dict[str, np.ndarray]:
    predictions, _ = rows(6, 0)
    predictions[name][4] = value
    return predictions


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (with_invalid_row("image", np.nan), "the image embedding of row 4 contains NaN or infinity"),
        (with_invalid_row("text", np.inf), "the text embedding of row 4 contains NaN or infinity"),
        (with_invalid_row("text", 0), "the text embedding of row 4 is zero"),
        ({"image": np.ones((6, 3)), "text": np.ones((6, 4))}, "image embeddings have 3 dimensions, text embeddings 4"),
        ({"image": np.ones((5, 3)), "text": np.ones((6, 3))}, "5 image and 6 text embeddings for 6 references"),
    ],
)
def test_invalid_embeddings_are_reported(predictions: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retrieval.row_statistics(predictions, rows(6, 0)[1])


def test_single_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2 rows, not 1"):
        retrieval.row_statistics({"image": np.ones((1, 2)), "text": np.ones((1, 2))}, rows(1, 0)[1])


def test_text_that_is_not_a_caption_of_its_row_is_an_error() -> None:
    predictions, references = rows(6, 0)
    references[2] = references[2] | {"text": "odd"}
    with pytest.raises(ValueError, match="row 2: its text 'odd' is not among its captions"):
        retrieval.row_statistics(predictions, references)


def test_evaluate_loads_the_metric_by_path_offline_without_hfmm(compute_offline: Any) -> None:
    references = [{"text": name, "captions": [name, "any"], "group": name} for name in "abb"]
    vectors = [{"image": [1.0, index], "text": [1.0, index]} for index in (0.0, 1.0, 1.0)]
    scores = compute_offline(retrieval, vectors, references)
    names = ("mean R@1", "image->image R@1", "image->text median rank")
    assert [scores[name] for name in names] == [1, 1, 1]
