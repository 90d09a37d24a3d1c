"""A vision encoder fused with a language model: training throughput beside a plain LLaVA step and TRL.

    pip install -e ".[bench]" -c constraints.txt
    python -m tests.benchmarks.llava_speed --vision FOLDER --language FOLDER [--rows 48] [--batch 8] [--steps 50]

Both are fused once, and every side trains that folder on the same rows with the same batch for one epoch, each in a
fresh process, one after the other; what counts is the rows a second that its own training loop reports. ``align``
trains the projector: the plain side is a Trainer script in fp32 with all logits and features computed in each step.
``lora`` trains adapters on the language model and the projector: TRL's SFTTrainer as its documentation sets it up for
prompts, completions and images, which is bf16 autocast and gradient checkpointing, then with one or both changed by
hand. Last, the loss of the first ``--steps`` steps of both ways to align, on the same batches of two rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECTOR = "model.multi_modal_projector"
RATE, CONTENT = {"align": 1e-3, "lora": 2e-4}, {"align": "captions", "lora": "questions"}

OURS = """
import sys
from pathlib import Path
from hfmm import recipe as recipes, run
from hfmm.progress import quiet_libraries
from hfmm.run_directory import RunDirectory
from hfmm.training import train

quiet_libraries()
recipe, directory = recipes.load(sys.argv[1]), RunDirectory(Path(sys.argv[2]))
run.check(recipe)
say = lambda step, text: None
train(recipe, directory, run.prepare_data(recipe, directory, say), say)
"""

PLAIN = """
import json, sys
import torch
from datasets import load_from_disk
from transformers import AutoModelForImageTextToText, AutoProcessor, Trainer, TrainingArguments

model_folder, data_folder, out, batch = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
processor = AutoProcessor.from_pretrained(model_folder)
model = AutoModelForImageTextToText.from_pretrained(model_folder, dtype="float32")
for parameter in model.parameters():
    parameter.requires_grad = False
for parameter in model.model.multi_modal_projector.parameters():
    parameter.requires_grad = True

def read(messages):
    return processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt",
                                         processor_kwargs={"padding": True, "padding_side": "right"})

def collate(rows):
    asked = [[{"role": "user", "content": [{"type": "image", "image": row["images"][0]},
                                           {"type": "text", "text": row["prompt"][0]["content"]}]}] for row in rows]
    said = [[{"role": "assistant", "content": [{"type": "text", "text": row["completion"][0]["content"]}]}]
            for row in rows]
    whole = read([one + other for one, other in zip(asked, said)])
    labels = whole["input_ids"].masked_fill(whole["attention_mask"] == 0, -100)
    for place, one in enumerate(asked):
        labels[place, : read([one])["input_ids"].shape[1]] = -100
    return {**whole, "labels": labels}

arguments = TrainingArguments(
    output_dir=out, num_train_epochs=1, per_device_train_batch_size=batch, learning_rate=1e-3, use_cpu=True,
    save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False, remove_unused_columns=False,
)
trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=load_from_disk(data_folder))
print(json.dumps(trainer.train().metrics["train_samples_per_second"]))
"""

TRL = """
import json, sys
from datasets import load_from_disk
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

