"""Whisper on a window as long as its clips, beside the standard 30 s: training throughput, then one clip's latency.

    pip install -e ".[bench]" -c constraints.txt
    python -m tests.benchmarks.speech_speed [--checkpoint openai/whisper-tiny.en] [--clips 16]

Training is what each side's own loop reports, in a fresh process, on the clips that come with hfmm: `hfmm run` on a
window of 5 s, and a Trainer script as the documentation of transformers has it, in fp32 and with ``bf16=True`` given
by hand. Latency is the median over test clips heard one by one, all sides in turn, each with its word error rate.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STANDARD = """
import json, sys
import torch
from datasets import load_from_disk
from transformers import AutoProcessor, Trainer, TrainingArguments, WhisperForConditionalGeneration

checkpoint, data_folder, out, precision = sys.argv[1:]
processor = AutoProcessor.from_pretrained(checkpoint)
model = WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype="float32")
start = model.config.decoder_start_token_id

def collate(rows):
    inputs = processor.feature_extractor([row["samples"] for row in rows], sampling_rate=16000, return_tensors="pt")
    labels = processor.tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    ids = labels["input_ids"].masked_fill(labels["attention_mask"] == 0, -100)
    return {"input_features": inputs["input_features"], "labels": ids[:, 1:] if (ids[:, 0] == start).all() else ids}

arguments = TrainingArguments(
    output_dir=out, num_train_epochs=1, per_device_train_batch_size=8, learning_rate=1e-5, use_cpu=True,
    save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
    remove_unused_columns=False, bf16=precision == "bf16",
)
trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=load_from_disk(data_folder))
print(json.dumps(trainer.train().metrics["train_samples_per_second"]))
"""


LOGGED = 400  # clips until the first line of the log, a fifth of an epoch


def ours(checkpoint: str, rows: int, folder: Path) -> tuple[float, Path]:
    """Return the clips a second of `hfmm run`, and its folder."""
    recipe = folder / "speed.yaml"
    stage = f"{{name: full, train: all, epochs: {rows / 2000}, learning_rate: 1.0e-5, batch_size: 8}}"
    recipe.write_text(
        "name: speed\ntask: speech_recognition\ndata: {builder: clips}\n"
        f"model: {{checkpoint: {checkpoint}, window_seconds: 5}}\nstages: [{stage}]\nmetrics: [wer]\n"
    )
    command = [sys.executable, "-m", "hfmm.cli", "run", str(recipe), "--out", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True)
    lines = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    last = max((line for line in lines if "loss" in line), key=lambda line: line["step"])
    return 8 * last["step"] / last["seconds"], folder / "run"


def standard(checkpoint: str, data: Path, folder: Path, precision: str) -> float:
    """Return the clips a second of the standard script."""
    arguments = [checkpoint, str(data), str(folder / precision), precision]
    done = subprocess.run([sys.executable, "-c", STANDARD, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.strip().splitlines()[-1])


def listeners(checkpoint: str, run: Path, folder: Path) -> dict[str, Callable[[np.ndarray], str]]:
    """Return every way of hearing one clip of 16 kHz samples."""
    from transformers import pipeline

    from hfmm.evaluation import load_task

    def by_pipeline(model: str, **settings: Any) -> Callable[[np.ndarray], str]:
        heard = pipeline("automatic-speech-recognition", model=model)
        return lambda clip: str(heard({"raw": clip, "sampling_rate": 16000}, **settings)["text"])

    found = {"pipeline, checkpoint": by_pipeline(checkpoint), "pipeline, ours": by_pipeline(str(run / "model"))}
    model, task = load_task(run / "model")
    found["hfmm predict"] = lambda clip: next(task.listener.transcribe(model, [clip], 1))  # type: ignore[attr-defined]
    try:
        from ctranslate2.converters import TransformersConverter
        from faster_whisper import WhisperModel
    except ImportError as error:
        print(f"faster-whisper is missing ({error.name}), so it is not measured")
        return found
    TransformersConverter(checkpoint, copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(
        str(folder / "int8"), quantization="int8"
    )
    fast = WhisperModel(str(folder / "int8"), device="cpu", compute_type="int8")
    for name, beams in (("faster-whisper int8, greedy", 1), ("faster-whisper int8, 5 beams", 5)):
        found[name] = lambda clip, beams=beams: "".join(  # type: ignore[misc]
            one.text for one in fast.transcribe(clip, beam_size=beams, language="en")[0]
        )
    return found


def main() -> None:
    """Measure both parts and print what each side took and how many times faster ours is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", default="openai/whisper-tiny.en")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rows", type=int, default=48, help="training clips of the standard script")
    arguments = parser.parse_args()

    from hfmm import data as builders
    from hfmm.data.audio import decode
    from hfmm.metrics import wer
    from hfmm.recipe import Data

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = builders.build(Data(builder="clips"), {}, folder / "cache")
        rows = clips["train"].select(range(arguments.rows))
        samples = [decode(value) for value in rows["audio"][:]]
        rows.select_columns(["text"]).add_column("samples", samples).save_to_disk(str(folder / "rows"))
        own, run = ours(arguments.checkpoint, max(LOGGED, 4 * arguments.rows), folder)
        print(f"train  hfmm, 5 s                        {own:8.2f} clips a second", flush=True)
        for precision in ("fp32", "bf16"):
            speed = standard(arguments.checkpoint, folder / "rows", folder, precision)
            print(f"train  Trainer script, 30 s, {precision:<12}{speed:8.2f}  x {own / speed:.1f}", flush=True)

        heard = [decode(value) for value in clips["test"]["audio"][: arguments.clips]]
        references = [{"text": text} for text in clips["test"]["text"][: arguments.clips]]
        ways = listeners(arguments.checkpoint, run, folder)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        texts: dict[str, list[str]] = {way: [] for way in ways}
        for listen in ways.values():
            listen(heard[0])
        for clip in heard:
            for way, listen in ways.items():
                begun = time.perf_counter()
                texts[way].append(listen(clip))
                seconds[way].append(time.perf_counter() - begun)
        quickest = statistics.median(seconds["hfmm predict"])
        for way, times in seconds.items():
            edits, words = wer.statistics(texts[way], references)[""]
            median = statistics.median(times)
            share = 100 * edits.sum() / words.sum()
            print(f"hear   {way:<30} {1000 * median:7.0f} ms  x {median / quickest:5.1f}  WER {share:5.1f} %")


if __name__ == "__main__":
    main()
