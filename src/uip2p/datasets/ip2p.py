"""InstructPix2Pix's own folder: seeds.json, <name>/prompt.json, <name>/<seed>_0.jpg. The edited picture beside it,
<seed>_1.jpg, is never opened: there is nothing in here that could spell its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uip2p.datasets.columns import Columns
from uip2p.datasets.jsons import inside, read_json
from uip2p.datasets.pictures import Pictures
from uip2p.errors import UserError

# Of seeds.json, in its order, as InstructPix2Pix itself splits it: contiguous, 90 % / 5 % / 5 %.
SPLITS = {"train": (0.0, 0.9), "val": (0.9, 0.9 + 0.05), "test": (0.9 + 0.05, 1.0)}


class Ip2pCaptions(Pictures):
    """A row for each prompt and seed: a seed is a picture. prompt.json is read when its caption is asked for.

    split: "train", "val" or "test", None for all. first_seed: of each prompt only the first picture, since all have
    the same texts. UserError: no seeds.json, or it is something else.
    """

    columns = Columns(caption="input", instruction="edit", edited_caption="output")

    def __init__(self, root: Path, split: str | None = None, first_seed: bool = False):
        self.root, listing = root, root / "seeds.json"
        found = read_json(listing)
        if split is not None and split not in SPLITS:
            raise UserError(f"{root}: has no split {split!r}; there are {', '.join(SPLITS)}.")
        begin, end = SPLITS[split] if split else (0.0, 1.0)
        try:
            prompts = found[int(begin * len(found)) : int(end * len(found))]
            chosen = [(str(name), list(seeds)[: 1 if first_seed else None]) for name, seeds in prompts]
        except (TypeError, ValueError, AttributeError):
            raise UserError(f'{listing}: must hold a list of [name, [seed, …]], as ["0000000", ["123"]].') from None
        self.rows = [(name, str(seed)) for name, seeds in chosen for seed in seeds]
        super().__init__([len(seeds) for _, seeds in chosen if seeds], None, str(listing))

    def name(self, picture: int) -> str:
        name, seed = self.rows[picture]
        return f"{name}/{seed}_0.jpg"

    def where(self, picture: int, number: int) -> str:
        return str(self._file(picture, "prompt.json"))

    def fields(self, picture: int, number: int) -> Mapping[str, Any]:
        prompt = read_json(self._file(picture, "prompt.json"))
        if not isinstance(prompt, dict):
            raise UserError(f"{self.where(picture, number)}: must hold an object with input, edit and output.")
        return prompt | {"input": prompt.get("input", prompt.get("caption"))}

    def picture(self, picture: int) -> Path:
        path = self._file(picture, f"{self.rows[picture][1]}_0.jpg")
        if not path.is_file():
            raise UserError(f"{path}: there is no such file.")
        return path

    def _file(self, picture: int, name: str) -> Path:
        return inside(self.root, f"{self.rows[picture][0]}/{name}", f"{self.root / 'seeds.json'}, {self.name(picture)}")
