from __future__ import annotations

import subprocess
import sys

STATES = """
import gc
from hfmm import libraries

libraries.imported()
print(gc.isenabled(), gc.get_freeze_count())
libraries.importing()
print(gc.isenabled())
libraries.imported()
print(gc.isenabled(), gc.get_freeze_count() > 100_000)
frozen = gc.get_freeze_count()
later = [[] for _ in range(1000)]
libraries.imported()
print(gc.get_freeze_count() == frozen)
"""


def test_the_collector_rests_while_libraries_are_imported_and_passes_over_what_they_left() -> None:
    done = subprocess.run([sys.executable, "-c", STATES], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["True 0", "False", "True True", "True"]
