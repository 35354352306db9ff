"""InstructPix2Pix's test curve: how far an edit goes the way of its words, against how much of the picture stays, as
the image guidance s_I moves (metrics/compute_metrics.py of its code).

    direction         x = cos(E(I₁) − E(I₀), E(T₁) − E(T₀))     I₀, T₀: the picture and its caption
    image_similarity  y = cos(E(I₀), E(I₁))                     I₁, T₁: the output and the edited caption

s_I 1.0 to 2.2 by 0.2, s_T 7.5, 100 steps, 512 × 512, 5,000 samples of the test split. E: CLIP ViT-L/14, given the
whole picture, resized without antialiasing. Nothing is compared with an edited picture, and none is opened.

What is not as there: our noise is of the sample alone (`rows.noise_seed`), theirs is one stream of a GPU; our outputs
are measured as 8-bit files, theirs as floats that may leave the range.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from uip2p.datasets.ip2p import Ip2pCaptions
from uip2p.editing.loading import pick_device
from uip2p.errors import UserError
from uip2p.evaluate.asking import Picture, Sampling, Session, Turn, open_picture
from uip2p.evaluate.editors import Editor
from uip2p.evaluate.encoders import ClipEncoder, Remembered, content, open_clip
from uip2p.evaluate.metrics import clip_direction, clip_image_similarity
from uip2p.evaluate.plots import trade_off
from uip2p.evaluate.rows import digest
from uip2p.evaluate.runs import Run
from uip2p.evaluate.suites import Published, Row, Suite, rows_along
from uip2p.evaluate.tables import cell, heading
from uip2p.images import FORMATS, load_image, write_atomic

SCALES = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2)
SAMPLES, SEED, SIZE = 5000, 0, 512
SAMPLING = Sampling(steps=100, guidance_scale=7.5, scheduler="euler-ancestral", size=SIZE)
GROUP = "single-turn"
CLIP = "clip-vit-l"
QUIRK = "_quirk"  # ends the names of the figures that are computed as the published script does
TITLES = {"": "pictures in [0, 1], as CLIP expects them", QUIRK: "pictures in [−1, 1], the published script's quirk"}

# The ends of the curves in UIP2P's figure, read off its plot: (direction, image similarity).
DIGITISED = {
    "InstructPix2Pix": ((0.048, 0.950), (0.151, 0.800)),
    "UIP2P, IP2P captions": ((0.125, 0.895), (0.182, 0.858)),
    "UIP2P, CC3M": ((0.122, 0.909), (0.176, 0.862)),
    "UIP2P, CC12M": ((0.094, 0.933), (0.158, 0.891)),
}
PUBLISHED = tuple(
    Published(f"{name}, the end that {end}", GROUP, {"direction": x, "image_similarity": y},
              "UIP2P, arXiv 2412.15216, digitised from its plot")
    for name, ends in DIGITISED.items()
    for end, (x, y) in zip(("keeps most", "edits most"), ends, strict=True)
)  # fmt: skip


def add_arguments(group: Any) -> None:
    """`--split` and the meter's `--clip` are everybody's: here train, val or test, and the CLIP of both axes."""
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--data", metavar="PATH", help="ip2p: the folder with seeds.json, <name>/prompt.json and <name>/<seed>_0.jpg")
    add("--size", type=int, help=f"ip2p: side in pixels of what is edited (default: {SIZE})")
    add("--samples", type=int, metavar="N", help=f"ip2p: the first N of the published choice (default: {SAMPLES})")
    add("--scales", type=float, nargs="+", metavar="S_I", help="ip2p: image guidance (default: 1.0 to 2.2 by 0.2)")
    add("--range-quirk", action="store_true",
        help="ip2p: both figures also as the published script computes them, which gives its CLIP pictures in [-1, 1] "
        "where it expects [0, 1]")  # fmt: skip


def build(args: argparse.Namespace) -> Ip2pCurve:
    """UserError: no data, a split with too few prompts, a bad scale or size, no such CLIP."""
    if not getattr(args, "data", None):
        raise UserError("ip2p: say where InstructPix2Pix's own folder is (it holds seeds.json): --data DIR.")
    if getattr(args, "image_guidance", None) is not None:
        raise UserError("--image-guidance: suite ip2p moves it along its curve. Give its values as --scales.")
    scales = tuple(sorted(getattr(args, "scales", SCALES)))
    if scales[0] < 0 or len(set(scales)) < len(scales) or not np.isfinite(scales).all():
        raise UserError(f"--scales {' '.join(map(str, scales))}: give numbers from 0 on, each once.")
    size = getattr(args, "size", None) or SIZE
    if size < 1:
        raise UserError(f"--size {size}: give a number of pixels from 1 on.")
    split, count = getattr(args, "split", "test"), getattr(args, "samples", SAMPLES)
    asked = read(Path(args.data), split, count)
    encoder = open_clip(getattr(args, "clip", CLIP), "ip2p", device=pick_device(getattr(args, "device", None)))
    encoders = {"": encoder}
    if getattr(args, "range_quirk", False):
        encoders[QUIRK] = replace(encoder, quirk=True)
    settings = {
        "suite": "ip2p", "split": split, "samples": count, "seed": SEED, "size": size,
        "asked": digest({"asked": [_content(each) for each in asked]}),
    }  # fmt: skip
    return Ip2pCurve(
        name="ip2p", settings=settings, sampling=replace(SAMPLING, size=size), baselines=("copy-input", "round trip"),
        metrics=(), captions="prompt.json", published=PUBLISHED, asked=asked, scales=scales, encoders=encoders,
    )  # fmt: skip


# The samples


@dataclass(frozen=True, slots=True)
class Asked:
    """One sample. key: <name>/<seed>. path: its picture."""

    key: str
    path: Path
    instruction: str
    caption: str
    edited_caption: str


def read(root: Path, split: str, count: int) -> tuple[Asked, ...]:
    """The first `count` samples of the published choice. UserError: the folder has too few, or a prompt lacks a text
    or its picture."""
    captions = Ip2pCaptions(root, split)
    asked = []
    for row in published_rows(captions.blocks, SEED, count, f"{root}, split {split}"):
        text = captions.caption(row)
        if not (text.instruction and text.edited_caption):
            raise UserError(f"{captions.where(row, 0)}: must have the fields edit and output, and text in both.")
        key = text.image_id.removesuffix("_0.jpg")
        asked.append(Asked(key, captions.picture(row), text.instruction, text.caption, text.edited_caption))
    return tuple(asked)


def published_rows(pictures: Sequence[int], seed: int, count: int, where: str) -> list[int]:
    """Which pictures the published script measures, in its order, as rows of `Ip2pCaptions`.

    pictures: how many each prompt of the split has. One stream of torch's on the CPU gives all of it: a permutation of
    the prompts, and then, prompt by prompt, which of its pictures and a resize that has one size to choose from (which
    takes a number of the stream too). So the first of a larger count are those of a smaller one.
    UserError: fewer prompts than are asked for."""
    if not 1 <= count <= len(pictures):
        raise UserError(
            f"{where}: has {len(pictures)} prompts, and {count} samples are asked for. Give --samples 1 to "
            f"{len(pictures)}; the published curve needs the whole data set."
        )
    first = [0, *accumulate(pictures)]
    stream = torch.Generator().manual_seed(seed)
    rows = []
    for prompt in torch.randperm(len(pictures), generator=stream)[:count].tolist():
        rows.append(first[prompt] + int(torch.randint(pictures[prompt], (), generator=stream)))
        torch.randint(1, (), generator=stream)
    return rows


def squeezed(path: Path, size: int | None) -> Picture:
    """The picture as the published loader gives it: the whole of it as a square of `size` pixels, Lanczos; the file
    itself where it is one already, as all of the data set are. None: as it is."""
    try:
        with Image.open(path, formats=FORMATS) as picture:  # reads the header only
            fits = picture.size == (size, size)
    except OSError:
        return path  # whoever opens it says what is wrong with it
    return path if fits or size is None else partial(_resized, path, size)


def _resized(path: Path, size: int) -> Image.Image:
    return load_image(path).resize((size, size), Image.Resampling.LANCZOS)


def _content(asked: Asked) -> list[str]:
    with asked.path.open("rb") as file:
        picture = hashlib.file_digest(file, "sha256").hexdigest()
    return [asked.key, picture, asked.instruction, asked.caption, asked.edited_caption]


# The curve


@dataclass(frozen=True, kw_only=True)
class Ip2pCurve(Suite):
    """scales: s_I of the rows, rising. encoders: E by what the names of its figures end in."""

    asked: tuple[Asked, ...]
    scales: tuple[float, ...] = SCALES
    encoders: Mapping[str, ClipEncoder]

    def sessions(self) -> list[Session]:
        return [
            Session(each.key, (Turn(
                key=each.key, instruction=each.instruction, source=squeezed(each.path, self.sampling.size),
                caption=each.caption, edited_caption=each.edited_caption, groups=(GROUP,),
            ),))
            for each in self.asked
        ]  # fmt: skip

    def rows(self, editors: Sequence[Editor]) -> list[Row]:
        """A row an editor and scale. UserError: an editor that cannot be told its image guidance."""
        return rows_along(editors, self.sampling, "image_guidance_scale", self.scales, "s_I {:g}".format)

    def measured(self) -> dict[str, Any]:
        return {
            name + end: {**encoder.describe(), "captions": self.captions}
            for end, encoder in self.encoders.items()
            for name in ("direction", "image_similarity")
        }

    def figures(self, turns: Sequence[Turn], outputs: Sequence[Image.Image]) -> list[dict[str, float]]:
        """direction and image_similarity, of every encoder."""
        sources = [open_picture(turn.origin()) for turn in turns]
        words = self.encoders[""].embed_texts([*(t.caption for t in turns), *(t.edited_caption for t in turns)])
        before, after = words.split(len(turns))
        found: dict[str, list[float]] = {}
        for end, seen in self._seen.items():
            source, output = torch.cat(seen(sources)), torch.cat(seen(list(outputs), keep=False))
            found["direction" + end] = clip_direction(output, source, after, before).tolist()
            found["image_similarity" + end] = clip_image_similarity(source, output).tolist()
        return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]

    @functools.cached_property
    def _seen(self) -> dict[str, Remembered[Image.Image]]:
        """Each row asks for the same sources, and a copy of one has its very embedding."""
        return {end: Remembered(encoder.embed_pictures, content) for end, encoder in self.encoders.items()}

    def finish(self, run: Run) -> list[Path]:
        """trade-off.png, and its points in trade-off.md."""
        axes = [
            (f"direction{end}", f"image_similarity{end}", f"{encoder.backbone}; {TITLES[end]}")
            for end, encoder in self.encoders.items()
        ]
        plot = trade_off(run, GROUP, axes, DIGITISED, "s_I", run.folder / "trade-off.png")
        points = points_table(run, [figure for *both, _ in axes for figure in both], self.encoders[""].backbone)
        return [plot, write_atomic(run.folder / "trade-off.md", points.encode())]


def points_table(run: Run, figures: Sequence[str], backbone: str) -> str:
    """The curve in numbers, as Markdown: published ends, then ours with 95 % intervals."""
    lines = ["| | s_I | " + " | ".join(map(heading, figures)) + " |", "|---|---|" + "---|" * len(figures)]
    for row in run.info["published"]:
        cells = [cell(figure, row["figures"].get(figure)) for figure in figures]
        lines.append(f"| *{row['name']} (published, digitised)* | – | {' | '.join(cells)} |")
    for row in run.info["rows"]:
        known = run.info["summary"][GROUP][row["name"]]
        scale = "–" if row["x"] is None else f"{row['x']:g}"
        lines.append(f"| {row['model'] or row['name']} | {scale} | {' | '.join(_with(known, f) for f in figures)} |")
    return "\n".join([*lines, "", NOTES.format(count=f"{len(run.samples):,}", backbone=backbone), ""])


NOTES = (
    "{count} samples, measured with {backbone}; in brackets 95 % intervals as samples are drawn anew. Published: CLIP "
    "ViT-L/14 on the data set's own test samples, with which only the same compares; the two ends of each curve are "
    "all that was read off the plot, and we do not know whether they have the range quirk of InstructPix2Pix's script. "
    "Copying the input stands at direction 0 and image similarity 1."
)


def _with(known: Mapping[str, Any], figure: str) -> str:
    if (found := known.get(figure)) is None:
        return "–"
    mean = cell(figure, found["mean"])
    return mean if found["low"] is None else f"{mean} [{cell(figure, found['low'])}, {cell(figure, found['high'])}]"
