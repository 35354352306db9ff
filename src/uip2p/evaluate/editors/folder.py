"""Outputs made elsewhere, by an editor that does not run here (HIVE, MGIE, SmartEdit): a folder of pictures.

    folder:DIR      seed-<s>/<key>, else <key>, else <last part of the key> below DIR; .png, .jpg, .jpeg or .webp

key: as the suite names its questions; s: the seed of the run, so that DIR may hold several outputs of a question. A run
of this project is such a folder: RUN/<row>.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling
from uip2p.evaluate.editors import Pictures, RoundTrip
from uip2p.images import load_image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def open_editor(reference: str, name: str, device: str | None, dtype: str, batch_size: int) -> Folder:
    """UserError: no such folder, or no picture in it."""
    return Folder(name, Path(reference))


class Folder:
    """The pictures below a folder, as the answers of an editor. Nothing of them can be set."""

    tunable: frozenset[str] = frozenset()

    def __init__(self, name: str, folder: Path):
        self.name, self.folder = name, folder
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder of outputs.")
        self.files = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in ENDINGS
        }
        if not self.files:
            raise UserError(f"{folder}: holds no picture ({', '.join(ENDINGS)}).")
        self._keys: dict[str, str] = {}  # file → the key that it was found for
        self._hash = ""

    def describe(self) -> dict[str, Any]:
        """By the content of all its pictures, read once."""
        if not self._hash:
            hashed = hashlib.sha256()
            for name in sorted(self.files):
                with (self.folder / name).open("rb") as file:
                    hashed.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
            self._hash = hashed.hexdigest()[:16]
        sampling = dict.fromkeys(Sampling.__dataclass_fields__)
        return {"adapter": "folder", "model": f"{self.folder.resolve().name}@{self._hash}", "sampling": sampling}

    def edit(self, asks: Sequence[Ask]) -> Pictures:
        """UserError: outputs that are not there, all of them counted; or one file for two questions."""
        self.check((ask.key, ask.replicate) for ask in asks)
        return [load_image(self.folder / self._find(ask.key, ask.replicate)) for ask in asks]

    def check(self, wanted: Iterable[tuple[str, int]]) -> None:
        """wanted: (key, seed of the run). UserError: as `edit`, for a whole benchmark before it begins."""
        wanted = list(wanted)
        missing = [(key, seed) for key, seed in wanted if not self._find(key, seed)]
        if missing:
            key, seed = missing[0]
            places = ", ".join(f"{place}{ENDINGS[0]}" for place in self._places(key, seed))
            raise UserError(
                f"{self.folder}: {len(missing)} of {len(wanted)} outputs are missing, the first for {key}: there is no "
                f"{places} (nor with {', '.join(ENDINGS[1:])}). Add them, or ask for fewer questions."
            )

    def sampled(self, sampling: Sampling) -> Folder:
        return self

    def round_trip(self) -> RoundTrip | None:
        return None

    @staticmethod
    def _places(key: str, seed: int) -> list[str]:
        last = key.rpartition("/")[2]
        return list(dict.fromkeys((f"seed-{seed}/{key}", f"seed-{seed}/{last}", key, last)))

    def _find(self, key: str, seed: int) -> str:
        """A name in the folder, "" if there is none. UserError: another question, of the same last part, has it."""
        for place in self._places(key, seed):
            name = next((place + ending for ending in ENDINGS if place + ending in self.files), "")
            if name:
                if self._keys.setdefault(name, key) != key:
                    raise UserError(
                        f"{self.folder / name}: {self._keys[name]} and {key} would both be this file: put the outputs "
                        "under the whole keys."
                    )
                return name
        return ""