model_folder, data_folder, out, batch, changes = *sys.argv[1:4], int(sys.argv[4]), json.loads(sys.argv[5])
arguments = SFTConfig(
    output_dir=out, num_train_epochs=1, per_device_train_batch_size=batch, learning_rate=2e-4, use_cpu=True,
    max_length=None, save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False, **changes,
)
linear = r".*language_model\\..*(proj|c_attn|c_fc)"
trainer = SFTTrainer(
    model=model_folder, args=arguments, train_dataset=load_from_disk(data_folder),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=linear,
                           modules_to_save=["multi_modal_projector"], task_type="CAUSAL_LM"),
)
print(json.dumps(trainer.train().metrics["train_samples_per_second"]))
"""
BY_HAND: dict[str, dict[str, Any]] = {
    "as it comes (bf16 autocast)": {},
    "fp32": {"bf16": False},
    "no checkpointing": {"gradient_checkpointing": False},
    "bf16 weights, no checkpointing": {
        "gradient_checkpointing": False,
        "model_init_kwargs": {"dtype": "bfloat16"},
    },
}


def recipe(checkpoint: str, stage: str, rows: int, batch: int, changes: dict[str, Any], **model: Any) -> Any:
    """Return the recipe of one epoch of a stage."""
    from hfmm.recipe import Recipe

    data = {"builder": "conversations", "content": CONTENT[stage], "turns": 1, "size": 224}
    trained = PROJECTOR if stage == "align" else "lora"
    one = {"name": stage, "train": trained, "epochs": 1, "learning_rate": RATE[stage], "batch_size": batch}
    return Recipe.model_validate(
        {
            "name": "speed",
            "task": "image_text_to_text",
            "data": data | {"train": rows, "validation": 1, "test": 1} | changes,
            "model": {"checkpoint": checkpoint, "max_new_tokens": 1, **model},
            "stages": [one],
            "metrics": ["exact_match"],
        }
    )


def fuse(vision: str, language: str, folder: Path) -> str:
    """Write the fused model, its projector untrained, and return where."""
    from datasets import Features

    from hfmm import models

    spec = recipe(vision, "align", 1, 1, {}, language=language)
    model, processor = models.load(spec, Features(), "AutoModelForImageTextToText")
    model.save_pretrained(folder / "fused")
    processor.save_pretrained(folder / "fused")
    return str(folder / "fused")


def write_rows(stage: str, rows: int, folder: Path) -> str:
    """Write the rows of a stage as TRL reads them, and return where."""
    from datasets import Image, List

    from hfmm import data as builders

    built = builders.build(recipe("x", stage, rows, 1, {}).data, {}, folder / "cache")["train"]

    def split(row: dict[str, Any]) -> dict[str, Any]:
        asked, said = (message["content"][-1]["text"] for message in row["messages"])
        return {
            "prompt": [{"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": said}],
        }

    kept = built.map(split, remove_columns=[name for name in built.column_names if name != "images"])
    kept.cast_column("images", List(Image())).save_to_disk(str(folder / stage))
    return str(folder / stage)


def child(code: str, *arguments: Any) -> str:
    """Return what a fresh Python prints last."""
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return (done.stdout.strip().splitlines() or [""])[-1]


def ours(spec: Any, out: Path) -> tuple[float, float]:
    """Return the rows a second of a run, up to the last step that its log holds, and its peak memory in MiB."""
    path = out.with_suffix(".yaml")
    path.write_text(spec.to_yaml())
    child(OURS, path, out)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    last = max((line for line in lines if "loss" in line), key=lambda line: line["step"])
    peak = json.loads((out / "results.json").read_text())["train"]["peak_rss_mb"]
    return spec.stages[0].batch_size * last["step"] / last["seconds"], peak


def losses(checkpoint: str, folder: Path, steps: int) -> None:
    """Print how far apart the losses of the fast and the plain way to align lie, step by step, and the tower's cost."""
    import torch

    from hfmm import cached_features, models, run
    from hfmm.hardware import precision
    from hfmm.models import adapt, frozen_weights
    from hfmm.run_directory import RunDirectory
    from hfmm.tasks import resolve

    spec = recipe(checkpoint, "align", 2 * steps, 2, {})
    data = run.prepare_data(spec, RunDirectory(folder / "losses"), lambda step, text: None)["train"]
    bf16 = precision("auto").name == "bf16"
    curves = {}
    for way in ("fast", "plain"):
        model, processor = models.reload(checkpoint)
        family = models.family_of(model.config.model_type, "AutoModelForImageTextToText", checkpoint)
        adapt.prepare(model, spec.stages[0], family, [], "stages.align.train")
        task_class, options = resolve(spec)
        task, rows = task_class(model.config, processor, options), data
        fast = way == "fast"
        if fast:
            if bf16:
                frozen_weights.hold(model)
            begun = time.perf_counter()
            rows = cached_features.seen(model, task, data, folder / "features", bf16, lambda step, text: None)
            print(f"features, once: {(time.perf_counter() - begun) / len(data):.3f} s a picture", flush=True)
        curves[way] = list(curve(model, task, rows, steps, fast, fast and bf16))
        del model
    apart = [abs(one - other) for one, other in zip(curves["fast"], curves["plain"], strict=True)]
    for way, curve_ in curves.items():
        print(f"loss   {way:<6}{curve_[0]:8.4f} -> {sum(curve_[-5:]) / 5:8.4f}, mean of the last 5 of {steps} steps")
    print(f"loss   apart by {max(apart):.4f} at most, {sum(apart) / steps:.4f} in the mean")
    assert torch.tensor(apart).isfinite().all()


def curve(model: Any, task: Any, rows: Any, steps: int, fast: bool, bf16: bool) -> Any:
    """Yield the loss of each step of two rows."""
    import torch

    model.train()
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], RATE["align"])
    for step in range(steps):
        batch = task.collate([rows[2 * step], rows[2 * step + 1]])
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = task.loss(model, batch, task.num_items(batch)) if fast else model(**batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()


def main() -> None:
    """Measure every side and print its rows a second and how many times faster ours is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vision", required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50, help="of the comparison of losses")
    arguments = parser.parse_args()
    rows, batch = arguments.rows, arguments.batch

    from hfmm.hardware import environment
    from hfmm.progress import quiet_libraries

    quiet_libraries()
    print(json.dumps({key: environment("auto")[key] for key in ("hardware", "threads", "precision")}), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fused = fuse(arguments.vision, arguments.language, folder)

        def measure(stage: str, peers: dict[str, Callable[[str], str]]) -> None:
            found = {}
            for kept in (False, True):
                title = "hfmm, features from disk" if kept else "hfmm"
                spec = recipe(fused, stage, rows, batch, {"cache_features": kept})
                found[title], peak = ours(spec, folder / f"{stage}-{kept}")
                print(f"{stage:<6} {title:<36} {found[title]:7.2f} rows a second, peak {peak} MiB", flush=True)
            written = write_rows(stage, rows, folder)
            for title, measured in peers.items():
                speed = float(measured(written))
                ratios = ", ".join(f"x {own / speed:.2f}" for own in found.values())
                print(f"{stage:<6} {title:<36} {speed:7.2f} rows a second, {ratios}", flush=True)

        measure("align", {"Trainer script, fp32, all logits": lambda data: child(PLAIN, fused, data, folder, batch)})
        trl = {
            f"TRL, {title}": lambda data, changes=changes: child(TRL, fused, data, folder, batch, json.dumps(changes))
            for title, changes in BY_HAND.items()
        }
        measure("lora", trl)
        losses(fused, folder, arguments.steps)


if __name__ == "__main__":
    main()
