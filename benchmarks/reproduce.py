"""What it takes to reproduce each number of the paper: downloads, commands, GPU hours at measured speed.

    python benchmarks/reproduce.py      # docs/reproduce.md and the README's table, from docs/results/speed/gpu.json

Hours are counts over speeds. The counts are the protocols' and the recipes' own; the speeds are what `gpu.py` has
measured; where it has not, a count of operations stands in, and is called an estimate.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paper import DOWNLOADS, Download, Result, results, training

from uip2p.errors import UserError
from uip2p.images import write_atomic

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- python benchmarks/reproduce.py -->\n", "<!-- end -->\n"
GPU, OUT = HERE.parent / "docs/results/speed/gpu.json", HERE.parent / "docs/reproduce.md"

# TFLOP a picture of the step at 256 px, and what a training step reaches of the limit: counted, not measured.
EXACT, LEAN, LIMIT, SHARE = 4.23, 1.88, 790, 0.35
EDIT_AT_LIMIT = 0.310  # seconds of one edit of 512 px in 100 steps of three evaluations, at the limit


@dataclass(frozen=True)
class Speed:
    """seconds: for one picture. source: where the figure is from."""

    seconds: float
    source: str
    measured: bool


# Speeds

def speeds(gpu: dict[str, Any]) -> dict[str, Speed]:
    """Of one device's rows, each the fastest way that was measured."""
    exact, lean = _pictures(gpu, "train sd15 256 whole exact"), _pictures(gpu, "train sd15 256 whole lean")
    trainer = _pictures(gpu, "trainer sd15-cc12m")
    found = {
        "train, exact": trainer or exact or _scaled(lean, EXACT / LEAN, "lean") or _counted(EXACT),
        "train, lean": lean or _scaled(trainer or exact, LEAN / EXACT, "exact") or _counted(LEAN),
        "edit": _seconds(gpu, "edit sd15 512 100 steps")
        or Speed(EDIT_AT_LIMIT / SHARE, f"estimate: {EDIT_AT_LIMIT} s at the limit, {SHARE:.0%} of it", False),
    }
    metrics = [row for row in _rows(gpu) if row["what"].startswith("metrics ") and row.get("pictures_per_second")]
    if metrics:
        best = max(metrics, key=lambda row: row["pictures_per_second"])
        found["metrics"] = Speed(1 / best["pictures_per_second"], _measured(best), True)
    return found


def _rows(gpu: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in gpu["rows"] if row.get("device", gpu["device"]) == gpu["device"]]


def _pictures(gpu: dict[str, Any], what: str) -> Speed | None:
    rows = [row for row in _rows(gpu) if row["what"] == what]
    if not rows:
        return None
    best = max(rows, key=lambda row: row["pictures_per_second"])
    return Speed(1 / best["pictures_per_second"], _measured(best), True)


def _seconds(gpu: dict[str, Any], what: str) -> Speed | None:
    rows = [row for row in _rows(gpu) if row["what"] == what]
    if not rows:
        return None
    best = min(rows, key=lambda row: row["seconds_per_picture"])
    return Speed(best["seconds_per_picture"], _measured(best), True)


def _measured(row: dict[str, Any]) -> str:
    peak = f", {row['peak_gb']:.1f} GB" if row.get("peak_gb") else ""
    return f"measured: {row['what']}, {row['mode']}, batch {row['batch']}{peak}"


def _counted(tflop: float) -> Speed:
    source = f"estimate: {tflop} TFLOP a picture at {SHARE:.0%} of the {LIMIT} TFLOP/s that an H200 reaches"
    return Speed(tflop / (LIMIT * SHARE), source, False)


def _scaled(other: Speed | None, factor: float, name: str) -> Speed | None:
    """What the same device would do with `factor` times the operations."""
    if other is None:
        return None
    return Speed(other.seconds * factor, f"estimate: {factor:.2f} × the operations of “{name}” ({other.source})", False)


# In print

def hours(result: Result, speed: dict[str, Speed]) -> dict[str, float]:
    """Part → GPU hours; metrics are counted where their speed was measured."""
    found = {part: work.pictures * speed[work.speed].seconds / 3600 for part, work in result.work.items()}
    if "metrics" in speed and "edit" in result.work:
        found["metrics"] = result.work["edit"].pictures * speed["metrics"].seconds / 3600
    return found


def said(result: Result, speed: dict[str, Speed]) -> str:
    """ "train 363 h: 8,448,000 × 0.155 s; edit …"."""
    told = []
    for part, value in hours(result, speed).items():
        work = result.work.get(part, result.work.get("edit"))
        name = work.speed if part != "metrics" else "metrics"
        sign = "" if speed[name].measured else "≈ "
        told.append(f"{part} {sign}{_hours(value)}: {work.pictures:,.0f} × {speed[name].seconds:.3g} s")
    return "<br>".join(told) or "none here: outputs are made with its own code"


