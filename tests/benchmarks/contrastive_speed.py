"""Contrastive training throughput beside sentence-transformers and a plain Trainer script.

    pip install -e ".[bench]" -c constraints.txt && python -m tests.benchmarks.contrastive_speed [--model tiny|base]

Every side trains the same weights on the same rows with the same batch for one epoch, each in a fresh process, one
after the other; what counts is the rows a second that its own training loop reports. ``tiny`` is the embedded CLIP
on 64-pixel icons, ``base`` a CLIP of the size of ViT-B/32 with random weights on 224-pixel pages. The peers run as
their documentation sets them up, and once more with ``bf16=True`` given by hand.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = {"tiny": ("icons", 64, 4096, 128), "base": ("pages", 224, 192, 32)}  # dataset, pixels, rows, batch

LOAD = """
import json, sys
from pathlib import Path
import torch
from datasets import load_from_disk
from transformers import TrainingArguments, set_seed

set_seed(0)
model_folder, data_folder, out, batch, bf16 = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
common = dict(
    output_dir=str(out), num_train_epochs=1, per_device_train_batch_size=batch, learning_rate=5e-5, use_cpu=True,
    save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False, bf16=bf16 == "bf16",
)
data = load_from_disk(data_folder)
"""

PLAIN = (
    LOAD
    + """
from transformers import AutoModel, AutoProcessor, Trainer

processor = AutoProcessor.from_pretrained(model_folder)
model = AutoModel.from_pretrained(model_folder, dtype="float32")

def collate(rows):
    inputs = processor(text=[row["text"] for row in rows], images=[row["image"].convert("RGB") for row in rows],
                       padding=True, return_tensors="pt")
    return {**inputs, "return_loss": True}

trainer = Trainer(model=model, args=TrainingArguments(remove_unused_columns=False, **common), data_collator=collate,
                  train_dataset=data)
print(json.dumps(trainer.train().metrics["train_samples_per_second"]))
"""
)

SENTENCE_TRANSFORMERS = (
    LOAD
    + """
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.losses import MultipleNegativesSymmetricRankingLoss

model = SentenceTransformer(model_folder, device="cpu", model_kwargs={"dtype": "float32"})
trainer = SentenceTransformerTrainer(
    model=model, args=SentenceTransformerTrainingArguments(**common),
    train_dataset=data.select_columns(["image", "text"]), loss=MultipleNegativesSymmetricRankingLoss(model),
)
print(json.dumps(trainer.train().metrics["train_samples_per_second"]))
"""
)


def prepare(size: str, folder: Path) -> str:
    """Write the rows that the peers read, and return the checkpoint: the embedded one, or a folder of its own."""
    from hfmm import data as builders
    from hfmm.recipe import Data

    builder, pixels, rows, _ = SIZES[size]
    options = {"train": rows, "validation": 8, "test": 8, "size": pixels, "seed": 0}
    built = builders.build(Data(builder=builder, **options), {}, folder / "cache", 2)["train"]
    from datasets import Image

    # One of a row's texts, of every kind alike, as hfmm draws them: some have five times the tokens of others.
    texts = [captions[index % len(captions)] for index, captions in enumerate(built["captions"])]
    built = built.select_columns(["image"]).add_column("text", texts).cast_column("image", Image())
    built.save_to_disk(str(folder / "rows"))
    from hfmm.resources import CHECKPOINTS

    tiny = CHECKPOINTS / "tiny-clip"
    if size == "tiny":
        return str(tiny)
    from transformers import AutoProcessor, CLIPConfig, CLIPModel, CLIPTextConfig

    processor = AutoProcessor.from_pretrained(tiny)
    processor.image_processor.size = {"height": pixels, "width": pixels}
    processor.save_pretrained(folder / "base")
    special = {"eos_token_id": processor.tokenizer.eos_token_id, "pad_token_id": processor.tokenizer.pad_token_id}
    CLIPModel(CLIPConfig(text_config=CLIPTextConfig(**special).to_dict())).save_pretrained(folder / "base")
    return str(folder / "base")


def ours(size: str, checkpoint: str, out: Path) -> float:
    """Return the rows a second of `hfmm run`, up to the last step that its log holds."""
    builder, pixels, rows, batch = SIZES[size]
    data = f"{{builder: {builder}, train: {rows}, validation: 8, test: 8, size: {pixels}, seed: 0}}"
    stage = f"{{name: align, train: all, epochs: 1, learning_rate: 5.0e-5, batch_size: {batch}}}"
    recipe = out / "speed.yaml"
    recipe.write_text(
        f"name: speed\ntask: contrastive\ndata: {data}\nmodel: {{checkpoint: {checkpoint}}}\nstages: [{stage}]\n"
        "metrics: [retrieval]\n"
    )
    command = [sys.executable, "-m", "hfmm.cli", "run", str(recipe), "--out", str(out / "run")]
    subprocess.run(command, check=True, capture_output=True)
    lines = [json.loads(line) for line in (out / "run/log.jsonl").read_text().splitlines()]
    last = max((line for line in lines if "loss" in line), key=lambda line: line["step"])
    return float(batch * last["step"] / last["seconds"])


def peer(code: str, checkpoint: str, folder: Path, batch: int, precision: str) -> float:
    """Return the rows a second that a peer's own training loop reports."""
    arguments = [checkpoint, str(folder / "rows"), str(folder / "peer"), str(batch), precision]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure every side and print its rows a second and how many times faster ours is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=SIZES, action="append")
    for size in parser.parse_args().model or SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            checkpoint = prepare(size, folder)
            own = ours(size, checkpoint, folder)
            print(f"{size:<6} hfmm                          {own:8.1f} rows a second", flush=True)
            for title, code in (("sentence-transformers", SENTENCE_TRANSFORMERS), ("plain Trainer", PLAIN)):
                for precision in ("fp32", "bf16"):
                    speed = peer(code, checkpoint, folder, SIZES[size][3], precision)
                    print(f"{size:<6} {title:<22} {precision:<6} {speed:8.1f}  x {own / speed:.2f}", flush=True)


if __name__ == "__main__":
    main()
