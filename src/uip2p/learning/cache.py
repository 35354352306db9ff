"""`uip2p data cache`: everything of a record that training would compute again and again, computed once.

    cache/cache.json             what it was made with; training refuses models or sizes other than these
    cache/shard-00000.safetensors   512 rows, one after the other as the source has them; see `inputs` for what is in it
    cache/shard-00000.json          their texts, and the file's CRC-32

A shard is written whole or not at all, so the same command goes on; several processes (torchrun) share the shards out.
Texts occur again ("make it night"), so a shard keeps each reading once. Crops are further variants of a row.
"""

from __future__ import annotations

import json
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from uip2p.datasets.source import TEXTS, Source
from uip2p.errors import UserError, first_line
from uip2p.images import load_image, to_tensor
from uip2p.learning import checkpoint
from uip2p.learning.cycle import CycleObjective
from uip2p.learning.data import BlockShuffled
from uip2p.learning.quarantine import Quarantine
from uip2p.learning.randomness import Draw, key
from uip2p.models.reading import Reading
from uip2p.records import EditRecord

ROWS = 512  # in a shard
AT_ONCE = 16  # through the networks
CROPPED = 0.75  # least side of a crop, relative to the largest square
READ = ("instruction", "reverse_instruction")
SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Variants:
    """crops: pictures of each row; the first is the middle, as without a cache, the others lie somewhere and are up to
    a quarter smaller. flips: every row's mirrored pictures too, where none of its texts says left or right."""

    crops: int = 1
    flips: bool = False

    def __post_init__(self) -> None:
        if self.crops < 1:
            raise UserError(f"crops starts at 1, got {self.crops}.")

    def of(self, record: Any) -> list[tuple[int, bool]]:
        """(crop, mirrored) of each picture of a record."""
        words = " ".join(getattr(record, name) for name in TEXTS).lower().split()
        mirrored = [False, True] if self.flips and not any(side in words for side in SIDES) else [False]
        return [(crop, mirror) for mirror in mirrored for crop in range(self.crops)]


def crop(picture: Image.Image, size: int, number: int, name: str) -> np.ndarray:
    """Crop `number` of the picture called `name`: uint8 [size, size, 3]."""
    if number:
        u = Draw(0, number, [key("crop", name) % 2**63]).uniform("crop", (3,))[0].tolist()
        side = min(picture.size) * (CROPPED + (1 - CROPPED) * u[0])
        left, top = (u[1] * (picture.width - side), u[2] * (picture.height - side))
        picture = picture.crop((round(left), round(top), round(left + side), round(top + side)))
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS))


# ---- writing -----------------------------------------------------------------------------------------


def build_cache(
    objective: CycleObjective, source: Source, out: Path, size: int, made_with: dict[str, Any],
    variants: Variants | None = None, rank: int = 0, world: int = 1, progress: bool = True, corrupt: float = 0.01,
) -> None:  # fmt: skip
    """Fill `out` with the shards of this rank that are not there yet, or are damaged. A row whose picture cannot be
    decoded is replaced by the next one that can, and written into out/quarantine.jsonl. UserError: `out` holds a cache
    that was made with something else, the text encoder is one that learns, a text is missing, or a larger share of
    the pictures is bad than `corrupt`."""
    variants = variants or Variants()
    quarantine = Quarantine(out / "quarantine.jsonl", corrupt, len(source))
    if any(parameter.requires_grad for parameter in objective.editor.text_encoder.parameters()):
        raise UserError("this recipe trains its text encoder, so what it reads cannot be kept: there is no cache.")
    made_with = {**made_with, "size": size, "crops": variants.crops, "flips": variants.flips, "records": len(source)}
    _agree(out, made_with)
    shards = range(0, len(source), ROWS)
    mine = [number for number in range(len(shards)) if number % world == rank]
    with tqdm(total=len(mine) * ROWS, unit=" rows", unit_scale=True, disable=not progress, mininterval=1) as bar:
        for number in mine:
            rows = range(number * ROWS, min((number + 1) * ROWS, len(source)))
            if fault(out, number) is not None:
                _write_shard(objective, source, rows, out, number, size, variants, quarantine)
            bar.update(ROWS)


