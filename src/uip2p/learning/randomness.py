"""Randomness as an argument: every draw is a pure function of (seed, name, step, sample) and of nothing else.

So a run can stop, resume, change its batch size, its workers or its number of GPUs, and still see the same noise.
One generator a sample, not one a batch: sample 7 draws the same whether it sits in a batch of 1 or of 768. The
generator is NumPy's Philox under a 128-bit key. It is made for this (a counter under a key, no state to warm up),
and unlike torch's CPU generator it keeps the whole key (torch's keeps 32 bits, and a long run draws more often than
that has room for) and gives the same numbers with every vector instruction set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


def key(*parts: object) -> int:
    """128 bits that are the same on every machine, Python and process; unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=16).digest(), "little")


class Draw:
    """Every random draw of one batch. Rows follow `samples`: row i belongs to sample `samples[i]`.

    seed, step: integers; negative steps are for what is not training (validation, sample grids).
    samples: the global index of each sample of the batch.
    device: where the results go; they are always drawn on the CPU, so that every device sees the same ones.
    """

    def __init__(self, seed: int, step: int, samples: Sequence[int], device: torch.device | str | None = None):
        self.seed, self.step, self.samples = int(seed), int(step), [int(sample) for sample in samples]
        self.device = device

    @property
    def host(self) -> Draw:
        """The same draws on the CPU: for what is decided there, so that nobody waits for the device."""
        return Draw(self.seed, self.step, self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def normal(self, name: str, shape: Sequence[int] = ()) -> torch.Tensor:
        """Standard normal float32 [B, *shape]."""
        return self._rows(
            f"normal {name}", shape, np.float32, lambda g, row: g.standard_normal(dtype=np.float32, out=row)
        )

    def uniform(self, name: str, shape: Sequence[int] = ()) -> torch.Tensor:
        """Uniform float32 [B, *shape] in [0, 1)."""
        return self._rows(f"uniform {name}", shape, np.float32, lambda g, row: g.random(dtype=np.float32, out=row))

    def integers(self, name: str, high: int, shape: Sequence[int] = ()) -> torch.Tensor:
        """Uniform int64 [B, *shape] in [0, high)."""

        def fill(generator: np.random.Generator, row: np.ndarray) -> None:
            row[...] = generator.integers(high, size=row.shape)

        return self._rows(f"integers {name}", shape, np.int64, fill)

    def part(self, rows: slice) -> Draw:
        """The draws of some of the rows."""
        return Draw(self.seed, self.step, self.samples[rows], self.device)

    def _rows(self, name, shape, dtype, fill) -> torch.Tensor:
        rows = np.empty((len(self.samples), *shape), dtype)
        flat = rows.reshape(len(self.samples), -1)
        for row, sample in zip(flat, self.samples, strict=True):
            philox = np.random.Philox(key=key(self.seed, name, self.step, sample))
            fill(np.random.Generator(philox), row)
        tensor = torch.from_numpy(rows)
        return tensor if self.device is None else tensor.to(self.device)
