"""The adapter of a run as a repository of its own: it names its base by a Hub id and says how to load both."""

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
TOLERANCE = 1e-4  # merged weights may differ so much from those that were merged in the training process

TEXT = """---
{metadata}
---

# {title}: the adapter alone

What training added to [`{base}`](https://huggingface.co/{base}), without it. Merged into it, ready for
`transformers.pipeline` and with its scores, it is [`{model}`](https://huggingface.co/{model}).

```python
from peft import PeftModel
from transformers import AutoConfig, {auto_class}

config = AutoConfig.from_pretrained({model_loaded})  # labels and sizes are those of the tuned model
base = {auto_class}.from_pretrained({base_loaded}, config=config, ignore_mismatched_sizes=True)
model = PeftModel.from_pretrained(base, {adapter_loaded})
```
"""


def adapter_files(
    run: RunDirectory,
    auto_class: str,
    card: ModelCardData,
    title: str,
    places: tuple[RepoTarget, RepoTarget],
    base: HubRevision,
) -> RepoFiles:
    """Return the adapter's files; ``places`` are the model's repository and its own, ``card`` is the model's.

    Raises UserError where the run has no adapter.
    """
    if not run.adapter.is_dir():
        raise UserError(
            f"{run.root} has no adapter: none was trained, or a stage before it changed more than an adapter can "
            "carry, or the model was put together from two checkpoints, so that none is its base. Publish without "
            "--adapter-repo, or tune the published model with LoRA in a run of its own."
        )
    model, adapter = places
    files = files_in_folder(run.adapter)
    settings = json.loads((run.adapter / CONFIG).read_text(encoding="utf-8"))
    settings |= {"base_model_name_or_path": base.id, "revision": base.revision}
    files[CONFIG] = repo_file(CONFIG, (json.dumps(settings, indent=2) + "\n").encode())
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
    """Prove in a fresh process that base and adapter, each by its Hub id, make the model that was published.

    Raises UserError with the tensor that differs most.
    """
    command = [sys.executable, "-P", str(ADAPTER_SCRIPT), json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"The adapter was pushed, and does not load with its base: {reason}")
    worst = json.loads(done.stdout)
    if worst["difference"] > TOLERANCE:
        raise UserError(
            f"The adapter was pushed, and with its base it is not the model: {worst['tensor']} differs by "
            f"{worst['difference']:.1e}."
        )
