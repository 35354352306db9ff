"""What a file holds beside its picture, told without decoding anything: metadata, and what follows the end."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from uip2p.errors import UserError

MAX_METADATA = 4_000_000  # bytes: twice the largest colour profiles of printers
MAX_ASPECT = 16  # of the longer side to the shorter
MIN_SIDE = 16  # pixels
# Programs, pages and archives that ride on a picture. Cameras append a film or another picture, which is none of these.
RIDERS = (
    b"PK\x03\x04", b"PK\x05\x06", b"Rar!", b"7z\xbc\xaf", b"%PDF", b"\x7fELF", b"<?php", b"<html", b"<script", b"<svg",
)  # fmt: skip
AT_START = (b"MZ", b"#!")


def check_file(content: bytes) -> None:
    """UserError: a PNG, JPEG or WebP with more than MAX_METADATA beside the picture, or with a rider behind it. Of what
    is none of these, or is damaged, nothing is said: its decoder will."""
    metadata, end = 0, len(content)
    for size, is_metadata, ends in _parts(content):
        metadata += size * is_metadata
        end = ends
    if metadata > MAX_METADATA:
        raise UserError(f"image: {metadata / 1e6:.1f} MB of metadata beside the picture, and the limit is "
                        f"{MAX_METADATA / 1e6:g} MB: export it without.")  # fmt: skip
    behind = content[end:].lower()
    if behind.startswith(tuple(each.lower() for each in AT_START)) or any(each.lower() in behind for each in RIDERS):
        raise UserError("image: behind the picture the file holds something else (a program, a page or an archive): "
                        "export the picture again.")  # fmt: skip


def check_shape(width: int, height: int) -> None:
    """UserError: too small or too narrow to edit."""
    if min(width, height) < MIN_SIDE:
        raise UserError(f"image: {width}×{height} pixels, and both sides have to be {MIN_SIDE} at least.")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UserError(f"image: {width}×{height} pixels, and the longer side may be {MAX_ASPECT} times the shorter: "
                        "crop it.")  # fmt: skip


def _parts(content: bytes) -> Iterator[tuple[int, bool, int]]:
    """Size, whether it is metadata, and where it ends, of each part of the file that is whole."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _webp(content)
    return iter(())


def _png(content: bytes) -> Iterator[tuple[int, bool, int]]:
    position = 8
    while position + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        position += 12 + size
        yield size, kind[:1].islower(), position
        if kind == b"IEND":
            return


def _jpeg(content: bytes) -> Iterator[tuple[int, bool, int]]:
    """Segments up to the first scan; from there the end marker: within a scan no 0xFF stands before 0xD9."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:  # fill
            position += 1
            continue
        size = struct.unpack_from(">H", content, position + 2)[0]
        position += 2 + size
        yield size, 0xE0 <= marker <= 0xEF or marker == 0xFE, position
        if marker == 0xDA:
            end = content.find(b"\xff\xd9", position)
            yield 0, False, len(content) if end < 0 else end + 2
            return


def _webp(content: bytes) -> Iterator[tuple[int, bool, int]]:
    end = min(len(content), 8 + struct.unpack_from("<I", content, 4)[0])
    position = 12
    while position + 8 <= end:
        kind, size = struct.unpack_from("<4sI", content, position)
        position += 8 + size + size % 2
        yield size, kind in (b"EXIF", b"XMP ", b"ICCP"), position
    yield 0, False, end
