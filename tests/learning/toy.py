"""A small real training: a convolutional denoiser of pictures with one coloured disc each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from uip2p.images import to_tensor, to_uint8
from uip2p.learning.objective import Outcome
from uip2p.learning.randomness import Draw, key


class Discs:
    """dataset[index] -> {"image": uint8 [16, 16, 3]}, a disc of some colour at some place."""

    def __init__(self, seed: int = 0):
        self.seed = seed

    def __getitem__(self, index: int) -> dict:
        random = np.random.Generator(np.random.Philox(key=key(self.seed, index)))
        rows, columns = np.mgrid[:16, :16]
        y, x = random.integers(4, 12, 2)
        picture = np.full((16, 16, 3), 230, np.uint8)
        picture[(rows - y) ** 2 + (columns - x) ** 2 < 16] = random.integers(0, 256, 3)
        return {"image": picture, "index": index}


class Denoiser(nn.Module):
    """The objective. `poison` are samples whose loss is NaN; a frozen layer and dropout are there to be got wrong."""

    def __init__(self, poison: frozenset[int] = frozenset()):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Dropout(0.1), nn.Conv2d(8, 3, 3, padding=1)
        )
        self.frozen = nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.register_buffer("count", torch.zeros(()))
        self.poison = poison

    def networks(self) -> list[nn.Module]:
        return [self.net]

    def forward(self, batch: list[dict], draw: Draw) -> Outcome:
        pictures = to_tensor(np.stack([item["image"] for item in batch]))
        noise = draw.normal("noise", pictures.shape[1:])
        level = draw.uniform("level")[:, None, None, None]
        guess = self.net(pictures * (1 - level) + noise * level)
        if self.training:
            self.count += len(batch)
        loss = (guess - pictures).square().mean((1, 2, 3))
        bad = torch.tensor([float("nan") if item["index"] in self.poison else 1.0 for item in batch])
        return Outcome({"denoise": loss * bad, "small": 0.01 * guess.abs().mean((1, 2, 3))}, {"level": level.flatten()})

    def samples(self, batch: list[dict], draw: Draw) -> np.ndarray:
        noise = draw.normal("noise", (3, 16, 16))
        return np.concatenate(list(to_uint8(self.net(noise))), axis=1)

    def export(self, folder: Path) -> None:
        save_file(
            {name: tensor.contiguous() for name, tensor in self.state_dict().items()}, folder / "model.safetensors"
        )

    def alarm(self, logs: dict[str, float]) -> str | None:
        return "the loss is very low" if logs["denoise"] < 0.2 else None
