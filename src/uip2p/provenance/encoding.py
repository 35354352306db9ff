"""A picture -> a file that says how it was made."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

from PIL import Image

from uip2p.errors import UserError
from uip2p.images import check_writable, write_atomic
from uip2p.provenance import manifest, watermark
from uip2p.provenance.made import Made
from uip2p.provenance.metadata import HOLDS_METADATA, OPTIONS, with_metadata
from uip2p.provenance.signer import INSTALL, Signer, missing, need

SIDECAR = ".c2pa"  # after the whole name, beside a file that holds no manifest


def encode(
    picture: Image.Image,
    format: str,
    made: Made,
    signer: Signer | None = None,
    source: bytes | Path | None = None,
    watermark: bool = True,
    quality: int | None = None,
) -> bytes:
    """A picture (PIL RGB) as a file of `format` (PNG, JPEG, WEBP, TIFF or BMP) with XMP, EXIF, a watermark and a signed
    manifest. See docs/provenance.md.

    signer: None is the local test certificate. source: the picture that was edited, as it came, so that a signed
    history of its own goes on; nothing else of it does. watermark: only where `watermark.fits(picture.size)`.
    quality: see `metadata.saving`.
    A BMP holds only the watermark: `save` puts its manifest beside it. What is not installed is left out, and said in
    a warning, once. UserError: an unknown format, a signature that cannot be made or does not hold.
    """
    return _encode(picture, format, made, signer, source, watermark, quality)[0]


def save(
    picture: Image.Image,
    path: str | Path,
    made: Made,
    signer: Signer | None = None,
    source: bytes | Path | None = None,
    watermark: bool = True,
) -> Path:
    """Saves what `encode` makes, whole or not at all, in the format of the name's ending; the manifest of a BMP goes
    beside it, as NAME.bmp.c2pa."""
    path = check_writable(path)
    format = Image.registered_extensions()[path.suffix.lower()]
    content, signed = _encode(picture, format, made, signer, source, watermark)
    write_atomic(path, content)
    if signed is not None and format not in manifest.HOLDS_MANIFEST:
        write_atomic(sidecar(path), signed)
    return path


def sidecar(path: Path) -> Path:
    """Where the manifest of a file lies that cannot hold it."""
    return path.with_name(path.name + SIDECAR)


def _encode(
    picture: Image.Image, format: str, made: Made, signer: Signer | None, source: bytes | Path | None, marked: bool,
    quality: int | None = None,
) -> tuple[bytes, bytes | None]:
    """(the file's bytes, its manifest; None where nothing can sign)."""
    if format not in OPTIONS:
        raise UserError(f"format is {format!r}: give one of {', '.join(OPTIONS)}.")
    if signer is not None:
        need("c2pa")
    absent = missing("c2pa", "cryptography")
    signs = signer is not None or not absent
    if absent:
        tell_once(f"{', '.join(absent)} not installed: edited files say how they were made in plain metadata, without "
                  f"a signed manifest. {INSTALL}")  # fmt: skip
    marked = marked and watermark.fits(picture.size)
    picture = watermark.embed(picture) if marked else picture
    content = with_metadata(picture, format, made, quality)
    if not signs:
        if format not in HOLDS_METADATA:
            tell_once(f"a {format} file holds no metadata, so it says nothing of how it was made: save as .png.")
        return content, None
    history = _read(source) if isinstance(source, Path) else source
    return manifest.sign(content, format, made, signer or Signer.default(), history, marked)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # gone since it was edited: then it has no history to go on
        return None


@functools.cache
def tell_once(text: str) -> None:
    warnings.warn(text, stacklevel=4)
