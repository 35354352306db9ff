"""The heap of a process that runs for weeks and sees pictures of every size."""

from __future__ import annotations

import ctypes

ARENAS, MAPPED = (-8, 2), (-3, 1 << 20)  # glibc's M_ARENA_MAX and M_MMAP_THRESHOLD, and what they are set to


def keep_small() -> bool:
    """Large blocks go back to the system when they are freed, and threads share two heaps. By itself glibc keeps ever
    larger blocks, in a heap a thread, where those of another size do not fit: memory grows with the sizes that were
    seen. False: another allocator, which is left as it is."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return False
    return all(mallopt(*setting) == 1 for setting in (ARENAS, MAPPED))
