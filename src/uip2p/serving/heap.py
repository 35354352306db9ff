"""The memory of a process that runs for weeks and sees pictures of every size."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from typing import Any

ARENAS, MAPPED = (-8, 2), (-3, 1 << 20)  # M_ARENA_MAX and M_MMAP_THRESHOLD, and what they are set to
KERNELS = 256  # that oneDNN keeps, one for each shape of each layer; by itself 1,024, in ever more memory
EVERY = 5.0  # seconds between two times that free memory is given back


def keep_small() -> bool:
    """Before the model runs: what torch keeps for each shape is bounded, large blocks go back to the system once they
    are freed, and threads share two heaps. By itself glibc keeps ever larger blocks, in a heap a thread, where those of
    another size do not fit. False: another allocator, which is left as it is."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS))
    mallopt = _function("mallopt")
    return mallopt is not None and all(mallopt(*setting) == 1 for setting in (ARENAS, MAPPED))


class Heap:
    """Gives the free pages between the small blocks back now and then: some milliseconds each time."""

    def __init__(self) -> None:
        self.given = time.monotonic()

    def give_back(self) -> None:
        """Once in EVERY seconds; in between, nothing."""
        trim = _function("malloc_trim")
        if trim is not None and time.monotonic() - self.given > EVERY:
            trim(0)
            self.given = time.monotonic()


@functools.cache
def _function(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):  # not glibc
        return None
