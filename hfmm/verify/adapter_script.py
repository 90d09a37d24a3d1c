"""Run in a process of its own, without hfmm: prints how far base and adapter, merged, are from the published model.

Argument: JSON with base and its revision, adapter and model and the branch of both, and auto_class.
"""

import json
import sys

import torch
import transformers
from peft import PeftModel


def main(job: dict[str, str]) -> None:
    """Load all three by their Hub ids and compare tensor by tensor."""
    kind = getattr(transformers, job["auto_class"])
    branch = {"revision": job["branch"]}
    config = transformers.AutoConfig.from_pretrained(job["model"], **branch)
    arguments = {"config": config, "ignore_mismatched_sizes": True, "dtype": "float32"}
    base = kind.from_pretrained(job["base"], revision=job["revision"], **arguments)
    merged = PeftModel.from_pretrained(base, job["adapter"], **branch).merge_and_unload().state_dict()
    model = kind.from_pretrained(job["model"], **branch).state_dict()
    differences = {name: max_difference_beyond_eps(merged[name], tensor) for name, tensor in model.items()}
    worst = max(differences, key=differences.__getitem__)
    print(json.dumps({"tensor": worst, "difference": differences[worst]}))


def max_difference_beyond_eps(merged: torch.Tensor, published: torch.Tensor) -> float:
    """Return by how much two tensors differ where that is more than the published one's dtype can tell apart."""
    if not published.is_floating_point():
        return float((merged != published).any())
    written = published.float()
    return float(((merged - written).abs() - torch.finfo(published.dtype).eps * written.abs()).max())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
