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


def naive_info_nce(logits: list[list[float]], positives: list[list[bool]]) -> float:
    """Return the cross-entropy against a uniform target over the positives, in both directions, by the definition."""

    def one_direction(logits: list[list[float]], positives: list[list[bool]]) -> float:
        losses = []
        for row, row_positives in zip(logits, positives, strict=True):
            total = sum(math.exp(logit) for logit in row)
            if any(row_positives):
                nats = [
                    -math.log(math.exp(logit) / total)
                    for logit, is_positive in zip(row, row_positives, strict=True)
                    if is_positive
                ]
                losses.append(sum(nats) / len(nats))
        return sum(losses) / len(losses)

    transposed = [list(column) for column in zip(*logits, strict=True)]
    transposed_positives = [list(column) for column in zip(*positives, strict=True)]
    return len(logits) * (one_direction(logits, positives) + one_direction(transposed, transposed_positives)) / 2


def test_losses_equal_their_definitions() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 6)
    positives = torch.rand(4, 6) < 0.3
    positives[torch.arange(4), torch.arange(4)] = True
    assert multi_positive_info_nce(logits, positives).item() == pytest.approx(
        naive_info_nce(logits.tolist(), positives.tolist()), rel=1e-5
    )
    pairs = [
        math.log(1 + math.exp(-logit if is_positive else logit))
        for row, row_positives in zip(logits.tolist(), positives.tolist(), strict=True)
        for logit, is_positive in zip(row, row_positives, strict=True)
    ]
    assert siglip_loss(logits, positives).item() == pytest.approx(sum(pairs), rel=1e-5)


@pytest.mark.parametrize("num_chunks", [2, 4])
def test_grad_cache_gives_the_gradient_of_the_whole_batch(task: ContrastiveTask, model: Any, num_chunks: int) -> None:
    # In double precision, so that rounding does not matter.
    model.double()
    batch = task.collate(rows(8))
    batch["pixel_values"] = batch["pixel_values"].double()
    gradients = []
    for task.num_grad_cache_chunks in (1, num_chunks):
        model.zero_grad()
        task.loss(model, batch, 8).backward()
        gradients.append(
            {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        )
    expected, cached = gradients
    assert expected.keys() == cached.keys()
    assert max((expected[name] - cached[name]).abs().max().item() for name in expected) < 1e-5


def test_length_bucketed_embeddings_equal_those_of_one_batch(task: ContrastiveTask, model: Any) -> None:
    texts = ["works", "he works and works and works", "he", "she has worked", "I", "you will have to work tomorrow"]
    tokens = task.embedder.tokens(texts)
    shapes = []

    def embed(bucket: dict[str, Any]) -> torch.Tensor:
        shapes.append(bucket["input_ids"].shape)
        embeddings: torch.Tensor = dual_encoder.FAMILY.embed_texts(model, bucket)
        return embeddings

    with torch.no_grad():
        torch.testing.assert_close(
            length_bucketed_forward(embed, tokens, 3), dual_encoder.FAMILY.embed_texts(model, tokens)
        )
        assert [num_texts for num_texts, _ in shapes] == [2, 2, 2] and shapes[0][1] < shapes[1][1] < shapes[2][1]
        del tokens["attention_mask"]
        length_bucketed_forward(embed, tokens, 3)
    assert shapes[-1] == tokens["input_ids"].shape


@pytest.mark.parametrize("name", ["tiny-clip", "tiny-siglip"])
def test_text_embeddings_are_equal_in_training_and_evaluation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForZeroShotImageClassification.from_pretrained(CHECKPOINTS / name, dtype=torch.float32).eval()
    task = ContrastiveTask(
        model.config,
        AutoProcessor.from_pretrained(CHECKPOINTS / name),
        ContrastiveTask.Options(hard_negatives_per_row=1),
    )
    embeddings: list[torch.Tensor] = []

    def record_texts(images: torch.Tensor, texts: torch.Tensor) -> Any:
        embeddings.append(torch.nn.functional.normalize(texts, dim=-1))
        return cosine_similarity(images, texts)

    monkeypatch.setattr(contrastive, "cosine_similarity", record_texts)
    batch_rows = rows(8)
    with torch.no_grad():
        task.loss(model, task.collate(batch_rows), len(batch_rows))
    texts = [task.describe_labels(row) for row in batch_rows]
    texts += [text for row in batch_rows for text in task._negatives(row)]
    assert len({len(text) for text in texts}) > 2
    np.testing.assert_allclose(embeddings[0].numpy(), task.embedder.embed_texts(model, texts), atol=1e-5)


def test_embed_texts_sorts_by_length_and_restores_the_order(
    task: ContrastiveTask, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "BATCH_SIZE", 2)
    texts = ["works", "he works and works and works", "he", "she has worked", "I", "you will have to work tomorrow"]
    one_by_one = np.concatenate([task.embedder.embed_texts(model, [text]) for text in texts])
    tokenize = task.embedder.tokens
    batches: list[list[str]] = []

    def record_batch(batch: list[str]) -> dict[str, Any]:
        batches.append(batch)
        return tokenize(batch)

    monkeypatch.setattr(task.embedder, "tokens", record_batch)
    np.testing.assert_allclose(task.embedder.embed_texts(model, texts), one_by_one, atol=1e-6)
    assert batches == [["I", "he"], ["works", "she has worked"], [texts[1], texts[5]]]


def test_every_matching_caption_in_the_batch_is_a_positive(task: ContrastiveTask) -> None:
    task.options = ContrastiveTask.Options(hard_negatives_per_row=1)
    batch_rows = rows(6)
    batch, texts = task.collate(batch_rows), [task.reference(row)["text"] for row in batch_rows]
    assert batch["labels"].shape == (6, 12)
    assert batch["labels"].diagonal().all()
    assert not batch["labels"][:, 6:].any()
    assert batch["labels"][:, :6].tolist() == [[text in row["captions"] for text in texts] for row in batch_rows]
    assert len(batch["input_ids"]) == 12


@pytest.mark.parametrize("template", ["a photo of {label}", "a photo", "{} and {}", "{0}", "{"])
def test_template_without_a_single_placeholder_raises_error(template: str) -> None:
    with pytest.raises(UserError, match=r"'task\.templates' is "):
        validate(ContrastiveTask.Options, {"templates": ["{}", template]}, {}, prefix="task")
    assert ContrastiveTask.Options(templates=["{}", "a {{photo}} of {}"]).templates


def test_captions_differ_by_epoch_and_are_fixed_in_evaluation(task: ContrastiveTask) -> None:
    (row, *_) = rows(2)
    assert len({task.reference(row | {"draw": f"0/{epoch}"})["text"] for epoch in range(30)}) == 3
    assert task.reference(row) == task.reference(dict(row))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"captions": []}, "no caption"),
        ({"captions": None}, "no caption"),
        ({"captions": ["works", " "]}, "empty"),
        ({"captions": "works"}, "the single text 'works', not a list of texts"),
        ({"captions": ["he " * 40]}, "the caption 'he .* has 121 tokens, and the text tower reads at most 64"),
        (
            {"negatives": ["she", "he " * 40]},
            "the negative text 'he .* has 121 tokens, and the text tower reads at most 64",
        ),
    ],
)
def test_validator_rejects_invalid_captions(task: ContrastiveTask, change: Any, message: str) -> None:
    validate = ContrastiveTask.make_row_validator(dual_encoder.FAMILY, task.config, task.embedder.processor, None)  # type: ignore[arg-type]
    validate(rows(1)[0])
    with pytest.raises(UserError, match=message):
        validate(rows(1)[0] | change)


