"""How many captions a second `uip2p data generate` does, and what CC12M costs in hours and in money.

    python benchmarks/generate.py PHOTOS                 4,000 captions: one process, two, two actors of a local Ray
    python benchmarks/generate.py PHOTOS --captions 100000

PHOTOS is any captioned source. Its captions are repeated, each time under ids of its own, until there are enough, in
Parquet shards; the grammar writes, every model-free predicate judges, and journals and shards lie on the disk of the
temporary folder. What is timed is the whole run: starting processes or Ray and loading the English model are in it
(they are printed too, as seconds for no caption), so more captions are done faster.

For an LLM behind an endpoint it is arithmetic, from what you say of it: a caption is one call, C of them are open at a
time, each takes L seconds (C / L captions a second), and its tokens have prices.

    python benchmarks/generate.py --endpoint --calls 64 --seconds 2.5 --tokens-in 900 --tokens-out 220 \\
        --price-in 0.10 --price-out 0.40
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import pyarrow
from pyarrow import parquet

from uip2p.datasets import open_captions
from uip2p.instructions.config import Config, Engine, SourceConfig
from uip2p.instructions.generate import generate

CC12M = 12_423_374  # captions
ENGINES = {"one process": Engine(), "two processes": Engine(workers=2), "Ray, two actors": Engine("ray", 2)}


def repeated(photos: str | Path, folder: Path, count: int, rows: int = 10_000) -> Path:
    """A source of `count` captions: those of another one again and again, in Parquet shards of `rows`."""
    source = open_captions(photos)
    captions = [source.caption(row) for row in range(len(source))]
    folder.mkdir(parents=True)
    for first in range(0, count, rows):
        some = [captions[row % len(captions)] for row in range(first, min(first + rows, count))]
        table = pyarrow.table({
            "image": [{"bytes": None, "path": f"{first + i}-{caption.image_id}"} for i, caption in enumerate(some)],
            "caption": [caption.caption for caption in some],
        })  # fmt: skip
        parquet.write_table(table, folder / f"{first // rows:05d}.parquet", row_group_size=1000)
    return folder


def timed(source: Path, out: Path, engine: Engine, limit: int = 0) -> tuple[float, float]:
    """Seconds, and the share of edits that are kept."""
    began = time.perf_counter()
    counts = generate(Config(SourceConfig(str(source)), limit=limit), out, engine, quiet=True)
    return time.perf_counter() - began, counts.accepted / max(1, counts.proposed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("photos", nargs="?", help="a captioned source")
    add("--captions", type=int, default=4000)
    add("--endpoint", action="store_true", help="only the arithmetic")
    add("--calls", type=int, default=64, help="open at a time")
    add("--seconds", type=float, default=2.5, help="that a call takes")
    add("--tokens-in", type=float, default=900, help="a caption; see the counts of a run")
    add("--tokens-out", type=float, default=220)
    add("--price-in", type=float, default=0.10, help="a million tokens")
    add("--price-out", type=float, default=0.40)
    args = parser.parse_args()
    if args.endpoint:
        rate = args.calls / args.seconds
        money = CC12M * (args.tokens_in * args.price_in + args.tokens_out * args.price_out) / 1e6
        print(f"{rate:.1f} captions a second: CC12M takes {CC12M / rate / 3600:,.0f} hours and costs {money:,.0f}")
        return
    if not args.photos:
        parser.error("give a captioned source, or --endpoint")
    print(f"{args.captions:,} captions, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("| | seconds for one caption | seconds | captions a second | edits kept | CC12M, hours |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        source = repeated(args.photos, Path(folder, "captions"), args.captions)
        for name, engine in ENGINES.items():
            start, _ = timed(source, Path(folder, f"{name}, start"), engine, limit=1)
            seconds, kept = timed(source, Path(folder, name), engine)
            rate = args.captions / seconds
            hours = CC12M / rate / 3600
            print(f"| {name} | {start:.1f} | {seconds:.1f} | {rate:.0f} | {kept:.1%} | {hours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
