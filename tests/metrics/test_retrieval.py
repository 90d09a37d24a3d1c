import tracemalloc
from typing import Any

import numpy as np
import pytest

from hfmm.metrics import retrieval

DIRECTIONS = ("image->text", "text->image", "image->image", "text->text")
CAPTIONS = {"a": ["one", "both", "first"], "b": ["two", "both"], "c": ["three", "all"], "d": ["four", "all", "both"]}


def rows(count: int, seed: int, width: int = 8) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    generator = np.random.default_rng(seed)
    groups = generator.choice(list(CAPTIONS), count)
    references: list[dict[str, Any]] = [
        {"text": str(generator.choice(CAPTIONS[group])), "captions": CAPTIONS[group], "group": str(group)}
        for group in groups
    ]
    meaning = {text: generator.standard_normal(width) for group in CAPTIONS.values() for text in group}
    texts = np.array([meaning[row["text"]] for row in references])
    images = texts + generator.standard_normal((count, width))
    return {"image": images.astype(np.float32), "text": texts.astype(np.float32)}, references


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(float), other.astype(float)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def rank_by_hand(query: np.ndarray, right: list[np.ndarray], wrong: list[np.ndarray]) -> int:
    if not right:
        return 0
    best = max(cosine(query, one) for one in right)
    return 1 + sum(cosine(query, one) >= best - 1e-6 for one in wrong)


def ranks_by_hand(predictions: dict[str, np.ndarray], references: list[dict[str, Any]]) -> dict[str, list[int]]:
    images, texts = predictions["image"], predictions["text"]
    vector = {row["text"]: texts[index] for index, row in enumerate(references)}
    found: dict[str, list[int]] = {name: [] for name in DIRECTIONS}
    for index, row in enumerate(references):
        together = {text for other in references if row["text"] in other["captions"] for text in other["captions"]}
        judged = {
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
                [(vector[text], text in together) for text in vector if text != row["text"]],
            ),
        }
        for name, (query, candidates) in judged.items():
            right = [one for one, is_right in candidates if is_right]
            wrong = [one for one, is_right in candidates if not is_right]
            found[name].append(rank_by_hand(query, right, wrong))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_every_direction_equals_counting_by_hand(seed: int) -> None:
    predictions, references = rows(40, seed)
    slices = retrieval.row_statistics(predictions, references)
    by_hand = {name: np.array(found) for name, found in ranks_by_hand(predictions, references).items()}
    for name, found in by_hand.items():
        asked = found > 0
        for cutoff in (1, 5, 10):
            tops, bottoms = slices[f"{name} R@{cutoff}"]
            assert tops.tolist() == ((found <= cutoff) & asked).tolist()
            assert bottoms.tolist() == asked.tolist()
        tops, _ = slices[f"{name} MRR"]
        assert tops == pytest.approx([1 / one if one else 0 for one in found])
    first = [np.mean(by_hand[name] == 1) for name in ("image->text", "text->image")]
    tops, bottoms = slices[""]
    assert tops.sum() / bottoms.sum() == pytest.approx(np.mean(first))
    assert next(iter(slices)) == ""


def test_any_relevant_candidate_will_do_and_other_relevant_ones_do_not_push_it_down() -> None:
    query = np.array([[1.0, 0.0]])
    candidates = np.array([[1.0, 0.3], [1.0, 0.2], [1.0, 0.1], [1.0, 0.0]])
    assert retrieval.ranks(query, candidates, [np.array([0, 1])]).tolist() == [3]
    assert retrieval.ranks(query, candidates, [np.array([0, 2, 3])]).tolist() == [1]