def _agree(out: Path, made_with: dict[str, Any]) -> None:
    path = out / "cache.json"
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        for name, value in made_with.items():
            if there.get(name) != value:
                raise UserError(
                    f"{path}: this cache was made with {name} = {there.get(name)!r}, and now it is {value!r}. Give "
                    "another folder, or remove this one."
                )
        return
    checkpoint.replace_text(path, json.dumps(made_with, indent=1) + "\n")


def _names(out: Path, number: int) -> tuple[Path, Path]:
    return out / f"shard-{number:05d}.safetensors", out / f"shard-{number:05d}.json"


def fault(out: Path, number: int) -> str | None:
    """Why a shard cannot be used, or None."""
    tensors, notes = _names(out, number)
    try:
        if _crc(tensors) != json.loads(notes.read_text(encoding="utf-8"))["crc32"]:
            return f"{tensors}: is damaged (its checksum is not that in {notes.name})"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{tensors}: is not whole ({first_line(error)})"
    return None


def _crc(path: Path) -> int:
    total = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            total = zlib.crc32(block, total)
    return total


@torch.no_grad()
def _write_shard(
    objective: CycleObjective, source: Source, rows: range, out: Path, number: int, size: int, variants: Variants,
    quarantine: Quarantine,
) -> None:  # fmt: skip
    pictures: list[np.ndarray] = []
    texts: list[dict[str, str]] = []
    for row in rows:
        row, record, picture = _readable(source, row, quarantine)
        for which, mirrored in variants.of(record):
            made = crop(picture, size, which, source.name(row))
            pictures.append(np.ascontiguousarray(made[:, ::-1]) if mirrored else made)
            texts.append({name: getattr(record, name) for name in TEXTS})
    tensors = {"image": torch.from_numpy(np.stack(pictures)), **_of_pictures(objective, pictures)}
    tensors |= _of_captions(objective, texts)
    said = list(dict.fromkeys(text[name] for text in texts for name in READ))
    place = {text: index for index, text in enumerate(said)}
    tensors |= _of_instructions(objective, said)
    for name in READ:
        tensors[f"{name}/index"] = torch.tensor([place[text[name]] for text in texts])
    path, notes = _names(out, number)
    checkpoint.replace_file(path, lambda new: checkpoint.write_tensors(new, tensors))
    checkpoint.replace_text(notes, json.dumps({"crc32": _crc(path), "rows": texts}, ensure_ascii=False))


def _readable(source: Source, row: int, quarantine: Quarantine) -> tuple[int, EditRecord, Image.Image]:
    """The row, or the next whose picture can be decoded: its number, itself and the picture."""
    for at in (*range(row, len(source)), *range(row)):
        record = source.record(at)
        quarantine.seen += 1
        try:
            return at, record, load_image(record.image)
        except UserError as error:
            quarantine.add(source.name(at), str(error))
    raise UserError(f"{source.name(row)} and {len(source) - 1} more: not one picture can be read.")


def _parts(count: int) -> Iterator[slice]:
    yield from (slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE))


def _of_pictures(objective: CycleObjective, pictures: list[np.ndarray]) -> dict[str, torch.Tensor]:
    means, deviations, embedded = [], [], []
    for part in _parts(len(pictures)):
        x = to_tensor(np.stack(pictures[part])).to(objective.editor.device)
        posterior = objective.editor.posterior(x)
        means.append(posterior[0])
        deviations.append(posterior[1])
        seen = objective.source(x, posterior[0])
        embedded.append(torch.stack([clip.embed_images(seen) for clip in objective.encoders], dim=1))
    found = {"latent_mean": means, "latent_std": deviations, "clip_image": embedded}
    return {name: torch.cat(parts).half().cpu() for name, parts in found.items()}


def _of_captions(objective: CycleObjective, texts: list[dict[str, str]]) -> dict[str, torch.Tensor]:
    found = {}
    for name, field in (("clip_caption", "caption"), ("clip_edited", "edited_caption")):
        words = [text[field] for text in texts]
        parts = [
            torch.stack([clip.embed_texts(words[part]) for clip in objective.encoders], dim=1)
            for part in _parts(len(words))
        ]
        found[name] = torch.cat(parts).half().cpu()
    return found


