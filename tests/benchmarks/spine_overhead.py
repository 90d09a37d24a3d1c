"""What the spine costs over a bare Trainer script that does the same work.

    python -m tests.benchmarks.spine_overhead [--repeats 3]

Both sides build the same icons, train the same two stages, save, reload and score the same test rows, each in a
fresh process, alternately. The script has no resume, screening, fingerprint, intervals, plots, card or
verification; the spine's time is given up to its scores (the same work) and to its verified end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """
import sys
from pathlib import Path
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification, Trainer, TrainingArguments, set_seed
from hfmm.data import icons
from hfmm.resources import CHECKPOINTS

out = Path(sys.argv[1])
set_seed(0)
data = icons.build(icons.Options(), out / "data", 2)
names = data["train"].features["label"].feature.names
source = str(CHECKPOINTS / "tiny-vit")
processor = AutoImageProcessor.from_pretrained(source)
model = AutoModelForImageClassification.from_pretrained(
    source, id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)},
    problem_type="multi_label_classification", ignore_mismatched_sizes=True,
)

def collate(rows):
    labels = torch.zeros(len(rows), len(names))
    for index, row in enumerate(rows):
        labels[index, row["label"]] = 1
    return processor([row["image"].convert("RGB") for row in rows], return_tensors="pt") | {"labels": labels}

def right(prediction):
    scores, labels = map(torch.as_tensor, (prediction.predictions, prediction.label_ids))
    parts = [slice(0, 20), slice(20, 25), slice(25, 28)]
    hits = [scores[:, part].argmax(-1) == labels[:, part].argmax(-1) for part in parts]
    return {"accuracy": float(torch.stack(hits).all(0).float().mean())}

for name, epochs, rate, frozen in STAGES:
    for parameter in model.base_model.parameters():
        parameter.requires_grad = not frozen
    arguments = TrainingArguments(
        output_dir=str(out / name), num_train_epochs=epochs, learning_rate=rate, per_device_train_batch_size=32,
        per_device_eval_batch_size=32, weight_decay=0.05, warmup_steps=0.1, lr_scheduler_type="cosine", bf16=True,
        use_cpu=True, eval_strategy="epoch", save_strategy="epoch", save_total_limit=1, report_to="none",
        remove_unused_columns=False, label_names=["labels"], disable_tqdm=True, dataloader_pin_memory=False,
    )
    trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=data["train"],
                      eval_dataset=data["validation"], processing_class=processor, compute_metrics=right)
    trainer.train()
trainer.save_model(str(out / "model"))
trainer.model = AutoModelForImageClassification.from_pretrained(out / "model")
print(trainer.evaluate(data["test"]))
"""


def stages() -> str:
    """Return the recipe's stages as the literal that the script reads."""
    from hfmm import recipe

    loaded = recipe.load("vit_icons").stages
    return repr([(stage.name, stage.epochs, stage.learning_rate, stage.train != "all") for stage in loaded])


def bare(folder: Path) -> float:
    """Return the seconds of the bare script."""
    begun = time.monotonic()
    code = BARE.replace("STAGES", stages())
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True)
    return time.monotonic() - begun


def spine(folder: Path) -> tuple[float, float]:
    """Return the seconds until the scores are written, and until the model is verified."""
    begun = time.monotonic()
    command = [sys.executable, "-u", "-m", "hfmm.cli", "run", "vit_icons", "--out", str(folder)]
    scored = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("evaluate"):
                scored = time.monotonic() - begun
    if process.returncode:
        raise SystemExit("the run failed")
    return scored, time.monotonic() - begun


def main() -> None:
    """Measure both sides alternately and print medians and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    scripts, scored, verified = [], [], []
    for index in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            scripts.append(bare(Path(name) / f"bare-{index}"))
            to_scores, to_end = spine(Path(name) / f"spine-{index}")
            scored.append(to_scores)
            verified.append(to_end)
    script, same_work, whole = map(statistics.median, (scripts, scored, verified))
    print(f"bare script       {script:6.1f} s  ({min(scripts):.1f} to {max(scripts):.1f})")
    print(
        f"spine, same work  {same_work:6.1f} s  ({min(scored):.1f} to {max(scored):.1f})  {same_work / script - 1:+.1%}"
    )
    print(f"spine, verified   {whole:6.1f} s  ({min(verified):.1f} to {max(verified):.1f})  {whole / script - 1:+.1%}")


if __name__ == "__main__":
    main()