@pytest.mark.parametrize(("queries", "candidates"), [(3, 5), (7, 33), (13, 1000), (64, 1501)])
def test_constant_embeddings_find_nothing_wherever_a_candidate_stands(queries: int, candidates: int) -> None:
    generator = np.random.default_rng(0)
    same = np.repeat(generator.standard_normal((1, 512), dtype=np.float32), candidates, axis=0)
    different = generator.standard_normal((queries, 512), dtype=np.float32)
    for place in (0, candidates // 2, candidates - 1):
        assert (retrieval.ranks(different, same, [np.array([place])] * queries) == candidates).all()


def test_a_query_leaves_itself_out_of_both_sides() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    everyone = [np.array([0, 2]), np.array([1]), np.array([0, 2])]
    assert retrieval.ranks(vectors, vectors, everyone, exclude_self=True).tolist() == [2, 0, 2]


def test_a_row_with_nothing_to_find_is_not_counted() -> None:
    predictions, references = rows(12, 0)
    references[0] = references[0] | {"group": "alone"}
    assert retrieval.row_statistics(predictions, references)["image->image R@1"][1].tolist() == [0] + [1] * 11


def test_a_direction_in_which_nobody_is_asked_has_no_slice() -> None:
    predictions = {"image": np.eye(3), "text": np.eye(3)}
    references = [{"text": name, "captions": [name], "group": name} for name in "abc"]
    slices = retrieval.row_statistics(predictions, references)
    assert {name.split(" ")[0] for name in slices} == {"", "image->text", "text->image"}
    assert all((tops == bottoms).all() for tops, bottoms in slices.values())


def test_a_common_rotation_and_any_lengths_change_nothing() -> None:
    predictions, references = rows(60, 1)
    generator = np.random.default_rng(2)
    rotation, _ = np.linalg.qr(generator.standard_normal((8, 8)))
    turned = {name: one @ rotation for name, one in predictions.items()}
    turned["image"] = turned["image"] * generator.uniform(0.1, 10, (60, 1))
    before, after = (retrieval.ranks_by_direction(one, references) for one in (predictions, turned))
    assert all((before[name] == after[name]).all() for name in DIRECTIONS)


def test_the_order_of_the_rows_changes_nothing() -> None:
    predictions, references = rows(60, 3)
    order = np.random.default_rng(4).permutation(60)
    before = retrieval.ranks_by_direction(predictions, references)
    shuffled = {name: one[order] for name, one in predictions.items()}
    after = retrieval.ranks_by_direction(shuffled, [references[index] for index in order])
    assert all((before[name][order] == after[name]).all() for name in DIRECTIONS)


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, references = rows(100, 5)
    before = retrieval.ranks_by_direction(predictions, references)
    for limits in ({"BLOCK_ROWS": 7}, {"BLOCK_FLOATS": 1}):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(retrieval, name, value)
            after = retrieval.ranks_by_direction(predictions, references)
        assert all((before[name] == after[name]).all() for name in DIRECTIONS)


def test_memory_is_one_copy_of_the_candidates_and_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "BLOCK_FLOATS", 2**20)
    vectors = np.random.default_rng(0).standard_normal((6000, 32), dtype=np.float32)
    relevant = [np.array([index]) for index in range(len(vectors))]
    tracemalloc.start()
    retrieval.ranks(vectors, vectors, relevant)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < vectors.nbytes + 4 * 2**20 + 2**20  # the full matrix would be 137 MiB


@pytest.mark.parametrize("seed", range(3))
def test_the_weighted_median_rank_is_that_of_repeated_rows(seed: int) -> None:
    predictions, references = rows(50, seed)
    weights = np.random.default_rng(seed).integers(0, 4, 50)
    medians = retrieval.weighted_scores(predictions, references)
    for name, found in ranks_by_hand(predictions, references).items():
        repeated = np.repeat(found, weights)
        assert medians[f"{name} median rank"](weights.astype(float)) == np.median(repeated[repeated > 0])


def test_the_median_of_no_rows_is_not_a_number() -> None:
    predictions, references = rows(10, 0)
    assert np.isnan(retrieval.weighted_scores(predictions, references)["image->text median rank"](np.zeros(10)))


def spoil(name: str, value: float) -> dict[str, np.ndarray]:
    predictions, _ = rows(6, 0)
    predictions[name][4] = value
    return predictions


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (spoil("image", np.nan), "the image embedding of row 4 holds NaN or infinity"),
        (spoil("text", np.inf), "the text embedding of row 4 holds NaN or infinity"),
        (spoil("text", 0), "the text embedding of row 4 is zero"),
        ({"image": np.ones((6, 3)), "text": np.ones((6, 4))}, "image embeddings have 3 dimensions, text embeddings 4"),
        ({"image": np.ones((5, 3)), "text": np.ones((6, 3))}, "5 image and 6 text embeddings for 6 references"),
    ],
)
def test_what_cannot_be_scored_is_named(predictions: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retrieval.row_statistics(predictions, rows(6, 0)[1])


def test_one_row_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least 2 rows, not 1"):
        retrieval.row_statistics({"image": np.ones((1, 2)), "text": np.ones((1, 2))}, rows(1, 0)[1])


def test_a_text_that_is_no_caption_of_its_row_is_named() -> None:
    predictions, references = rows(6, 0)
    references[2] = references[2] | {"text": "odd"}
    with pytest.raises(ValueError, match="row 2: its text 'odd' is not among its captions"):
        retrieval.row_statistics(predictions, references)


def test_evaluate_loads_it_by_path_without_network_and_without_hfmm(alone: Any) -> None:
    rows = [{"text": name, "captions": [name, "any"], "group": name} for name in "abb"]
    vectors = [{"image": [1.0, index], "text": [1.0, index]} for index in (0.0, 1.0, 1.0)]
    scores = alone(retrieval, vectors, rows)
    names = ("mean R@1", "image->image R@1", "image->text median rank")
    assert [scores[name] for name in names] == [1, 1, 1]
