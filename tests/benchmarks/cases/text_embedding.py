"""Text embedding with CLIP: hfmm and `encode` of sentence-transformers."""

from __future__ import annotations

from functools import partial

from hfmm.models import dual_encoder
from hfmm.models.common.checkpoint import load_saved
from hfmm.utils.hardware import inference_dtype, peak_memory_mb
from tests.benchmarks import training
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.cases.clip_finetune import write_checkpoint
from tests.benchmarks.timed import timed

BATCH_SIZE = 32
NUM_COMPARED = 8  # texts whose embeddings are compared


def numbered_texts(num_texts: int) -> list[str]:
    """Return texts of all kinds and lengths. Each starts with its index."""
    from hfmm.grammar import CELLS, captions

    all_captions = [caption for cell in CELLS for caption in captions(cell)]
    return [f"{index}: {all_captions[index % len(all_captions)]}" for index in range(num_texts)]


def hfmm(job: Job) -> Measured:
    """Embed as `hfmm predict` does."""
    from hfmm.tasks.common.embedder import Embedder

    model, processor = load_saved(str(job.prepared / "checkpoint"), inference_dtype("auto"))
    embedder = Embedder(dual_encoder.FAMILY, model.eval().config, processor)
    texts = numbered_texts(job.options["texts"])
    embedder.embed_texts(model, texts[:BATCH_SIZE])
    with timed() as timer:
        embeddings = embedder.embed_texts(model, texts)
    memory = peak_memory_mb()
    outputs = embeddings[:NUM_COMPARED].ravel().tolist()
    return Measured(len(texts) / timer.seconds, outputs, _flops(job), memory_mib=memory)


def sentence_transformers(job: Job, dtype: str) -> Measured:
    """Embed with `SentenceTransformer.encode`, which sorts the texts by length."""
    import sentence_transformers as library

    model = library.SentenceTransformer(str(job.prepared / "checkpoint"), device="cpu", model_kwargs={"dtype": dtype})
    texts = numbered_texts(job.options["texts"])
    model.encode(texts[:BATCH_SIZE])
    with timed() as timer:
        embeddings = model.encode(texts, normalize_embeddings=True)
    memory = peak_memory_mb()
    outputs = embeddings[:NUM_COMPARED].ravel().tolist()
    return Measured(len(texts) / timer.seconds, outputs, _flops(job), memory_mib=memory)


def _flops(job: Job) -> float:
    """Return the floating-point operations of the model for a text of average length, without padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(job.prepared / "checkpoint", dtype="float32")
    ids = AutoTokenizer.from_pretrained(job.prepared / "checkpoint")(numbered_texts(job.options["texts"]))["input_ids"]
    length = round(sum(map(len, ids)) / len(ids))
    return training.count_flops(lambda: model.get_text_features(torch.zeros(1, length, dtype=torch.long)))[1]


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
