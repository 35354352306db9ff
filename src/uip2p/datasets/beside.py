"""A folder in which each picture has its caption in a text file beside it: cat.jpg and cat.txt (or cat.caption)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uip2p.datasets.columns import Columns
from uip2p.datasets.pictures import Pictures
from uip2p.errors import UserError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
TEXTS = (".txt", ".caption")


class BesideCaptions(Pictures):
    """Pictures in folders within folders, by name. A picture without a text is a row whose caption is an error that
    names it, so that a run goes on and writes it down; a text without a picture (a README.txt) is counted in `skipped`.

    files: what is in the folder. UserError: not one picture has a text.
    """

    def __init__(self, root: Path, files: Sequence[Path]):
        self.root, self.columns = root, Columns(caption="txt")
        self.pictures = [file for file in files if file.suffix.lower() in PICTURES]
        texts = {file.with_suffix(""): file for file in reversed(files) if file.suffix.lower() in TEXTS}
        self.texts = [texts.get(picture.with_suffix("")) for picture in self.pictures]
        if not any(self.texts):
            raise UserError(f"{root}: no picture has its caption beside it: cat.jpg needs cat.txt (or cat.caption).")
        super().__init__([1] * len(self.pictures), None, str(root))
        if alone := len(texts) - len({text for text in self.texts if text}):
            self.skipped["text without a picture"] = alone

    def name(self, picture: int) -> str:
        return self.pictures[picture].relative_to(self.root).as_posix()

    def where(self, picture: int, number: int) -> str:
        return str(self.texts[picture] or self.pictures[picture])

    def fields(self, picture: int, number: int) -> dict[str, str]:
        text, path = self.texts[picture], self.pictures[picture]
        if text is None:
            raise UserError(f"{path}: has no caption: there is no {path.stem}.txt beside it.")
        try:
            return {"txt": text.read_bytes().decode("utf-8-sig")}
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{text}: cannot be read as UTF-8 text ({error}).") from None

    def picture(self, picture: int) -> Path:
        return self.pictures[picture]
