"""The adapter of a run as its own repository: it names its base model by Hub id and shows how to load both."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from huggingface_hub import ModelCardData

from hfmm.card.hub_text import HubRevision, from_pretrained_args
from hfmm.card.metadata import derived_metadata
from hfmm.errors import UserError
from hfmm.hub.files import RepoFiles, files_in_folder, repo_file
from hfmm.hub.push import RepoTarget
from hfmm.run_directory import RunDirectory
from hfmm.verify.process import ADAPTER_SCRIPT

CONFIG, CARD = "adapter_config.json", "README.md"
TOLERANCE = 1e-4  # allowed difference from the weights that were merged in the training process

TEXT = """---
{metadata}
---

# {title} (adapter)

This repository contains only the adapter trained on top of [`{base}`](https://huggingface.co/{base}). The merged
model, with its scores and ready for `transformers.pipeline`, is [`{model}`](https://huggingface.co/{model}).

```python
from peft import PeftModel
from transformers import AutoConfig, {auto_class}

config = AutoConfig.from_pretrained({model_loaded})  # labels and sizes of the fine-tuned model
base = {auto_class}.from_pretrained({base_loaded}, config=config, ignore_mismatched_sizes=True)
model = PeftModel.from_pretrained(base, {adapter_loaded})
```
"""


def adapter_files(
    run: RunDirectory,
    auto_class: str,
    card: ModelCardData,
    title: str,
    targets: tuple[RepoTarget, RepoTarget],
    base: HubRevision,
) -> RepoFiles:
    """Return the files of the adapter repository.

    ``targets`` are the repositories of the model and of the adapter, ``card`` is the metadata of the model. Raises
    UserError if the run has no adapter.
    """
    if not run.adapter.is_dir():
        raise UserError(
            f"{run.root} has no adapter: no stage trained one, an earlier stage changed weights that an adapter cannot "
            "hold, or the model was assembled from two checkpoints and has no single base model. Publish without "
            "--adapter-repo, or fine-tune the published model with LoRA in a new run."
        )
    model, adapter = targets
    files = files_in_folder(run.adapter)
    config = json.loads((run.adapter / CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": base.id, "revision": base.revision}
    files[CONFIG] = repo_file(CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    text = TEXT.format(
        metadata=derived_metadata(card, "peft", base.id, "adapter").to_yaml(line_break="\n"),
        title=title,
        base=base.id,
        model=model.id,
        auto_class=auto_class,
        model_loaded=from_pretrained_args(model.id, model.branch),
        base_loaded=from_pretrained_args(*base),
        adapter_loaded=from_pretrained_args(adapter.id, adapter.branch),
    )
    files[CARD] = repo_file(CARD, text.encode())
    return files


def verify_adapter(job: dict[str, Any], environment: dict[str, str]) -> None:
    """Check in a new process that base model and adapter, both loaded by Hub id, give the published model.

    Raises UserError naming the tensor with the largest difference.
    """
    command = [sys.executable, "-P", str(ADAPTER_SCRIPT), json.dumps(job)]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True)
    if completed.returncode:
        reason = (completed.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The adapter was pushed, but it does not load on its base model: {reason}")
    largest = json.loads(completed.stdout)
    if largest["difference"] > TOLERANCE:
        raise UserError(
            f"The adapter was pushed, but on its base model it does not give the published model: {largest['tensor']} "
            f"differs by {largest['difference']:.1e}."
        )
