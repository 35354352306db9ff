"""Rows that outlive the process that made them, and what makes a run that run and not another."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

WEIGHTS_AND_CONFIGURATION = (".json", ".safetensors", ".txt", ".onnx", ".data")


def digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]


def identity(reference: str | Path) -> str:
    """A model's name and, of a folder or a file, its fingerprint; a hub id as it is."""
    path = Path(reference)
    return f"{path.name}@{fingerprint(path)}" if path.exists() else str(reference)


def fingerprint(folder: Path) -> str:
    """Hash of a model's weights and configuration, in a folder or a file: the same model elsewhere, or renamed, is the
    same model."""
    hashed = hashlib.sha256()
    for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
        if path.suffix in WEIGHTS_AND_CONFIGURATION and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256")
            hashed.update(path.relative_to(folder).as_posix().encode() + content.digest())
    return hashed.hexdigest()[:16]


def noise_seed(seed: int, name: str, turn: int) -> int:
    """The seed of one edit's noise: of the case alone, so that no neighbour in a batch changes it."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {turn}".encode()).digest()[:4], "big")


def commit() -> str | None:
    """The commit of this source tree, `+` if it has changes since; None outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=here, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def versions() -> dict[str, str]:
    names = ("uip2p", "torch", "diffusers", "transformers", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: found for name in names if (found := _version(name))}}


@functools.cache  # what is installed is searched for anew at every call
def _version(name: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):  # run from a source tree that was never installed
        return version(name)
    return None


def machine() -> str:
    """What it ran on, in words: the GPU if there is one, else the CPU and its cores."""
    import torch  # takes a second, and not all who write rows need it

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores"


def read_rows(path: Path | None) -> dict[str, dict[str, Any]]:
    """Key -> row. A last line that a crash cut short is left out, and so measured again."""
    known: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_text().splitlines() if path and path.exists() else [], 1):
        try:
            row = json.loads(line)
            known[row["key"]] = row
        except (json.JSONDecodeError, KeyError, TypeError):
            print(f"{path}, row {number}: damaged, measured again", file=sys.stderr)
    return known


def append_rows(path: Path | None, rows: list[dict[str, Any]]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")  # what a crash cut short stays a line of its own
        file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
