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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="configure_malloc supports only glibc")
def test_configure_malloc_avoids_page_faults_in_later_steps() -> None:
    faults, default_faults = (
        int(subprocess.run([sys.executable, "-c", STEPS, mode], capture_output=True, text=True, check=True).stdout)
        for mode in ("keep", "default")
    )
    assert faults < default_faults / 5  # not zero, because the heap still grows in the first steps
