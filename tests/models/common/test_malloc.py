from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MIB = 64
STEPS = f"""
import resource, sys
import torch
from hfmm.models.common.malloc import configure_malloc

if sys.argv[1] == "keep":
    configure_malloc()
step = lambda: torch.ones({MIB} * 2**18)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked to keep freed memory")
def test_a_step_finds_the_memory_of_the_last_one_without_asking_the_system() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", STEPS, way], capture_output=True, text=True, check=True).stdout)
        for way in ("keep", "leave")
    )
    assert kept < given_back / 5  # not none, as the heap finds its size in the first steps
