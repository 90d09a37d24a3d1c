import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForZeroShotImageClassification, AutoProcessor

from hfmm.assets import CHECKPOINTS
from hfmm.data.common.images import encode
from hfmm.errors import UserError
from hfmm.models import dual_encoder
from hfmm.recipe.validation import validate
from hfmm.tasks import contrastive
from hfmm.tasks.common import embedder
from hfmm.tasks.common.losses import cosine_similarity, length_bucketed_forward, multi_positive_info_nce, siglip_loss
from hfmm.tasks.contrastive import ContrastiveTask


@pytest.fixture
def model(tiny_clip: Path) -> Any:
    return AutoModelForZeroShotImageClassification.from_pretrained(tiny_clip).eval()


@pytest.fixture
def task(model: Any, tiny_clip: Path) -> ContrastiveTask:
    return ContrastiveTask(model.config, AutoProcessor.from_pretrained(tiny_clip), ContrastiveTask.Options())


def rows(count: int) -> list[dict[str, Any]]:
    texts = [f"he works {index // 2}" for index in range(count)]
    return [
        {"id": str(index), "image": encode(Image.effect_noise((32, 32), 20 + 9 * index)), "group": text,
         "captions": [text, f"{text}, past", "works"], "negatives": [f"not {text}", f"no {text}"]}
        for index, text in enumerate(texts)
    ]  # fmt: skip


def naive_softmax(logits: list[list[float]], right: list[list[bool]]) -> float:
    """Each row's cross-entropy against an even target over its right entries, both ways, by the definition."""

    def one_way(scores: list[list[float]], truth: list[list[bool]]) -> float:
        losses = []
        for row, good in zip(scores, truth, strict=True):
            total = sum(math.exp(score) for score in row)
            if any(good):
                own = [-math.log(math.exp(score) / total) for score, is_good in zip(row, good, strict=True) if is_good]
                losses.append(sum(own) / len(own))
        return sum(losses) / len(losses)

    turned = [list(column) for column in zip(*logits, strict=True)]
    turned_right = [list(column) for column in zip(*right, strict=True)]
    return len(logits) * (one_way(logits, right) + one_way(turned, turned_right)) / 2


def test_the_losses_equal_their_definitions() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 6)
    right = torch.rand(4, 6) < 0.3
    right[torch.arange(4), torch.arange(4)] = True
    assert multi_positive_info_nce(logits, right).item() == pytest.approx(
        naive_softmax(logits.tolist(), right.tolist()), rel=1e-5
    )
    pairs = [
        math.log(1 + math.exp(-score if good else score))
        for row, truth in zip(logits.tolist(), right.tolist(), strict=True)
        for score, good in zip(row, truth, strict=True)
    ]
    assert siglip_loss(logits, right).item() == pytest.approx(sum(pairs), rel=1e-5)


@pytest.mark.parametrize("passes", [2, 4])
def test_several_passes_give_the_gradient_of_the_batch_in_one_piece(
    task: ContrastiveTask, model: Any, passes: int
) -> None:
    # In double precision, where a difference is one of method and not of rounding.
    model.double()
    batch = task.collate(rows(8))
    batch["pixel_values"] = batch["pixel_values"].double()
    gradients = []
    for task.num_grad_cache_chunks in (1, passes):
        model.zero_grad()
        task.loss(model, batch, 8).backward()
        gradients.append({name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None})
    whole, cached = gradients
    assert whole.keys() == cached.keys()
    assert max((whole[name] - cached[name]).abs().max().item() for name in whole) < 1e-5


