"""Have glibc keep freed memory for the next layer instead of giving it back to the system.

A forward pass asks for large blocks and frees them layer by layer. By default glibc maps each of them anew and unmaps
it again, and the kernel fills every page with zeros on its first touch: half of the time of a forward pass on a CPU.
What is computed stays the same to the last bit.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as <malloc.h> numbers them
LARGEST = 2**30  # bytes: blocks up to this size come from the heap; larger ones are mapped as before
NEVER = -1


@cache
def keep_freed_memory() -> bool:
    """Tell glibc, once a process, to keep what is freed; return whether it does, False on other systems.

    Resident memory then stays at its peak until ``rft.runtime.memory.release_freed_memory``.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    holds: bool = library.mallopt(M_MMAP_THRESHOLD, LARGEST) == 1 and library.mallopt(M_TRIM_THRESHOLD, NEVER) == 1
    return holds
