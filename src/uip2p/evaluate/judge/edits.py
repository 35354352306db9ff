"""Edits that exist already, to be judged: a run's, or a folder's of outputs that somebody made elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from uip2p.datasets.folder import read_rows
from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling, Session, Turn
from uip2p.evaluate.rows import digest
from uip2p.evaluate.runs import Run
from uip2p.evaluate.suites import Row
from uip2p.images import load_image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
TOLD_AGAIN = ("copy-input", "ground truth")  # rows of a run that every run of this suite has by itself


@dataclass(frozen=True)
class Made:
    """See editors.Editor: outputs that lie on the disk. files: (turn, seed) → output. about: where they come from."""

    name: str
    files: Mapping[tuple[str, int], Path]
    about: Mapping[str, Any]

    @property
    def tunable(self) -> frozenset[str]:
        return frozenset()

    def describe(self) -> dict[str, Any]:
        """By what the files hold, wherever they lie."""
        held = [[*place, sha256(path)] for place, path in sorted(self.files.items())]
        sampling = dict.fromkeys(Sampling.__dataclass_fields__)
        return {"adapter": "made", "outputs": digest({"files": held}), "sampling": sampling, **self.about}

    def edit(self, asks: Sequence[Ask]) -> list[Image.Image]:
        return [load_image(self.files[ask.key, ask.replicate]) for ask in asks]

    def sampled(self, sampling: Sampling) -> Made:
        return self

    def round_trip(self) -> None:
        return None


def sha256(path: Path) -> str:
    """UserError: it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


# What was asked


def questions_of_run(run: Run) -> list[Session]:
    """A run's scored turns, each by itself: from the picture that the whole change is measured from, by all that was
    asked since."""
    sessions: dict[str, list[Turn]] = {}
    for key, sample in run.samples.items():
        sessions.setdefault(sample["session"], []).append(Turn(
            key, "; then ".join(run.asked(key)),
            source=_there(run.picture(key, "source"), key), target=run.picture(key, "target"),
            caption=sample["caption"], edited_caption=sample["edited_caption"], groups=tuple(sample["groups"]),
            kind=sample["kind"], about=sample["about"],
        ))  # fmt: skip
    return [Session(name, tuple(turns)) for name, turns in sessions.items()]


def _there(path: Path | None, key: str) -> Path:
    if path is None or not path.is_file():
        raise UserError(f"{path or key}: the input picture of {key} is not there any more.")
    return path


def questions_of_list(metadata: Path) -> list[Session]:
    """metadata.jsonl: an edit a row, with file_name (the input, beside the file), instruction, and where they are known
    kind, target, and name: what its output is called, without the ending (default: file_name's). UserError: the first
    row at fault."""
    sessions: dict[str, list[Turn]] = {}
    seen: dict[str, str] = {}
    for row, where in read_rows(metadata):
        texts = {name: _text(row, name, where, name in ("file_name", "instruction"))
                 for name in ("file_name", "instruction", "kind", "target", "name", "caption", "edited_caption")}
        name = texts["name"] or Path(texts["file_name"]).with_suffix("").as_posix()
        key = key_of(name)
        if key in seen:
            raise UserError(f"{where}: its output would be called {name!r}, as that of {seen[key]}: give it a `name`.")
        seen[key] = where
        source, target = (metadata.parent / texts[field] if texts[field] else None for field in ("file_name", "target"))
        for path in (source, target):
            if path is not None and not path.is_file():
                raise UserError(f"{where}: {path} is no file.")
        sessions.setdefault(texts["file_name"], []).append(Turn(
            key, texts["instruction"], source=source, target=target, caption=texts["caption"],
            edited_caption=texts["edited_caption"], kind=texts["kind"], groups=("edits",), about={"name": name},
        ))  # fmt: skip
    if not sessions:
        raise UserError(f"{metadata}: has no rows.")
    return [Session(name, tuple(turns)) for name, turns in sessions.items()]


def _text(row: Mapping[str, Any], name: str, where: str, needed: bool) -> str:
    value = row.get(name)
    if value is None and not needed:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where}: the field {name!r} must be text that is not empty, got {value!r}.")
    return value


def key_of(name: str) -> str:
    """A name as a turn's key: folders of a list are no sessions."""
    return name.replace("/", "_")


# Who answered


def rows_of_run(run: Run, only: Sequence[str] = ()) -> list[Row]:
    """Of all its rows, or of those named. UserError: there is no such row."""
    entries = {entry["name"]: entry for entry in run.info["rows"]}
    for name in only:
        if name not in entries:
            raise UserError(f"{run.folder}: has no row {name!r}: choose of {', '.join(entries)}.")
    chosen = [entry for name, entry in entries.items() if (name in only if only else name not in TOLD_AGAIN)]
    rows = []
    for entry in chosen:
        places = [(turn, seed) for turn in run.samples for seed in run.info["seeds"]]
        files = {(turn, seed): run.output(entry["name"], turn, seed) for turn, seed in places}
        _all_there(entry["name"], files.values())
        about = {"suite": run.info["suite"], "editor": entry["editor"]}
        made = Made(entry["name"], files, about)
        rows.append(Row(made.name, made, entry["model"], entry["x"], entry["baseline"]))
    return rows


def row_of_folder(name: str, folder: Path, sessions: Iterable[Session], seeds: Sequence[int]) -> Row:
    """DIR/<name>.png (.jpg, .jpeg, .webp), and of several seeds DIR/seed-<s>/<name>.png. UserError: one is missing."""
    files = {}
    for turn in (turn for session in sessions for turn in session.turns):
        for seed in seeds:
            below = folder / f"seed-{seed}" if len(seeds) > 1 else folder
            path = below / turn.about.get("name", turn.key)
            found = (path.with_name(path.name + ending) for ending in ENDINGS)
            files[turn.key, seed] = next((file for file in found if file.is_file()), path.with_name(path.name + ".png"))
    _all_there(name, files.values())
    return Row(name, Made(name, files, {}), name)


def _all_there(name: str, files: Iterable[Path]) -> None:
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise UserError(f"{name}: {len(missing)} of its outputs are missing, the first is {missing[0]}.")
