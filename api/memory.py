"""Makes the C library give the memory of large bodies back to the system when they are freed."""

from __future__ import annotations

import ctypes
from typing import Final

M_MMAP_THRESHOLD: Final = -3
LARGE_BYTES: Final = 256 * 1024


def give_large_blocks_back() -> bool:
    """Have every large block be a mapping of its own, which ends when the block is freed; return whether that works.

    By default glibc raises this bound to the size of what was freed, up to 32 MiB. Bodies of some megabytes then lie
    in the heap, and what small blocks pin between them stays with the process: several times what was in use at once.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGE_BYTES) == 1
