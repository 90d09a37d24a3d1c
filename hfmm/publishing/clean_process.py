"""Run in a process of its own, without hfmm: loads a model with plain transformers and writes what it says.

Arguments: the folder with job.json (task, model, inputs, arguments, batch size) and where to write the outputs.
"""

import json
import sys
from pathlib import Path

from PIL import Image
from transformers import pipeline


def main(job_folder: Path) -> None:
    """Answer job.json with outputs.json."""
    job = json.loads((job_folder / "job.json").read_text(encoding="utf-8"))
    loaded = pipeline(job["task"], model=job["model"])
    inputs = [Image.open(job_folder / name) for name in job["inputs"]]
    outputs = loaded(inputs, batch_size=job["batch_size"], **job["arguments"])
    if "hfmm" in sys.modules:
        raise SystemExit("the published model imported hfmm")
    (job_folder / "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
