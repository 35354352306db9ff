"""Servers for serving.py, started as a user starts them, on the loopback address."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

EDITS = "/v1/images/edits"
SERVE = ("-m", "uip2p.cli", "serve")


@dataclass
class Server:
    """A running `uip2p serve`. url: without a slash at its end. key: one that it knows."""

    process: subprocess.Popen[bytes]
    url: str
    key: str
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.key}"}
        self.client = httpx.Client(base_url=self.url, headers=self.headers, timeout=120)

    def edit(self, content: bytes, name: str = "picture.png", **fields: Any) -> httpx.Response:
        return self.client.post(EDITS, files={"image": (name, content)}, data={"prompt": "make the car blue", **fields})

    def asking(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=self.headers, **options)

    def ready(self) -> bool:
        return self.client.get("/ready").status_code == 200

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def resident(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss


@contextmanager
def server(*options: str, program: Sequence[str] = SERVE, patience: float = 120) -> Iterator[Server]:
    """Ready, with one key; gone at the end, and so are processes that it has started. program: of Python.
    patience: seconds until it is ready."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        key, log = secrets.token_urlsafe(24), Path(folder) / "log"
        line = f"bench:{hashlib.sha256(key.encode()).hexdigest()}"
        command = [sys.executable, *program, "--port", str(port), *options]
        with open(log, "wb") as file:
            process = subprocess.Popen(command, env={**os.environ, "UIP2P_API_KEYS": line}, stderr=file, stdout=file)
        running = Server(process, f"http://127.0.0.1:{port}", key, log)
        try:
            wait_until(lambda: process.poll() is not None or running.ready(), patience, log)
            if process.poll() is not None:
                raise SystemExit(f"the server did not start:\n{log.read_text()}")
            yield running
        finally:
            everything = [psutil.Process(process.pid), *running.children()] if process.poll() is None else []
            if len(everything) > 1:
                process.send_signal(signal.SIGTERM)  # it ends its own in their order
                psutil.wait_procs(everything, 60)
            for each in everything:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()


def wait_until(done: Callable[[], bool], seconds: float, log: Path) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if done():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"the server was not ready within {seconds:g} s:\n{log.read_text()[-3000:]}")


class Peak:
    """`with Peak(process) as peak`: peak.bytes is the most resident memory that was seen, every 2 ms."""

    def __init__(self, running: Server):
        self.running, self.bytes, self.over = running, 0, False

    def __enter__(self) -> Peak:
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over:
            self.bytes = max(self.bytes, self.running.resident())
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.thread.join()
