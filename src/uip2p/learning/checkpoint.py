"""Checkpoints that a power cut cannot spoil: written beside, flushed, checksummed, renamed into place.

    checkpoints/step-00001200/   *.safetensors (any groups of tensors), state.json (what is no tensor),
                                 manifest.json (the SHA-256 of each file, written last)

The order is: write everything into `….tmp-<pid>`, flush it to the disk, rename, flush the folder, and only then
remove old ones. At every moment there is a whole checkpoint on the disk, and `latest_valid` finds it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from uip2p.errors import UserError

Tensors = dict[str, torch.Tensor]


def save(folder: Path, step: int, groups: Mapping[str, Tensors], state: Mapping[str, Any], keep: int = 2) -> Path:
    """Write `folder/step-XXXXXXXX` with one safetensors file a group, then remove all but the newest `keep`.

    Raises UserError when the disk is full or not writable; the checkpoints that were there are intact.
    """

    def write(place: Path) -> None:
        for name, tensors in groups.items():
            write_tensors(place / f"{name}.safetensors", tensors)
        write_text(place / "state.json", json.dumps(state, indent=1))
        names = sorted(file.name for file in place.iterdir())
        write_text(place / "manifest.json", json.dumps({name: sha256(place / name) for name in names}, indent=1))

    path = folder / f"step-{step:08d}"
    replace_folder(
        path, write, hint="The checkpoints before this one are intact: free some space and run the same command again."
    )
    for old in [other for other in list_steps(folder) if _step(other) <= step][:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def load(path: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """The groups of tensors (on the CPU) and the state of one checkpoint that `latest_valid` has approved."""
    groups = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
    return groups, json.loads((path / "state.json").read_text())


def latest_valid(folder: Path) -> Path | None:
    """The newest checkpoint whose checksums hold; None where there is none at all.

    Falls back to the next older one with a warning that names the damaged file. Raises UserError when there are
    checkpoints and all of them are damaged: to start over silently would throw a run away.
    """
    paths = list_steps(folder)
    for path in reversed(paths):
        fault = find_fault(path)
        if fault is None:
            return path
        warnings.warn(f"{fault}; going back to the checkpoint before {path.name}.", stacklevel=2)
    if paths:
        raise UserError(f"{folder}: no checkpoint in it is whole. Remove this folder to start from step 0.")
    return None


def find_fault(path: Path) -> str | None:
    """A sentence that names the first damaged file of a checkpoint, or None when every checksum holds."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        names = {*manifest, "state.json"}
    except (OSError, ValueError, TypeError):
        return f"{path / 'manifest.json'} is missing or damaged"
    for name in sorted(names):
        try:
            if sha256(path / name) != manifest.get(name):
                return f"{path / name} is damaged (its checksum differs from the manifest's)"
        except OSError as error:
            return f"{path / name} cannot be read ({error.strerror})"
    return None


def list_steps(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first, whole or not."""
    paths = [path for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(paths, key=_step)


def _step(path: Path) -> int:
    return int(path.name[5:])


# One tensor file with its own checksum: the best weights so far.


def save_weights(path: Path, tensors: Tensors, notes: Mapping[str, Any]) -> None:
    """Atomically write one safetensors file; `notes` (JSON) and a digest of the tensors go into its header."""
    metadata = {"notes": json.dumps(notes), "sha256": digest(tensors)}
    replace_file(path, lambda place: write_tensors(place, tensors, metadata))


def load_weights(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """What `save_weights` wrote. Raises UserError naming the file when it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
        if digest(tensors) == metadata["sha256"]:
            return tensors, json.loads(metadata["notes"])
    except (OSError, SafetensorError, KeyError, ValueError):
        pass
    raise UserError(f"{path}: is missing or damaged. Remove it to go on without it.")


def digest(tensors: Tensors) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


# Writing: beside, flushed, renamed.


def replace_folder(path: Path, write: Callable[[Path], None], hint: str = "") -> None:
    """Let `write` fill a new folder, then put it in the place of `path`, whole or not at all.

    A folder that was there is moved away first: for that instant neither is at `path`, and `remove_leftovers`
    brings the old one back if the instant was the last one.
    """
    new, old = _beside(path, "tmp"), _beside(path, "old")
    with writing(path, new, hint):
        new.mkdir(parents=True)
        write(new)
        for file in new.rglob("*"):
            if file.is_file():
                _flush(file)
        for inner in [new, *(file for file in new.rglob("*") if file.is_dir())]:
            _flush(inner)
        if path.exists():
            os.rename(path, old)
        os.rename(new, path)
        _flush(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def replace_file(path: Path, write: Callable[[Path], None], hint: str = "") -> None:
    """Let `write` write a new file, then put it in the place of `path`, whole or not at all."""
    new = _beside(path, "tmp")
    with writing(path, new, hint):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(new)
        _flush(new)
        os.replace(new, path)
        _flush(path.parent)


def replace_text(path: Path, text: str) -> None:
    replace_file(path, lambda place: write_text(place, text))


def remove_leftovers(folder: Path) -> None:
    """Clear what a killed process left: unfinished `.tmp-<pid>`, `.<picture>.<pid>.part`, replaced `.old-<pid>` (put
    back if it is needed)."""
    for old in folder.glob("*.old-*"):
        place = old.with_name(old.name.rpartition(".old-")[0])
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, place)
    for unfinished in (*folder.glob("*.tmp-*"), *folder.glob(".*.part")):
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, new: Path | None = None, hint: str = "") -> Iterator[None]:
    """Turn a failure to write `path` into a UserError with the free space, and clear the unfinished `new`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True) if new.is_dir() else new.unlink(missing_ok=True)
        place = next((parent for parent in (path, *path.parents) if parent.exists()), Path("/"))
        free = shutil.disk_usage(place).free / 2**20
        raise UserError(
            f"{path}: could not be written ({error}); {free:,.0f} MiB are free there. {hint}".strip()
        ) from error


def write_tensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path, metadata)


def write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}-{os.getpid()}")


def _flush(path: Path) -> None:
    """Make what was written survive a power cut; a folder is flushed like a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
