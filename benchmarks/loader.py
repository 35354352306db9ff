"""How fast training is fed: records a second from a cache, and from pictures, through the loader that training uses.

    python benchmarks/loader.py                 4,096 records at Stable Diffusion 1.5's size (256 px), batch 32

The cache is written by `uip2p data cache`'s own writer, with random numbers in the place of the networks' answers:
pictures 256 × 256, latents 4 × 32 × 32, readings 77 × 768 of two instructions a record that nobody else has (real ones
occur again, and are kept once), CLIP embeddings of 768, all fp16. Beside it the same records as JPEG and PNG files of
512 × 384, which have to be decoded and resized. A record counts when it lies in the arrays that the objective sends to
the device, so that nothing is left in a lazily read file. Files are in the system's cache, as with fast disks. With
workers a cache is read by one thread, however many they are (`learning.data.batches`).

Medians of the rounds, spread beside them; the load of the machine before each row. Goal: 2,000 a second from the cache
on two cores: a GPU that does 421 a second at its limit (docs/performance.md) needs a fifth of that.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from uip2p.evaluate.rows import commit, versions
from uip2p.learning.cache import CachedRecords, build_cache
from uip2p.learning.data import OwnRecords, StepSampler, batches
from uip2p.learning.inputs import readings, stacked
from uip2p.learning.objective import pictures
from uip2p.models.reading import Reading
from uip2p.records import EditRecord

SIZE = 256
DEVICE = torch.device("meta")  # takes what it is sent, and converts in no time: that is a GPU's work
CPU = torch.device("cpu")


class Networks:
    """What the cache asks of an objective, answered at random."""

    def __init__(self) -> None:
        self.editor = SimpleNamespace(device=CPU, text_encoder=torch.nn.Identity(), posterior=self.posterior, read=read)
        self.encoders = [SimpleNamespace(embed_images=embed, embed_texts=embed)]

    def source(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return x

    @staticmethod
    def posterior(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(len(x), 4, SIZE // 8, SIZE // 8), torch.rand(len(x), 4, SIZE // 8, SIZE // 8)


def read(texts: list[str]) -> Reading:
    return Reading(torch.randn(len(texts), 77, 768), torch.ones(len(texts), 77, dtype=torch.bool))


def embed(things: Any) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(len(things), 768), dim=1)


class Source:
    """`count` records with a picture of noise each."""

    def __init__(self, count: int):
        self.blocks = [count]

    def __len__(self) -> int:
        return self.blocks[0]

    def name(self, row: int) -> str:
        return str(row)

    def record(self, row: int) -> EditRecord:
        return EditRecord(picture(row, SIZE, SIZE), "a car", f"make it {row}", f"a car, {row}", f"make it not {row}")


def picture(row: int, width: int, height: int) -> Image.Image:
    """Smooth as photographs are, with some noise, so that files have a photograph's size."""
    random = np.random.default_rng(row)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return Image.fromarray((smooth + random.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8))


def write_folder(folder: Path, count: int, kind: str) -> None:
    import json

    folder.mkdir()
    rows = []
    for row in range(count):
        picture(row, 512, 384).save(folder / f"{row}.{kind}", **({"quality": 92} if kind == "jpg" else {}))
        record = Source(count).record(row)
        texts = ("caption", "instruction", "edited_caption", "reverse_instruction")
        rows.append(json.dumps({"file_name": f"{row}.{kind}", **{name: getattr(record, name) for name in texts}}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))


def take(batch: list[dict[str, Any]], editor: Any) -> None:
    """A batch as the cycle objective takes it."""
    pictures(batch, device=DEVICE)
    if "latent_mean" in batch[0]:
        for name in ("latent_mean", "latent_std", "clip_image", "clip_caption", "clip_edited"):
            stacked(batch, name, DEVICE)
        kept = torch.zeros(len(batch), dtype=torch.bool)
        for key in ("instruction", "reverse_instruction"):
            readings(editor, batch, [key] * len(batch), kept)


def measure(dataset: Any, batch: int, workers: int, rounds: int, steps: int) -> list[float]:
    """Batches a second in each round; the first quarter of a round, in which workers start, is not counted."""
    editor, rates = SimpleNamespace(device=DEVICE), []
    for number in range(rounds):
        first = number * steps
        began, counted = 0.0, 0
        for step, items in enumerate(batches(dataset, StepSampler(first, first + steps, batch), workers)):
            take(items, editor)
            if step == steps // 4:
                began = time.perf_counter()
            elif step > steps // 4:
                counted += 1
        rates.append(counted / (time.perf_counter() - began))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=4096)
    parser.add_argument("--pictures", type=int, default=512, help="files of each kind")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the second core is for the workers
    print(f"commit {commit()}, torch {versions().get('torch')}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        began = time.perf_counter()
        build_cache(Networks(), Source(args.records), root / "cache", SIZE, {}, progress=False)  # type: ignore[arg-type]
        size = sum(path.stat().st_size for path in (root / "cache").iterdir())
        print(f"cache: {args.records} records, {size / 1e9:.2f} GB, {time.perf_counter() - began:.0f} s to write")
        kinds: list[tuple[str, Any, int]] = [("cache", CachedRecords(root / "cache", {}), args.records)]
        for kind in ("jpg", "png"):
            write_folder(root / kind, args.pictures, kind)
            kinds.append((kind, OwnRecords(root / kind, SIZE), args.pictures))
        print(f"{'from':8}{'workers':>8}{'records/s':>12}{'spread':>16}{'batches/s':>12}{'load':>8}")
        for kind, dataset, count in kinds:
            for workers in (0, 1, 2):
                load = os.getloadavg()[0]
                steps = max(8, count // args.batch)
                rates = measure(dataset, args.batch, workers, args.rounds, steps)
                middle = statistics.median(rates)
                spread = f"{min(rates) * args.batch:,.0f} … {max(rates) * args.batch:,.0f}"
                print(f"{kind:8}{workers:>8}{middle * args.batch:>12,.0f}{spread:>16}{middle:>12.1f}{load:>8.1f}")


if __name__ == "__main__":
    main()