def test_texts_in_pieces_of_like_length_are_embedded_as_in_one_piece(task: ContrastiveTask, model: Any) -> None:
    texts = ["works", "he works and works and works", "he", "she has worked", "I", "you will have to work tomorrow"]
    tokens = task.embedder.tokens(texts)
    widths = []

    def embed(part: dict[str, Any]) -> torch.Tensor:
        widths.append(part["input_ids"].shape)
        found: torch.Tensor = dual_encoder.FAMILY.embed_texts(model, part)
        return found

    with torch.no_grad():
        torch.testing.assert_close(
            length_bucketed_forward(embed, tokens, 3), dual_encoder.FAMILY.embed_texts(model, tokens)
        )
        assert [rows for rows, _ in widths] == [2, 2, 2] and widths[0][1] < widths[1][1] < widths[2][1]
        del tokens["attention_mask"]
        length_bucketed_forward(embed, tokens, 3)
    assert widths[-1] == tokens["input_ids"].shape


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip"])
def test_training_reads_a_text_as_scoring_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForZeroShotImageClassification.from_pretrained(CHECKPOINTS / name, dtype=torch.float32).eval()
    task = ContrastiveTask(
        model.config,
        AutoProcessor.from_pretrained(CHECKPOINTS / name),
        ContrastiveTask.Options(hard_negatives_per_row=1),
    )
    trained: list[torch.Tensor] = []

    def watched(images: torch.Tensor, texts: torch.Tensor) -> Any:
        trained.append(torch.nn.functional.normalize(texts, dim=-1))
        return cosine_similarity(images, texts)

    monkeypatch.setattr(contrastive, "cosines", watched)
    some = rows(8)
    with torch.no_grad():
        task.loss(model, task.collate(some), len(some))
    texts = [task.describe_labels(row) for row in some] + [text for row in some for text in task._negatives(row)]
    assert len({len(text) for text in texts}) > 2
    np.testing.assert_allclose(trained[0].numpy(), task.embedder.embed_texts(model, texts), atol=1e-5)


def test_texts_share_a_batch_with_those_of_like_length_and_come_back_in_their_own_order(
    task: ContrastiveTask, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "BATCH_SIZE", 2)
    texts = ["works", "he works and works and works", "he", "she has worked", "I", "you will have to work tomorrow"]
    one_by_one = np.concatenate([task.embedder.embed_texts(model, [text]) for text in texts])
    read = task.embedder.tokens
    padded: list[list[str]] = []

    def watched(some: list[str]) -> dict[str, Any]:
        padded.append(some)
        return read(some)

    monkeypatch.setattr(task.embedder, "tokens", watched)
    np.testing.assert_allclose(task.embedder.embed_texts(model, texts), one_by_one, atol=1e-6)
    assert padded == [["I", "he"], ["works", "she has worked"], [texts[1], texts[5]]]


def test_every_caption_in_the_batch_that_is_right_for_a_row_is_a_positive(task: ContrastiveTask) -> None:
    task.options = ContrastiveTask.Options(hard_negatives_per_row=1)
    some = rows(6)
    batch, texts = task.collate(some), [task.reference(row)["text"] for row in some]
    assert batch["labels"].shape == (6, 12)
    assert batch["labels"].diagonal().all()
    assert not batch["labels"][:, 6:].any()
    assert batch["labels"][:, :6].tolist() == [[text in row["captions"] for text in texts] for row in some]
    assert len(batch["input_ids"]) == 12


@pytest.mark.parametrize("template", ["a photo of {label}", "a photo", "{} and {}", "{0}", "{"])
def test_a_template_without_one_place_for_the_caption_is_refused(template: str) -> None:
    with pytest.raises(UserError, match=r"'task\.templates' is "):
        validate(ContrastiveTask.Options, {"templates": ["{}", template]}, {}, prefix="task")
    assert ContrastiveTask.Options(templates=["{}", "a {{photo}} of {}"]).templates


