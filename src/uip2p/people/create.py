"""Making a study: which samples, under which names, and the checks among them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from PIL import Image, ImageOps

from uip2p.errors import UserError
from uip2p.images import load_image, save_image, write_atomic
from uip2p.people.sources import Sample
from uip2p.people.study import CHOICES, PICTURES, STUDY_FILE, Item, Key, Study, key_json, study_json

LARGEST = 1024  # pixels of the longer side: more than a page shows, and a phone has to load it
FRAMES = {"red": "#d01c1c", "blue": "#1c3fd0", "green": "#12903a", "yellow": "#f2c80f"}


def create(samples: Sequence[Sample], count: int, checks: int, seed: int, folder: Path, key_file: Path) -> Study:
    """Write the study's folder and its key.

    count: samples that are asked, drawn by seed. checks: attention checks among them. Everything that is random comes
    of the seed; who does not know it cannot guess a name.
    UserError: too few samples or methods, a picture that is missing (all are named), a folder with things in it."""
    methods = tuple(samples[0].outputs)
    if len(methods) <= CHOICES:
        raise UserError(
            f"{len(methods)} methods ({', '.join(methods)}): the best {CHOICES} of them are asked, so give at least "
            f"{CHOICES + 1}."
        )
    if count < 1 or checks < 0:
        raise UserError(f"--count starts at 1 and --checks at 0, not {count} and {checks}")
    if count > len(samples):
        raise UserError(f"--count {count}: there are {len(samples)} samples. Ask for fewer.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--out {folder}: is there already. Name a new folder: answers belong to one study only.")
    if key_file.exists():
        raise UserError(f"--key {key_file}: is there already. Name a new file: without its key a study is lost.")
    if folder.resolve() in key_file.resolve().parents:
        raise UserError(f"--key {key_file}: lies in the folder that is served. Keep it elsewhere.")

    draw = random.Random(f"{seed} samples")
    shuffled = sorted(samples, key=lambda sample: sample.key)
    draw.shuffle(shuffled)
    chosen, others = shuffled[:count], shuffled[count:]
    bases = [(others or chosen)[number % len(others or chosen)] for number in range(checks)]
    _check_files(chosen, bases)

    names = _names(seed, (count + checks) * (len(methods) + 1))
    ids = random.Random(f"{seed} items")
    pictures: dict[str, Callable[[], Image.Image]] = {}
    items, owners, shown, right = [], {}, {}, {}

    def item(sample: Sample, instruction: str) -> Item:
        new = Item(f"{ids.getrandbits(32):08x}", instruction, next(names), tuple(islice(names, len(methods))))
        pictures[new.input] = partial(_input, sample)
        shown[new.id] = sample.key
        items.append(new)
        return new

    for sample in chosen:
        for method, name in zip(methods, item(sample, sample.instruction).candidates, strict=True):
            pictures[name] = partial(_output, sample, method)
            owners[name] = method
    colours = draw.sample(list(FRAMES), len(FRAMES))
    for sample, colour in zip(bases, cycle(colours), strict=False):
        check = item(sample, f"Put a thick {colour} frame around the picture")
        right[check.id] = check.candidates[:CHOICES]
        for name in check.candidates:
            pictures[name] = partial(_framed if name in right[check.id] else _negative, sample, FRAMES[colour])

    public = sorted((replace(item, candidates=tuple(sorted(item.candidates))) for item in items), key=lambda i: i.id)
    study = Study(_hash(f"{seed} {[item.id for item in public]}"), _hash(f"{seed} shuffle"), tuple(public))
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    for name in sorted(pictures):  # not method by method: a file's date would tell
        save_image(pictures[name](), folder / PICTURES / name)
    key_file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(key_file, key_json(Key(study.id, seed, methods, owners, shown, right)))
    key_file.chmod(0o600)
    write_atomic(folder / STUDY_FILE, study_json(study))
    return study


def _check_files(chosen: Sequence[Sample], bases: Sequence[Sample]) -> None:
    missing = [str(sample.source) for sample in (*chosen, *bases) if not sample.source.is_file()]
    for sample in chosen:
        missing += [f"{path} ({method})" for method, path in sample.outputs.items() if not path.is_file()]
    if missing:
        listed = "".join(f"\n  {name}" for name in dict.fromkeys(missing))
        raise UserError(f"{len(set(missing))} pictures of the chosen samples are missing:{listed}\nMake them first.")


def _names(seed: int, count: int) -> Iterator[str]:
    """File names that are drawn, each once. Lossless WebP: smaller than PNG on a phone's connection."""
    draw = random.Random(f"{seed} names")
    names: dict[str, None] = {}
    while len(names) < count:
        names[f"{draw.getrandbits(64):016x}.webp"] = None
    return iter(names)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _input(sample: Sample) -> Image.Image:
    picture = load_image(sample.source)
    return ImageOps.contain(picture, (LARGEST, LARGEST)) if max(picture.size) > LARGEST else picture


def _output(sample: Sample, method: str) -> Image.Image:
    """In the input's size, whatever the method's own: else its size would give it away."""
    return load_image(sample.outputs[method]).resize(_input(sample).size)


def _framed(sample: Sample, colour: str) -> Image.Image:
    """What a check asks for: the input with a frame over its border, an eighth of the shorter side."""
    picture = _input(sample)
    width = max(1, min(picture.size) // 8)
    return ImageOps.expand(ImageOps.crop(picture, width), width, colour)


def _negative(sample: Sample, _colour: str) -> Image.Image:
    """What a check does not ask for: no frame, and nothing of the colours is preserved."""
    return ImageOps.invert(_input(sample))
