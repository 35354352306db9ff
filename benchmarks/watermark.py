"""Is the watermark invisible, does it survive, is it seen where there is none?

    python benchmarks/watermark.py                 tables for docs/provenance.md, some 4 minutes on a laptop's core
    python benchmarks/watermark.py --look FOLDER   besides, pictures to look at: before, after, the difference × 8

Pictures at 512 px: public-domain photographs of scikit-image, and drawn scenes of the miniature world, which are flat.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from uip2p.images import grid
from uip2p.provenance import watermark
from uip2p.scenes.render import render
from uip2p.scenes.world import World

SIZE = 512


def photographs() -> Iterator[tuple[str, Image.Image]]:
    import skimage.data

    for name in ("astronaut", "chelsea", "coffee"):
        picture = Image.fromarray(getattr(skimage.data, name)())
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        yield name, square.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def scenes(count: int, first: int = 0) -> Iterator[tuple[str, Image.Image]]:
    world = World(seed=0, split="test", size=SIZE)
    for index in range(first, first + count):
        yield f"scene {index}", Image.fromarray(render(world.scene(index), SIZE))


def saved(picture: Image.Image, format: str, **options: int) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, format, **options)
    return Image.open(content).convert("RGB")


def cropped(picture: Image.Image, share: float) -> Image.Image:
    dx, dy = (round(side * share / 2) for side in picture.size)
    return picture.crop((dx, dy, picture.width - dx, picture.height - dy))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "PNG": lambda picture: saved(picture, "PNG"),
    "JPEG 95": lambda picture: saved(picture, "JPEG", quality=95, subsampling=0),
    "JPEG 75": lambda picture: saved(picture, "JPEG", quality=75),
    "JPEG 50": lambda picture: saved(picture, "JPEG", quality=50),
    "WebP 80": lambda picture: saved(picture, "WEBP", quality=80),
    "resize ×0.5": lambda picture: picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS),
    "crop 10 %": lambda picture: cropped(picture, 0.1),
}


def difference(before: Image.Image, after: Image.Image) -> tuple[float, int]:
    """(PSNR in dB, the largest difference of a channel)."""
    delta = np.asarray(before).astype(float) - np.asarray(after)
    return 10 * np.log10(255**2 / max(np.square(delta).mean(), 1e-9)), int(np.abs(delta).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look", type=Path, metavar="FOLDER", help="write pictures to look at")
    args = parser.parse_args()
    pictures = [*photographs(), *scenes(5)]

    print("| picture | PSNR | largest difference | " + " | ".join(CHANGES) + " |")
    print("|" + "---|" * (3 + len(CHANGES)))
    for name, picture in pictures:
        marked = watermark.embed(picture)
        psnr, largest = difference(picture, marked)
        wrong = [watermark.wrong_bits(change(marked)) for change in CHANGES.values()]
        print(f"| {name} | {psnr:.1f} dB | {largest} | " + " | ".join(map(str, wrong)) + " |", flush=True)
        if args.look:
            look(args.look / f"{name.replace(' ', '-')}.png", picture, marked)

    unmarked = [*photographs(), *scenes(97, first=100)]
    wrong = [watermark.wrong_bits(picture) for _, picture in unmarked]
    claimed = sum(each <= watermark.TOLERATED for each in wrong)
    print(f"\n{len(unmarked)} unmarked pictures: {min(wrong)} to {max(wrong)} wrong bits of {watermark.BITS}; "
          f"{claimed} would be claimed (at most {watermark.TOLERATED})")  # fmt: skip

    began = time.perf_counter()
    for _, picture in pictures:
        watermark.embed(picture)
    print(f"{(time.perf_counter() - began) / len(pictures) * 1000:.0f} ms to embed at {SIZE} px")


def look(path: Path, before: Image.Image, after: Image.Image) -> None:
    """A part of 170 px, three times as large: before, after, and eight times their difference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    delta = np.asarray(after).astype(int) - np.asarray(before)
    amplified = Image.fromarray(np.clip(128 + 8 * delta, 0, 255).astype(np.uint8))
    box = (170, 250, 340, 420)
    parts = [each.crop(box).resize((510, 510), Image.Resampling.NEAREST) for each in (before, after, amplified)]
    grid([np.asarray(part) for part in parts], 3, ["before", "after", "difference × 8, around grey"]).save(path)


if __name__ == "__main__":
    main()
