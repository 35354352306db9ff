"""LPIPS with AlexNet: our own trunk for the weights that torchvision publishes, and the linear heads that torchmetrics
brings. Only one of the two can be had from a package registry, so the trunk's file is the user's to give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from uip2p.errors import UserError, first_line
from uip2p.evaluate import metrics
from uip2p.evaluate.encoders import full_precision, unit_tensor
from uip2p.evaluate.rows import fingerprint
from uip2p.models.pickles import packaged_tensors, refuse_pickle

HEADS = ("torchmetrics", "functional/image/lpips_models/alex.pth")
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation, for [-1, 1]
LEAST = 31  # below this side the second pooling has nothing to pool


class AlexNetTrunk(nn.Module):
    """The five convolutions of AlexNet, each with its ReLU; names and places of the weights are torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] → what each ReLU gives, five of [B, C, h, w]."""
        found = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(x)
        return found


@dataclass(frozen=True)
class Lpips:
    """heads: five of [C]. batch_size: pairs of one size that are looked at together."""

    trunk: AlexNetTrunk
    heads: tuple[Tensor, ...]
    weights: str
    batch_size: int = 32

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "AlexNet (LPIPS 0.1)", "weights": self.weights, "heads": "torchmetrics",
            "resize": "none beyond the target's size", "crop": "none", "range": "[-1, 1]",
        }  # fmt: skip

    @torch.no_grad()
    def distances(self, outputs: Sequence[Image.Image], targets: Sequence[Image.Image]) -> list[float]:
        """Pairs of PIL RGB, the two of a pair of one size → their distances, 0 is best. ValueError: sizes that differ,
        or a side below 31 pixels."""
        found: list[float] = []
        with full_precision():
            for pairs in self._batches(list(zip(outputs, targets, strict=True))):
                output, target = (self.trunk(self._inputs(pictures)) for pictures in zip(*pairs, strict=True))
                found += metrics.lpips(output, target, self.heads).tolist()
        return found

    def _batches(self, pairs: list[tuple[Image.Image, Image.Image]]) -> Iterator[list[tuple[Image.Image, Image.Image]]]:
        """In order, so that no result has to be put back in its place: neighbours of one size together."""
        for (size, other), alike in groupby(pairs, key=lambda pair: (pair[0].size, pair[1].size)):
            if size != other or min(size) < LEAST:
                raise ValueError(f"lpips: two pictures of one size of at least {LEAST} pixels, got {size} and {other}")
            together = list(alike)
            for start in range(0, len(together), self.batch_size):
                yield together[start : start + self.batch_size]

    def _inputs(self, pictures: Sequence[Image.Image]) -> Tensor:
        device = self.heads[0].device
        shift, scale = (torch.tensor(x, device=device)[:, None, None] for x in (SHIFT, SCALE))
        return (2 * torch.stack([unit_tensor(picture) for picture in pictures]).to(device) - 1 - shift) / scale


def open_lpips(file: str | Path, device: str | torch.device = "cpu", batch_size: int = 32) -> Lpips:
    """file: torchvision's AlexNet (alexnet-owt-7be5be79) as .safetensors; its classifier may be in it. UserError: the
    pickle that torchvision publishes, with the command that converts it, or a file that is no AlexNet."""
    file = Path(file).expanduser()
    refuse_pickle(file)
    if not file.is_file():
        raise UserError(f"--lpips {file}: there is no such file. Give torchvision's AlexNet as .safetensors.")
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"--lpips {file}: not a safetensors file ({first_line(error)}).") from error
    trunk = AlexNetTrunk()
    for name, wanted in trunk.state_dict().items():
        if name not in tensors or tensors[name].shape != wanted.shape:
            got = list(tensors[name].shape) if name in tensors else "nothing"
            should = f"'{name}' should be {list(wanted.shape)}, is {got}"
            raise UserError(f"--lpips {file}: {should}. Give torchvision's AlexNet.")
    trunk.load_state_dict({name: tensors[name].float() for name in trunk.state_dict()})
    trunk.eval().requires_grad_(False).to(device)
    heads = packaged_tensors(*HEADS)
    weights = tuple(heads[f"lin{layer}.model.1.weight"].flatten().to(device) for layer in range(5))
    return Lpips(trunk, weights, fingerprint(file), batch_size)
