"""Out of memory: how to tell, and how to come back from it."""

from __future__ import annotations

import gc
import traceback

import torch

SAID = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")  # CUDA, CPU, MPS, ONNX


def is_out_of_memory(error: BaseException) -> bool:
    """torch says it on the CPU in a RuntimeError like any other."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in SAID)


def release(error: BaseException) -> None:
    """Lets go of the tensors that a failed batch has left: its frames hold them."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen.__traceback__ = None  # a cleared frame keeps what its function closes over
        seen = seen.__cause__ or seen.__context__


def empty_caches() -> None:
    """Python's, of what holds itself, and the device's: after a batch that had not the memory. Takes a while."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
