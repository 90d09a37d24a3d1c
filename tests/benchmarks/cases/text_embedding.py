"""Embedding texts with a CLIP, beside sentence-transformers' `encode`."""

from __future__ import annotations

from functools import partial

from hfmm.models import dual_encoder
from hfmm.models.common.checkpoint import load_saved
from hfmm.utils.hardware import inference_dtype, peak_memory_mb
from tests.benchmarks import training
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.cases.clip_finetune import write_checkpoint
from tests.benchmarks.timed import timed

BATCH = 32
SHOWN = 8  # texts whose embeddings are compared


def texts(count: int) -> list[str]:
    """Return texts of all kinds and lengths, each with its number."""
    from hfmm.grammar import CELLS, captions

    known = [text for cell in CELLS for text in captions(cell)]
    return [f"{index}: {known[index % len(known)]}" for index in range(count)]


def hfmm(job: Job) -> Measured:
    """Embed as `hfmm predict` does."""
    from hfmm.tasks.common.embedder import Embedder

    model, processor = load_saved(str(job.prepared / "checkpoint"), inference_dtype("auto"))
    embedder, read = Embedder(dual_encoder.FAMILY, model.eval().config, processor), texts(job.options["texts"])
    embedder.embed_texts(model, read[:BATCH])
    with timed() as stretch:
        found = embedder.embed_texts(model, read)
    memory = peak_memory_mb()
    return Measured(len(read) / stretch.seconds, found[:SHOWN].ravel().tolist(), _flops(job), memory_mib=memory)


def sentence_transformers(job: Job, dtype: str) -> Measured:
    """Embed by `SentenceTransformer.encode`, which sorts texts by length."""
    import sentence_transformers as library

    model = library.SentenceTransformer(str(job.prepared / "checkpoint"), device="cpu", model_kwargs={"dtype": dtype})
    read = texts(job.options["texts"])
    model.encode(read[:BATCH])
    with timed() as stretch:
        found = model.encode(read, normalize_embeddings=True)
    memory = peak_memory_mb()
    return Measured(len(read) / stretch.seconds, found[:SHOWN].ravel().tolist(), _flops(job), memory_mib=memory)


def _flops(job: Job) -> float:
    """Return the operations that the model takes for a text of middling length; padding is no work of the model."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(job.prepared / "checkpoint", dtype="float32")
    ids = AutoTokenizer.from_pretrained(job.prepared / "checkpoint")(texts(job.options["texts"]))["input_ids"]
    length = round(sum(map(len, ids)) / len(ids))
    return training.operations(lambda: model.get_text_features(torch.zeros(1, length, dtype=torch.long)))[1]


ST = ("sentence_transformers",)
CASE = Case(
    title="Text embedding",
    unit="texts/s",
    family="clip",
    sizes={"small": {"texts": 128, "shape": {}}, "large": {"texts": 2048, "shape": {}}},
    prepare=write_checkpoint,
    sides=(
        Side("hfmm", hfmm),
        Side("sentence-transformers", partial(sentence_transformers, dtype="float32"), "hfmm", needs=ST),
        Side("sentence-transformers, bf16 by hand", partial(sentence_transformers, dtype="bfloat16"), "hfmm", needs=ST),
    ),
)
