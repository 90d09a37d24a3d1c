"""What a model frees, kept for its next step, which asks for the same again."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h
ALL = 2**31 - 1


def configure_malloc() -> None:
    """Have glibc keep what is freed; with another C library nothing changes.

    By itself it gives large blocks back to the system, and each step waits while the same pages are found and cleared
    again. What a process holds at most grows by a tenth at worst, where steps ask for different things (mallopt(3)).
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(TRIM_THRESHOLD, ALL)
        library.mallopt(MMAP_MAX, 0)