def _hours(value: float) -> str:
    return f"{value:,.0f} h" if value >= 10 else f"{value:.1f} h" if value >= 0.1 else f"{value * 60:.0f} min"


def size(download: Download) -> str:
    if download.gigabytes is None:
        return "–"
    if download.gigabytes < 0.5:
        return f"{1000 * download.gigabytes:.0f} MB"
    return f"{download.gigabytes:.1f} GB" if download.gigabytes < 10 else f"{download.gigabytes:.0f} GB"


PAGE = """\
# What each number of the paper takes

Nobody has done it yet. Hours are of one {device}, torch {torch}: the protocol’s counts over the speeds below. ≈ marks
an estimate where nothing was measured. `python benchmarks/reproduce.py` writes this page.

{results}

{slow}In all ≈ {total}; with a tiny decoder for the losses (`--set 'model.tiny_decoder="tiny-sd"'`: other mathematics,
and TAESD to be downloaded) ≈ {lean}. Instructions written by an LLM, as in the paper, cost that LLM’s time besides; the
grammar’s cost no GPU. {metrics}

## Downloads

| name | where | size | licence | |
|---|---|---|---|---|
{downloads}

Sizes of models are their parameters in fp32.

## Speeds

| | seconds a picture | pictures a second | where it is from |
|---|---|---|---|
{speeds}
"""


def table(gpu: dict[str, Any]) -> str:
    """One row a number of the paper: what to download, the commands, the hours."""
    speed = speeds(gpu)
    lines = ["| number | download | commands | GPU hours |", "|---|---|---|---|"]
    for result in results():
        commands = "<br>".join(f"`{command}`" for command in result.commands)
        lines.append(f"| {result.name} | {'; '.join(result.needs)} | {commands} | {said(result, speed)} |")
    return "\n".join(lines)


def slow(found: Speed, pictures: float) -> str:
    """A warning, where training was measured far below what the device can do; "" elsewhere."""
    share = EXACT / (found.seconds * LIMIT)
    if share > SHARE / 2:
        return ""
    better = _hours(pictures * EXACT / (LIMIT * SHARE) / 3600)
    return (
        "Training was measured in small batches only, in which the card waits for its next kernel most of the time:\n"
        f"{share:.1%} of its limit. At {SHARE:.0%} of it, which published trainers reach, one training would take\n"
        f"≈ {better} (estimate).\n\n"
    )


def readme(text: str, gpu: dict[str, Any]) -> str:
    """The README with the table between its two marks. UserError: it has no marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{README}: has no {BEGIN.strip()} … {END.strip()} for the table to stand in.")
    return f"{before}{begin}{table(gpu)}\n{end}{after}"


def markdown(gpu: dict[str, Any]) -> str:
    speed, every = speeds(gpu), results()
    total = sum(value for result in every for value in hours(result, speed).values())
    pictures = sum(result.work["train"].pictures for result in every if "train" in result.work)
    saved = pictures * (speed["train, exact"].seconds - speed["train, lean"].seconds) / 3600

    return PAGE.format(
        device=gpu["device"],
        torch=gpu["torch"],
        results=table(gpu),
        slow=slow(speed["train, exact"], training("sd15-cc12m").pictures),
        total=_hours(total),
        lean=_hours(total - saved),
        metrics="" if "metrics" in speed else "The metrics’ own time was not measured, and is not counted.",
        downloads="\n".join(
            f"| {name} | {d.where} | {size(d)} | {d.licence} | {d.note} |" for name, d in DOWNLOADS.items()
        ),
        speeds="\n".join(
            f"| {name} | {s.seconds:.3g} | {1 / s.seconds:.3g} | {s.source} |" for name, s in speed.items()
        ),
    )


def read_gpu(path: Path) -> dict[str, Any]:
    """UserError: no such file, or a row without what it is and how fast."""
    try:
        gpu = json.loads(path.read_text(encoding="utf-8"))
        for number, row in enumerate(gpu["rows"], 1):
            if not row.get("what") or not (row.get("pictures_per_second") or row.get("seconds_per_picture")):
                raise UserError(f"{path}, row {number}: needs what, and pictures_per_second or seconds_per_picture.")
        return {"device": gpu["device"], "torch": gpu["torch"], "rows": gpu["rows"]}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). benchmarks/gpu.py writes it.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not what benchmarks/gpu.py writes ({error!r}).") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", type=Path, default=GPU, help="speeds, as benchmarks/gpu.py writes them")
    parser.add_argument("--out", type=Path, default=OUT, help="the page")
    args = parser.parse_args()
    gpu = read_gpu(args.gpu)
    write_atomic(args.out, markdown(gpu).encode())
    write_atomic(README, readme(README.read_text(encoding="utf-8"), gpu).encode())
    print(args.out, README, sep="\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
