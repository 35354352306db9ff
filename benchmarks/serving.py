"""What a server stands: crowds, many requests, hostile files, a kill, guessed keys, its own schema turned against it.

    python benchmarks/serving.py --out docs/results/serving          what is not there yet; all of it is 15 minutes
    python benchmarks/serving.py load hostile                        some of it, printed; with --out: again

It starts `uip2p serve` on the shipped model for each, as a user would, on the loopback address. Every loop is bounded.
--out: figures.json, and figures.md, the table that the docs show.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hostile
import httpx
import numpy as np
import torch
from measure import where
from served import EDITS, Peak, Server, server, wait_until
from serving_keys import keys
from serving_ray import ray
from serving_table import markdown

from uip2p.images import write_atomic

MB = 1e6


# ---- 200 clients, a queue of 8 -------------------------------------------------------------------


def load(clients: int = 200, patience: float = 300) -> dict[str, Any]:
    """All at once; then, all of them again, each as often as it takes: who is told to come back comes when told."""
    content = hostile.picture()

    async def once(client: httpx.AsyncClient) -> tuple[int, float, str]:
        began = time.monotonic()
        answer = await client.post(EDITS, files={"image": ("a.png", content)}, data={"prompt": "make the car blue"})
        return answer.status_code, time.monotonic() - began, answer.headers.get("retry-after", "")

    async def patient(client: httpx.AsyncClient, ends: float) -> tuple[int, float, str]:
        began = time.monotonic()
        while True:
            status, _, after = await once(client)
            if status != 429 or time.monotonic() > ends:
                return status, time.monotonic() - began, after
            await asyncio.sleep(float(after) * random.uniform(1, 1.5))

    async def crowd(ask: Callable[..., Any], *more: Any) -> list[tuple[int, float, str]]:
        several = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=clients))
        async with running.asking(timeout=patience, transport=several) as client:
            return await asyncio.gather(*(ask(client, *more) for _ in range(clients)))

    def figures(answers: Sequence[tuple[int, float, str]]) -> dict[str, Any]:
        seconds = sorted(each[1] for each in answers)
        statuses = Counter(status for status, _, _ in answers)
        told = [after for status, _, after in answers if status == 429]
        return {
            "statuses": dict(sorted(statuses.items())), "median_s": statistics.median(seconds),
            "longest_s": seconds[-1], "429_with_retry_after": sum(bool(after) for after in told),
        }  # fmt: skip

    with server("--queue", "8") as running:
        running.edit(content)
        burst = figures(asyncio.run(crowd(once)))
        began = time.monotonic()
        returning = figures(asyncio.run(crowd(patient, time.monotonic() + patience)))
        returning["edits_per_second"] = clients / (time.monotonic() - began)
        last = running.edit(content).status_code
        return {"clients": clients, "queue": 8, "burst": burst, "returning": returning, "next": last}


# ---- 2,000 requests ------------------------------------------------------------------------------


def memory(requests: int = 2000, at_once: int = 4, warm: int = 200, seed: int = 0) -> dict[str, Any]:
    """Pictures of random sizes (16 to 1,024 pixels a side, proportions to 1:8) and formats. Resident memory after
    `warm` requests, and at the end."""
    rng = random.Random(seed)
    widths = [2 ** rng.uniform(5, 10) for _ in range(requests)]
    sizes = [(int(side), int(min(1024, max(16, side * 2 ** rng.uniform(-3, 3))))) for side in widths]
    formats = [rng.choice(["PNG", "JPEG", "WEBP"]) for _ in range(requests)]
    noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    resident: list[int] = []
    statuses: Counter[int] = Counter()

    def content(size: tuple[int, int], format: str) -> bytes:
        out = io.BytesIO()
        hostile.Image.fromarray(noise).resize(size).save(out, format)
        return out.getvalue()

    async def all_of_them() -> None:
        gate = asyncio.Semaphore(at_once)

        async def one(client: httpx.AsyncClient, size: tuple[int, int], format: str) -> None:
            async with gate:
                picture = await asyncio.to_thread(content, size, format)
                files = {"image": (f"a.{format.lower()}", picture)}
                answer = await client.post(EDITS, files=files, data={"prompt": "make the car blue"})
            statuses[answer.status_code] += 1
            resident.append(running.resident())
            if len(resident) % 100 == 0:
                print(f"  {len(resident)} requests, {resident[-1] / MB:.0f} MB", file=sys.stderr)

        async with running.asking(timeout=120) as client:
            await asyncio.gather(*(one(client, *each) for each in zip(sizes, formats, strict=True)))

    with server() as running:
        began = time.monotonic()
        asyncio.run(all_of_them())
        seconds = time.monotonic() - began
    window = max(1, min(100, requests // 10))
    before, after = (statistics.median(part) for part in (resident[warm : warm + window], resident[-window:]))
    return {
        "requests": requests, "statuses": dict(statuses), "seconds": seconds, "warm_mb": before / MB,
        "end_mb": after / MB, "growth": after / before - 1, "peak_mb": max(resident) / MB,
        "every_100_mb": [round(each / MB) for each in resident[99::100]],
    }  # fmt: skip


# ---- the largest picture -------------------------------------------------------------------------


def large() -> dict[str, Any]:
    """One edit of as many pixels as a server takes by itself, 25 million, after a small one has warmed it up."""
    out = io.BytesIO()
    colors = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    hostile.Image.fromarray(colors).resize((5000, 5000)).save(out, "JPEG")
    with server() as running:
        running.edit(hostile.picture())
        before = running.resident()
        with Peak(running) as peak:
            began = time.monotonic()
            answer = running.edit(out.getvalue(), output_format="jpeg")
            seconds = time.monotonic() - began
        return {
            "status": answer.status_code, "seconds": seconds, "before_mb": before / MB,
            "rise_mb": (peak.bytes - before) / MB, "after_mb": running.resident() / MB,
        }  # fmt: skip


# ---- hostile files -------------------------------------------------------------------------------


def hostile_files() -> dict[str, Any]:
    """Each alone, after a good one of 1,024 px has warmed it up; a good one after each."""
    good = hostile.picture(size=(1024, 1024))
    rows = {}
    with server() as running:
        for _ in range(3):
            assert running.edit(good).status_code == 200
        for name, content in hostile.files().items():
            before = running.resident()
            with Peak(running) as peak:
                began = time.monotonic()
                answer = running.edit(content, name)
                seconds = time.monotonic() - began
            rows[name] = {
                "status": answer.status_code, "seconds": seconds, "rise_mb": max(0, peak.bytes - before) / MB,
                "bytes": len(content), "says": answer.json().get("error", {}).get("message", ""),
                "next": running.edit(hostile.picture()).status_code,
            }  # fmt: skip
    return {
        "files": len(rows), "statuses": dict(Counter(row["status"] for row in rows.values())),
        "greatest_rise_mb": max(row["rise_mb"] for row in rows.values()),
        "longest_s": max(row["seconds"] for row in rows.values()),
        "next_good": dict(Counter(row["next"] for row in rows.values())), "rows": rows,
    }  # fmt: skip


# ---- SIGTERM -------------------------------------------------------------------------------------


def kill() -> dict[str, Any]:
    """During a job that can be finished in time, and during one that can not."""
    return {"short": _killed(steps=40), "long": _killed(steps=200, n=8)}


def _killed(**fields: Any) -> dict[str, Any]:
    answers: list[httpx.Response] = []
    with server() as running:
        running.edit(hostile.picture())
        asking = threading.Thread(target=lambda: answers.append(running.edit(hostile.picture(), **fields)))
        asking.start()
        metrics = httpx.Client(base_url=running.url, headers=running.headers)
        wait_until(lambda: "uip2p_in_work 0.0" not in metrics.get("/metrics").text, 20, running.log)
        running.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        code = running.process.wait(30)
        seconds = time.monotonic() - began
        asking.join(5)
    answer = answers[0]
    told = answer.headers.get("retry-after")
    return {"status": answer.status_code, "retry_after": told, "exit_code": code, "exit_s": seconds}


# ---- its own schema ------------------------------------------------------------------------------


def fuzz(examples: int = 100) -> dict[str, Any]:
    """schemathesis makes requests of the OpenAPI schema, right and wrong ones: no answer may be a 500. Counted by the
    server itself."""
    with server("--rate", "0", "--queue", "64") as running, tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{running.url}/openapi.json", "--header",
            f"Authorization: Bearer {running.key}", "--max-examples", str(examples), "--checks", "not_a_server_error",
            "--seed", "1", "--report", "junit", "--report-dir", folder, "--no-color", "--request-timeout", "60",
        ]  # fmt: skip
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), *filter(None, [os.environ.get("PYTHONPATH")])])
        hooks = {**os.environ, "SCHEMATHESIS_HOOKS": str(here / "fuzz_pictures.py"), "PYTHONPATH": path}
        before = counted(running)
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=hooks, cwd=folder)
        after = counted(running) - before
        alive = running.edit(hostile.picture()).status_code
    statuses, edits = Counter[str](), Counter[str]()
    for (path, status), count in after.items():
        statuses[status] += count
        edits[status] += count if path == EDITS else 0
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-1000:], file=sys.stderr)
    return {"exit_code": done.returncode, "statuses": dict(sorted(statuses.items())), "of_edits": dict(+edits),
            "next": alive}  # fmt: skip


def counted(running: Server) -> Counter[tuple[str, str]]:
    """Requests by path and status, as /metrics has them."""
    found = Counter[tuple[str, str]]()
    for line in running.client.get("/metrics").text.splitlines():
        if line.startswith("uip2p_requests_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            found[labels["path"], labels["status"]] += int(float(line.rpartition(" ")[2]))
    return found


# ---- all of it -----------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "load": load, "memory": memory, "large": large, "hostile": hostile_files, "kill": kill, "keys": keys, "fuzz": fuzz,
    "ray": ray,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--out", type=Path, help="a folder for the figures")
    args = parser.parse_args()
    path = None if args.out is None else args.out / "figures.json"
    found = json.loads(path.read_text()) if path and path.exists() else {}
    for name in args.parts or [part for part in PARTS if part not in found]:
        print(f"{name} …", file=sys.stderr)
        about = {"where": where(torch.device("cpu")), "load_before": os.getloadavg()[0]}
        figures = json.loads(json.dumps({**about, **PARTS[name]()}))  # as it will be read: all keys are strings
        print(json.dumps({name: figures}, indent=1))
        found[name] = figures
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, (json.dumps(found, indent=1) + "\n").encode())
            write_atomic(path.with_name("figures.md"), markdown(in_order(found)).encode())
    print(markdown(in_order(found)))


def in_order(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in PARTS if name in found}


if __name__ == "__main__":
    main()
