"""Run in a process of its own, without hfmm: prints how far base and adapter, merged, are from the published model.

Argument: JSON with base, revision, adapter, model and auto_class.
"""

import json
import sys

import transformers
from peft import PeftModel


def main(job: dict[str, str]) -> None:
    """Load all three by their Hub ids and compare tensor by tensor."""
    kind = getattr(transformers, job["auto_class"])
    config = transformers.AutoConfig.from_pretrained(job["model"])
    arguments = {"config": config, "ignore_mismatched_sizes": True}
    base = kind.from_pretrained(job["base"], revision=job["revision"], **arguments)
    merged = PeftModel.from_pretrained(base, job["adapter"]).merge_and_unload().state_dict()
    model = kind.from_pretrained(job["model"]).state_dict()
    differences = {name: float((merged[name] - tensor).abs().max()) for name, tensor in model.items()}
    worst = max(differences, key=differences.__getitem__)
    print(json.dumps({"tensor": worst, "difference": differences[worst]}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
