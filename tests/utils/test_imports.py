from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from hfmm.utils import imports

imports.silence_libraries()
print(gc.isenabled(), gc.get_freeze_count())
imports.pause_gc_for_imports()
print(gc.isenabled())
imports.silence_libraries()
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
frozen = gc.get_freeze_count()
new_objects = [[] for _ in range(1000)]
imports.silence_libraries()
print(gc.get_freeze_count() == frozen)
"""


def test_gc_is_paused_during_imports_and_imported_objects_are_frozen() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == ["True 0", "False", "True True", "True"]