@pytest.mark.parametrize("change", [{"negatives": None}, {"negatives": [None, 3]}, {"negatives": []}])
def test_invalid_negatives_are_ignored_if_none_are_drawn(task: ContrastiveTask, change: Any) -> None:
    ContrastiveTask.make_row_validator(dual_encoder.FAMILY, task.config, task.embedder.processor, None)(
        rows(1)[0] | change
    )  # type: ignore[arg-type]


def test_repeated_image_with_other_captions_raises_error(task: ContrastiveTask, tmp_path: Path) -> None:
    validate = ContrastiveTask.make_row_validator(dual_encoder.FAMILY, task.config, task.embedder.processor, None)  # type: ignore[arg-type]
    first, second = rows(2)
    (tmp_path / "copy.png").write_bytes(first["image"]["bytes"])
    copy = {"id": "copy", "image": {"path": str(tmp_path / "copy.png"), "bytes": None}}
    validate(first)
    validate(second)
    validate(first | copy | {"captions": first["captions"][::-1]})
    with pytest.raises(
        UserError, match=r"its image is the same as that of row 0, .* Put all captions of an image into one list"
    ):
        validate(first | copy | {"captions": ["she works"]})


def test_prompt_that_is_too_long_raises_error(task: ContrastiveTask, model: Any) -> None:
    task.options = ContrastiveTask.Options(templates=["{}", f"{'he ' * 20}{{}}"])
    short, long = rows(1)[0] | {"captions": ["I"]}, rows(1)[0]
    message = r"the prompt of task\.templates 'he .* has 71 tokens, and the text tower reads at most 64"
    assert task.describe_labels(short) == "I"
    with pytest.raises(UserError, match=message):
        task.describe_labels(long)
    with pytest.raises(UserError, match=message):
        list(task.predict(model, [short, long], 2))


@pytest.mark.parametrize("change", [{}, {"negatives": "he worked"}])
def test_missing_negatives_column_raises_error(task: ContrastiveTask, change: Any) -> None:
    row = {name: value for name, value in rows(1)[0].items() if name != "negatives"} | change
    assert task.describe_labels(row)
    task.options = ContrastiveTask.Options(hard_negatives_per_row=1)
    assert task.describe_labels(row | {"negatives": None})
    name = r"task\.hard_negatives_per_row"
    message = rf"{name}: .* data\.columns: {{negatives: .* set {name} to 0"
    with pytest.raises(UserError, match=message):
        task.describe_labels(row)


def test_sigmoid_loss_without_logit_bias_raises_error(task: ContrastiveTask) -> None:
    with pytest.raises(UserError, match="needs a logit_bias"):
        ContrastiveTask(task.config, task.embedder.processor, ContrastiveTask.Options(loss="sigmoid"))


def test_row_is_wrong_if_the_nearest_text_is_not_its_caption(task: ContrastiveTask) -> None:
    predictions: list[dict[str, Any]] = [{"image": [1, 0], "text": [1, 0]}, {"image": [1, 0.1], "text": [0, 1]}]
    references = [{"text": "a", "captions": ["a"]}, {"text": "b", "captions": ["b"]}]
    assert task.mark_wrong(predictions, references) == [False, True]
