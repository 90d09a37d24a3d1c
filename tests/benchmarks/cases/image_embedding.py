"""Image embedding with CLIP: hfmm and `encode` of sentence-transformers."""

from __future__ import annotations

from functools import partial

from hfmm.models import dual_encoder
from hfmm.models.common.checkpoint import load_saved
from hfmm.utils.hardware import inference_dtype, peak_memory_mb
from tests.benchmarks import rows, training
from tests.benchmarks.case import Case, Job, Measured, Side
from tests.benchmarks.cases.clip_finetune import prepare
from tests.benchmarks.timed import timed

BATCH_SIZE = 32  # of sentence-transformers and of `hfmm predict`
NUM_COMPARED = 8  # rows whose embeddings are compared


def hfmm(job: Job) -> Measured:
    """Embed as `hfmm predict` does."""
    import numpy as np
    from datasets import Image

    from hfmm.tasks.common.embedder import Embedder

    model, processor = load_saved(str(job.prepared / "checkpoint"), inference_dtype("auto"))
    embedder = Embedder(dual_encoder.FAMILY, model.eval().config, processor)
    images = rows.load_decoded(job.prepared).cast_column("image", Image(decode=False)).select_columns(["image"])
    embedder.embed_images(model, images.select(range(BATCH_SIZE)).to_list())
    with timed() as timer:
        batches = [
            embedder.embed_images(model, images.select(range(start, min(start + BATCH_SIZE, len(images)))).to_list())
            for start in range(0, len(images), BATCH_SIZE)
        ]
    memory = peak_memory_mb()
    outputs = np.concatenate(batches)[:NUM_COMPARED].ravel().tolist()
    return Measured(len(images) / timer.seconds, outputs, _flops(job), memory_mib=memory)


def sentence_transformers(job: Job, dtype: str) -> Measured:
    """Embed with `SentenceTransformer.encode`."""
    import sentence_transformers as library

    model = library.SentenceTransformer(str(job.prepared / "checkpoint"), device="cpu", model_kwargs={"dtype": dtype})
    images = rows.load_decoded(job.prepared)
    model.encode([row["image"] for row in images.select(range(BATCH_SIZE))])
    with timed() as timer:
        embeddings = model.encode([row["image"].convert("RGB") for row in images], normalize_embeddings=True)
    memory = peak_memory_mb()
    outputs = embeddings[:NUM_COMPARED].ravel().tolist()
    return Measured(len(images) / timer.seconds, outputs, _flops(job), memory_mib=memory)


def _flops(job: Job) -> float:
    """Return the floating-point operations of the model for one image."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(job.prepared / "checkpoint", dtype="float32")
    size = model.config.vision_config.image_size
    return training.count_flops(lambda: model.get_image_features(pixel_values=torch.zeros(1, 3, size, size)))[1]


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
        Side("sentence-transformers", partial(sentence_transformers, dtype="float32"), "hfmm", needs=ST, target=2.5),
        Side("sentence-transformers, bf16 by hand", partial(sentence_transformers, dtype="bfloat16"), "hfmm", needs=ST),
    ),
)
