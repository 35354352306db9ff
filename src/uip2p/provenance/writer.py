"""How a command or a service writes its edited pictures: with provenance, or without."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from uip2p.images import save_image
from uip2p.provenance.encoding import encode, save
from uip2p.provenance.made import Made, public_name
from uip2p.provenance.metadata import saving
from uip2p.provenance.signer import Signer

if TYPE_CHECKING:
    from uip2p.editing.editor import Edited, Editor


@dataclass(frozen=True, slots=True)
class Writer:
    """enabled: whether files say how they were made. signer: None is the local test certificate. watermark: where the
    picture is large enough. record_instruction: whether files tell the words, too."""

    enabled: bool = True
    signer: Signer | None = None
    watermark: bool = True
    record_instruction: bool = False

    def made(self, edited: Edited, model: str, instruction: str | None = None) -> Made:
        """instruction: other than that of `edited`, such as its reverse."""
        words = (instruction or edited.instruction) if self.record_instruction else None
        return Made.of(edited, model, words)

    def encode(
        self, picture: Image.Image, format: str, made: Made, source: bytes | Path | None = None,
        quality: int | None = None,
    ) -> bytes:  # fmt: skip
        """A file's bytes. See `encoding.encode`."""
        if not self.enabled:
            content = io.BytesIO()
            picture.save(content, format, **saving(format, quality))
            return content.getvalue()
        return encode(picture, format, made, self.signer, source, self.watermark, quality)

    def save(self, picture: Image.Image, path: str | Path, made: Made, source: bytes | Path | None = None) -> Path:
        """Whole or not at all, in the format of the name's ending. See `encoding.save`."""
        if not self.enabled:
            return save_image(picture, path)
        return save(picture, path, made, self.signer, source, self.watermark)

    def asked(self) -> dict[str, bool]:
        """What was asked for that is not the default, for the records of a run."""
        said = {
            "no_provenance": not self.enabled, "no_watermark": not self.watermark,
            "record_instruction": self.record_instruction,
        }  # fmt: skip
        return {name: True for name, value in said.items() if value}


def model_name(editor: Editor) -> str:
    """The model and the LoRA on it, as they may be told."""
    loaded = {"model": editor.parts.name, **editor.parts.loaded}
    return " + ".join(public_name(loaded[name]) for name in ("model", "lora") if loaded.get(name))
