"""Embedding pictures with a CLIP, beside sentence-transformers' `encode`."""

from __future__ import annotations

from functools import partial

from hfmm.models import dual_encoder
from hfmm.models.common.checkpoint import load_saved
from hfmm.utils.hardware import inference_dtype, peak_memory_mb
from tests.benchmarks import rows, training
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.cases.clip_finetune import prepare
from tests.benchmarks.timed import timed

BATCH = 32  # of sentence-transformers, and of `hfmm predict`
SHOWN = 8  # rows whose embeddings are compared


def hfmm(job: Job) -> Measured:
    """Embed as `hfmm predict` does."""
    import numpy as np
    from datasets import Image

    from hfmm.tasks.common.embedder import Embedder

    model, processor = load_saved(str(job.prepared / "checkpoint"), inference_dtype("auto"))
    embedder = Embedder(dual_encoder.FAMILY, model.eval().config, processor)
    pictures = rows.decoded(job.prepared).cast_column("image", Image(decode=False)).select_columns(["image"])
    embedder.embed_images(model, pictures.select(range(BATCH)).to_list())
    with timed() as stretch:
        found = [
            embedder.embed_images(model, pictures.select(range(start, min(start + BATCH, len(pictures)))).to_list())
            for start in range(0, len(pictures), BATCH)
        ]
    memory = peak_memory_mb()
    return Measured(
        len(pictures) / stretch.seconds, np.concatenate(found)[:SHOWN].ravel().tolist(), _flops(job), memory_mib=memory
    )


def sentence_transformers(job: Job, dtype: str) -> Measured:
    """Embed by `SentenceTransformer.encode`."""
    import sentence_transformers as library

    model = library.SentenceTransformer(str(job.prepared / "checkpoint"), device="cpu", model_kwargs={"dtype": dtype})
    pictures = rows.decoded(job.prepared)
    model.encode([row["image"] for row in pictures.select(range(BATCH))])
    with timed() as stretch:
        found = model.encode([row["image"].convert("RGB") for row in pictures], normalize_embeddings=True)
    memory = peak_memory_mb()
    return Measured(len(pictures) / stretch.seconds, found[:SHOWN].ravel().tolist(), _flops(job), memory_mib=memory)


def _flops(job: Job) -> float:
    """Return the operations that the model takes for one picture."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(job.prepared / "checkpoint", dtype="float32")
    size = model.config.vision_config.image_size
    return training.operations(lambda: model.get_image_features(pixel_values=torch.zeros(1, 3, size, size)))[1]


ST = ("sentence_transformers",)
CASE = Case(
    title="Image embedding",
    unit="rows/s",
    family="clip",
    sizes={
        "small": {"builder": "icons", "pixels": 224, "rows": 64, "shape": {}},
        "large": {"builder": "icons", "pixels": 224, "rows": 512, "shape": {}},
    },
    prepare=prepare,
    sides=(
        Side("hfmm", hfmm),
        Side("sentence-transformers", partial(sentence_transformers, dtype="float32"), "hfmm", needs=ST, asked=2.5),
        Side("sentence-transformers, bf16 by hand", partial(sentence_transformers, dtype="bfloat16"), "hfmm", needs=ST),
    ),
)
