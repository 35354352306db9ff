"""What the tests of a run share: a captioned source, a writer whose edits are a function of (seed, caption), and what a
run's folder must hold."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from PIL import Image

from uip2p.errors import UserError
from uip2p.instructions.accept import PREDICATES, Rules
from uip2p.instructions.config import Config, Engine, SourceConfig
from uip2p.instructions.generate import generate
from uip2p.instructions.shards import finished, place, read_journal, read_rows
from uip2p.instructions.writer import Edit, Written
from uip2p.instructions.writers import open_writer
from uip2p.learning.randomness import key

WAIT = 0.002  # seconds for a caption in a life that is to be killed: 300 take 0.6
COLORS = ("red", "blue", "green", "black", "white", "yellow")


def make_source(folder: Path, pictures: int = 60, captions: int = 5) -> Path:
    """An imagefolder: `pictures` small pictures with `captions` captions each."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(pictures):
        Image.new("RGB", (24, 16), (number % 256, 99, 200)).save(folder / f"{number}.png")
        texts = [f"A {COLORS[(number + i) % 6]} car number {number} on a street" for i in range(captions)]
        rows.append({"file_name": f"{number}.png", "captions": texts})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


class ColorWriter:
    """Makes the car another colour, up to three ways, some of them twice; gives out captions in tens, the last first.
    Waits WAIT seconds for a caption; leaves its process's number in the folder WHO."""

    name, model, prompt = "color", "", "1"

    def __init__(self, config, spent):
        self.seed, self.wait = config.seed, float(os.environ.get("WAIT", 0))
        if "WHO" in os.environ:
            Path(os.environ["WHO"], str(os.getpid())).touch()

    def write(self, captions, mode="full"):
        held = []
        for row, caption in captions:
            held.append(self._written(row, caption))
            time.sleep(self.wait)
            if len(held) == 10:
                yield from reversed(held)
                held = []
        yield from held

    def _written(self, row, caption):
        dice = key(self.seed, caption.id)
        before = caption.caption.split()[1]
        if dice % 11 == 0:
            return Written(row, error="no colour that can be changed", calls=1, tokens_in=7)
        colors = [COLORS[(dice >> 8 * i) % 6] for i in range(dice % 4)]
        edits = [
            Edit("color", f"make the car {color}", caption.caption.replace(before, color), f"make the car {before}")
            for color in colors
            if color != before
        ]
        return Written(row, tuple(edits), calls=1, tokens_in=7, tokens_out=3)


class BrokenWriter(ColorWriter):
    """Gives up after five captions."""

    def write(self, captions, mode="full"):
        for count, written in enumerate(super().write(captions, mode)):
            if count == 5:
                raise UserError("the place is too dark")
            yield written


def noted(config, spent):
    """The grammar writer of a process that leaves its number in the folder WHO."""
    Path(os.environ["WHO"], str(os.getpid())).touch()
    return open_writer(config, spent)


def grammar_on_ray(source: Path, out: Path, who: Path) -> None:
    os.environ |= {"WHO": str(who), "PYTHONPATH": os.pathsep.join(sys.path)}  # the fork server has neither
    generate(Config(SourceConfig(str(source))), out, Engine("ray", 2), make_writer=noted, quiet=True)


def config(source: Path, **changes) -> Config:
    return Config(SourceConfig(str(source)), **{"shard_rows": 50, "rules": Rules(skip=tuple(PREDICATES)), **changes})


def edits_and_rejected(out: Path) -> dict[str, bytes]:
    """The bytes of every Parquet file of a run."""
    files = [path for folder in ("edits", "rejected") for path in (out / folder).glob("*")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def ids_done(out: Path) -> Counter[str]:
    """How often each caption is done: in a journal, or in the files of a finished shard (there once, whatever its
    edits)."""
    there = set(finished(out))
    found: Counter[str] = Counter()
    shards = {number: set() for number in there}
    for folder in ("edits", "rejected"):
        for number in there:
            from pyarrow import parquet

            shards[number] |= set(parquet.read_table(place(out, folder, number), columns=["id"])["id"].to_pylist())
    for ids in shards.values():
        found.update(ids)
    for path in (out / "journal").glob("*.jsonl"):
        if int(path.stem) not in there:
            found.update(done.id for done in read_journal(path))
    return found


def rows(out: Path, folder: str = "edits") -> list[dict]:
    return list(read_rows(out, folder))


def life(source: Path, out: Path, death: str, workers: int, engine: str = "local") -> None:
    os.setsid()
    log = os.open(f"{out}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {"WAIT": str(WAIT), "PYTHONPATH": os.pathsep.join(sys.path)}  # for Ray's workers, too
    if death:
        _around(*death.split())
    try:
        generate(config(source), out, Engine(engine, workers), make_writer=ColorWriter)
    except KeyboardInterrupt:
        os._exit(130)


def _around(kind: str, name: str, count: str) -> None:
    """Die before or after the count-th file of that name is put in its place."""
    move, seen = os.replace, []

    def dying(source, target):
        seen.extend([target] * (name in str(target)))
        hit = name in str(target) and len(seen) == int(count)
        if kind == "before" and hit:
            os.kill(os.getpid(), signal.SIGKILL)
        move(source, target)
        if kind == "after" and hit:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = dying