def test_each_epoch_draws_captions_anew_and_scoring_always_the_same(task: ContrastiveTask) -> None:
    (row, *_) = rows(2)
    assert len({task.reference(row | {"draw": f"0/{epoch}"})["text"] for epoch in range(30)}) == 3
    assert task.reference(row) == task.reference(dict(row))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"captions": []}, "no caption"),
        ({"captions": None}, "no caption"),
        ({"captions": ["works", " "]}, "empty"),
        ({"captions": "works"}, "one text, 'works', and no list of texts"),
        ({"captions": ["he " * 40]}, "the caption 'he .* has 121 tokens, the text tower takes 64"),
        ({"negatives": ["she", "he " * 40]}, "the wrong text 'he .* has 121 tokens, the text tower takes 64"),
    ],
)
def test_captions_that_cannot_be_used_are_told_before_training(task: ContrastiveTask, change: Any, words: str) -> None:
    check = ContrastiveTask.make_row_validator(dual_encoder.FAMILY, task.config, task.embedder.processor, None)  # type: ignore[arg-type]
    check(rows(1)[0])
    with pytest.raises(UserError, match=words):
        check(rows(1)[0] | change)


@pytest.mark.parametrize("change", [{"negatives": None}, {"negatives": [None, 3]}, {"negatives": []}])
def test_wrong_texts_that_are_none_are_left_alone_where_none_are_drawn(task: ContrastiveTask, change: Any) -> None:
    ContrastiveTask.make_row_validator(dual_encoder.FAMILY, task.config, task.embedder.processor, None)(rows(1)[0] | change)  # type: ignore[arg-type]


def test_a_picture_that_comes_again_with_other_captions_is_told_before_training(
    task: ContrastiveTask, tmp_path: Path
) -> None:
    check = ContrastiveTask.make_row_validator(dual_encoder.FAMILY, task.config, task.embedder.processor, None)  # type: ignore[arg-type]
    one, other = rows(2)
    (tmp_path / "copy.png").write_bytes(one["image"]["bytes"])
    at_a_path = {"id": "again", "image": {"path": str(tmp_path / "copy.png"), "bytes": None}}
    check(one)
    check(other)
    check(one | at_a_path | {"captions": one["captions"][::-1]})
    with pytest.raises(
        UserError, match=r"its picture is that of row 0, .* Put all captions of a picture into one list"
    ):
        check(one | at_a_path | {"captions": ["she works"]})


def test_a_prompt_that_is_too_long_is_told(task: ContrastiveTask, model: Any) -> None:
    task.options = ContrastiveTask.Options(templates=["{}", f"{'he ' * 20}{{}}"])
    short, long = rows(1)[0] | {"captions": ["I"]}, rows(1)[0]
    words = r"the prompt of task\.templates 'he .* has 71 tokens, the text tower takes 64"
    assert task.describe_labels(short) == "I"
    with pytest.raises(UserError, match=words):
        task.describe_labels(long)
    with pytest.raises(UserError, match=words):
        list(task.predict(model, [short, long], 2))


@pytest.mark.parametrize("change", [{}, {"negatives": "he worked"}])
def test_wrong_texts_that_the_data_does_not_have_are_told_before_training(task: ContrastiveTask, change: Any) -> None:
    row = {name: value for name, value in rows(1)[0].items() if name != "negatives"} | change
    assert task.describe_labels(row)
    task.options = ContrastiveTask.Options(hard_negatives_per_row=1)
    assert task.describe_labels(row | {"negatives": None})
    with pytest.raises(UserError, match=r"task\.negatives: .* data\.columns: {negatives: .* set task\.negatives to 0"):
        task.describe_labels(row)


def test_a_sigmoid_loss_that_could_not_be_saved_is_refused(task: ContrastiveTask) -> None:
    with pytest.raises(UserError, match="needs a logit_bias"):
        ContrastiveTask(task.config, task.embedder.processor, ContrastiveTask.Options(loss="sigmoid"))


def test_a_row_is_wrong_when_the_nearest_text_is_none_of_its_captions(task: ContrastiveTask) -> None:
    predictions: list[dict[str, Any]] = [{"image": [1, 0], "text": [1, 0]}, {"image": [1, 0.1], "text": [0, 1]}]
    references = [{"text": "a", "captions": ["a"]}, {"text": "b", "captions": ["b"]}]
    assert task.mark_wrong(predictions, references) == [False, True]
