"""How a run's folder begins: it is claimed for one benchmark, and every scored turn leaves a line and its pictures."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import Picture, Session, Turn
from uip2p.evaluate.runs import RUN
from uip2p.evaluate.suites import Suite
from uip2p.images import write_atomic


def claim(out: Path, suite: Suite, editors: dict[str, dict[str, Any]], alone: bool) -> None:
    """Makes the folder where there is none. editors: row → the description of its editor. alone: no other shard writes
    into it, so that nothing may lie in a new one. UserError: it holds another benchmark, things that are not a run's,
    or outputs of a row by another editor, which would be written over."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / RUN
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            before = {}
        if before.get("settings", suite.settings) != _plain(suite.settings):
            held = before.get("suite")
            raise UserError(f"{out}: holds a run of {held} with other settings. Choose another --out.")
        for row in before.get("rows", ()):
            name, editor = row["name"], _plain(editors.get(row["name"], row["editor"]))
            if editor != row["editor"]:
                raise UserError(
                    f"{out}: the outputs of {name} there were made otherwise ({_apart(row['editor'], editor)}), and "
                    "would be written over. Choose another --out, or give the row another name, NAME=SPEC."
                )
    elif any(out.iterdir()) and alone:
        raise UserError(f"{out}: is not empty, and no run of this command. Choose another --out.")


def _apart(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Which parts of two descriptions differ, and how: "steps 5, now 50"."""
    pairs = {**before, **before.get("sampling", {})}, {**now, **now.get("sampling", {})}
    names = [name for name in dict.fromkeys([*pairs[0], *pairs[1]]) if name != "sampling"]
    old, new = ({name: pair.get(name) for name in names} for pair in pairs)
    return "; ".join(f"{name} {old[name]}, now {new[name]}" for name in names if old[name] != new[name])


def _plain(settings: dict[str, Any]) -> Any:
    """As it comes back from JSON."""
    return json.loads(json.dumps(settings))


def sample_line(out: Path, session: Session, turn: Turn, save: bool) -> dict[str, Any]:
    """The turn's line of samples.jsonl. save: its pictures that do not lie on the disk yet are written below `out`;
    else another shard does."""
    mask = turn.mask and _mask_picture(turn.mask)
    pictures = {"source": ("inputs", turn.origin()), "target": ("targets", turn.target), "mask": ("masks", mask)}
    return {
        "turn": turn.key, "session": session.name, "instruction": turn.instruction, "caption": turn.caption,
        "edited_caption": turn.edited_caption, "groups": list(turn.groups), "kind": turn.kind,
        "about": dict(turn.about),
        **{what: _place(out, folder, turn.key, picture, save) for what, (folder, picture) in pictures.items()},
    }  # fmt: skip


def _place(out: Path, folder: str, key: str, picture: Picture | None, save: bool) -> str | None:
    """Where a picture lies: a file where it is, one that is drawn or decoded below the folder."""
    if picture is None:
        return None
    if isinstance(picture, Path):
        return str(picture.resolve())
    path = out / folder / f"{key}.png"
    if save and not path.exists():
        save_png(picture(), path)
    return path.relative_to(out).as_posix()


def _mask_picture(mask: Callable[[], np.ndarray]) -> Callable[[], Image.Image]:
    return lambda: Image.fromarray(mask().astype(np.uint8) * 255)


def save_png(picture: Image.Image, path: Path) -> str:
    """Whole or not at all → the file's sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    picture.convert("RGB").save(encoded, "PNG")
    write_atomic(path, encoded.getvalue())
    return hashlib.sha256(encoded.getvalue()).hexdigest()


def sha256(path: Path) -> str | None:
    """Of a file; None: there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
