"""A script without hfmm: load a model with plain transformers, predict some inputs and run the snippet of its card.

After its imports it reads from standard input the folder that holds job.json (task, model, revision, modality, inputs,
arguments, batch size) and snippet.py. It writes outputs.json and printed.txt there.
"""

import json
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import pipeline


def main(folder: Path) -> None:
    """Predict the inputs, then run the snippet in its folder."""
    os.chdir(folder)
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    pipe = pipeline(job["task"], model=job["model"], revision=job["revision"])
    readers: dict[str, Callable[[Path], Any]] = {"audio": _audio, "image": Image.open, "chat": _chat, "text": _chat}
    inputs = [readers[job["modality"]](folder / name) for name in job["inputs"]]
    outputs = pipe(inputs, **{"batch_size": job["batch_size"], **job["arguments"]})
    (folder / "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
    with (folder / "printed.txt").open("w", encoding="utf-8") as printed, redirect_stdout(printed):
        runpy.run_path(str(folder / "snippet.py"), run_name="__main__")
    if "hfmm" in sys.modules:
        raise SystemExit("the published model imported hfmm")


def _audio(path: Path) -> dict[str, Any]:
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return {"raw": samples, "sampling_rate": rate}


def _chat(path: Path) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return messages


if __name__ == "__main__":
    main(Path(sys.stdin.read()))