def _of_instructions(objective: CycleObjective, said: list[str]) -> dict[str, torch.Tensor]:
    told = Reading.cat([objective.editor.read(said[part]) for part in _parts(len(said))])
    found = {"states": told.states.half().cpu(), "content": told.content.cpu()}
    return found if told.pooled is None else found | {"pooled": told.pooled.half().cpu()}


# ---- reading -----------------------------------------------------------------------------------------


def is_cache(path: Path) -> bool:
    return (path / "cache.json").is_file()


class CachedRecords:
    """A cache as an endless dataset: rows as `inputs` wants them, pictures uint8 [size, size, 3].

    Each shard's checksum is compared when it is first opened. UserError: a shard is missing or damaged (which, and that
    the command that made it mends it); the cache was made with other models than `made_with`.
    split, validation: as for `data.OwnRecords`, but by whole shards, which have neighbours' texts in common.
    """

    mapped = True  # see `data.batches`

    def __init__(
        self, path: str | Path, made_with: dict[str, Any], seed: int = 0, split: str = "train", validation: float = 0.0
    ):
        self.path = Path(path)
        about = json.loads((self.path / "cache.json").read_text(encoding="utf-8"))
        for name, value in made_with.items():
            if about.get(name) != value:
                raise UserError(
                    f"{self.path}: this cache was made with {name} = {about.get(name)!r}, and this recipe has "
                    f"{value!r}. Make another with uip2p data cache."
                )
        count = -(-about["records"] // ROWS)
        held = round(validation * count) if count > 1 else 0
        held = max(held, 1) if validation and count > 1 else held
        shards = range(count - held, count) if split == "validation" else range(count - held)
        self.shards, self.rows = list(shards), []
        for number in self.shards:
            notes = _names(self.path, number)[1]
            try:
                self.rows.append(len(json.loads(notes.read_text(encoding="utf-8"))["rows"]))
            except (OSError, ValueError, KeyError) as error:
                raise UserError(
                    f"{notes}: is missing or damaged ({first_line(error)}). Run the command that made the cache "
                    "again: it makes what is missing."
                ) from None
        self.ends = list(accumulate(self.rows))
        self.order = BlockShuffled(self.rows, seed) if self.rows else None
        self.open: dict[int, tuple[dict[str, np.ndarray], list[dict[str, str]]]] = {}
        self.process = os.getpid()

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        assert self.order is not None
        row = self.order(index)
        block = bisect_right(self.ends, row)
        return self._row(self.shards[block], row - (self.ends[block] - self.rows[block]))

    def _row(self, number: int, row: int) -> dict[str, Any]:
        arrays, texts = self._shard(number)
        found: dict[str, Any] = dict(texts[row])
        for name in ("image", "latent_mean", "latent_std", "clip_image", "clip_caption", "clip_edited"):
            found[name] = arrays[name][row]
        for name in READ:
            at = int(arrays[f"{name}/index"][row])
            for part in ("states", "content", "pooled"):
                if part in arrays:
                    found[f"{name}/{part}"] = arrays[part][at]
        return found

    def _shard(self, number: int) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
        """Arrays that lie in the file itself, mapped: a row is read when it is looked at."""
        if self.process != os.getpid():
            self.open, self.process = {}, os.getpid()
        if number not in self.open:
            if (why := fault(self.path, number)) is not None:
                raise UserError(f"{why}. Run the command that made the cache again: it mends what is damaged.")
            path, notes = _names(self.path, number)
            texts = json.loads(notes.read_text(encoding="utf-8"))["rows"]
            self.open[number] = (mapped(path), texts)
        return self.open[number]


DTYPES = {"U8": np.uint8, "BOOL": np.bool_, "F16": np.float16, "F32": np.float32, "I64": np.int64}


def mapped(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as arrays on a memory map of it: nothing is copied until it is used."""
    try:
        with safe_open(path, "np") as file:
            names = list(file.keys())
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({first_line(error)}).") from error
    whole = np.memmap(path, np.uint8, "r", offset=8 + length)
    found = {}
    for name in names:
        about = header[name]
        start, end = about["data_offsets"]
        found[name] = whole[start:end].view(DTYPES[about["dtype"]]).reshape(about["shape"])
    return found
