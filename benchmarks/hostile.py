"""Files that mean harm, or look as if they did: what anyone may send to an open port. Small on the wire, and made here.

`files()` gives them all, by name; serving.py beside this sends them to a server, and tests/hostile does.
"""

from __future__ import annotations

import functools
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SCRIPT = b"<html><script>fetch('//evil.example')</script></html>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64">'


# ---- pieces --------------------------------------------------------------------------------------


def picture(format: str = "PNG", size: tuple[int, int] = (64, 64), mode: str = "RGB", **options: object) -> bytes:
    """A good picture of noise: no decoder can guess it."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(out, format, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, color: int = 2, data: bytes | None = None) -> bytes:
    """A PNG by its parts. data: what its pixels are compressed from; black rows of the size it claims, if nothing."""
    row = 1 + (width * {0: 1, 2: 3, 6: 4}[color] * depth + 7) // 8
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(bytes(row)) for _ in range(height)) if data is None else packer.compress(data)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    parts = (head, *chunks, chunk(b"IDAT", pixels + packer.flush()), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@functools.cache
def zeros(count: int = 60_000_000) -> bytes:
    """So many, compressed a thousandfold."""
    return zlib.compress(bytes(count), 9)


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("index.html", SCRIPT)
    return out.getvalue()


def segments(marker: int, prefix: bytes, count: int) -> bytes:
    """So many JPEG segments of 64 kB."""
    body = prefix + bytes(65533 - len(prefix))
    return (b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body) * count


def icc_segments(count: int) -> bytes:
    """An ICC profile in so many parts, as its header counts them."""
    parts = []
    for number in range(1, count + 1):
        body = b"ICC_PROFILE\x00" + bytes([number, count]) + bytes(65533 - 14)
        parts.append(b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body)
    return b"".join(parts)


def after_start(jpeg: bytes, more: bytes) -> bytes:
    return jpeg[:2] + more + jpeg[2:]


def riff(size: int, payload: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", size) + b"WEBP" + payload


def animated(format: str) -> bytes:
    frames = [Image.new("RGB", (64, 64), (value, 0, 0)) for value in range(0, 250, 50)]
    out = io.BytesIO()
    frames[0].save(out, format, save_all=True, append_images=frames[1:])
    return out.getvalue()


def damaged(content: bytes, seed: int = 0) -> bytes:
    """Every 50th byte behind the header is another."""
    changed, rng = bytearray(content), np.random.default_rng(seed)
    for position in range(64, len(changed), 50):
        changed[position] ^= int(rng.integers(1, 256))
    return bytes(changed)


# ---- the files -----------------------------------------------------------------------------------

MAKERS: dict[str, Callable[[], bytes]] = {
    # bombs: little to send, much to decode
    "bomb-13300x13300.png": lambda: png(13300, 13300, color=0, depth=1),
    "bomb-60000x60000.png": lambda: png(60000, 60000, data=b""),
    "bomb-2147483647x1.png": lambda: png(2**31 - 1, 1, data=b""),
    "bomb-65535x65535.jpg": lambda: _sized_jpeg(65535, 65535),
    "bomb-16383x16383.webp": lambda: _sized_webp(16383, 16383),
    "bomb-text.png": lambda: png(64, 64, chunk(b"zTXt", b"Comment\x00\x00" + zeros())),
    "bomb-icc.png": lambda: png(64, 64, chunk(b"iCCP", b"icc\x00\x00" + zeros())),
    "bomb-itxt.png": lambda: png(64, 64, chunk(b"iTXt", b"XML\x00\x01\x00\x00\x00" + zeros())),
    # cut short, and damaged
    "empty.png": lambda: b"",
    "signature-only.png": lambda: b"\x89PNG\r\n\x1a\n",
    "truncated.png": lambda: picture()[:3000],
    "truncated.jpg": lambda: picture("JPEG")[:1500],
    "truncated.webp": lambda: picture("WEBP", lossless=True)[:3000],
    "damaged.png": lambda: damaged(picture()),
    "damaged.webp": lambda: damaged(picture("WEBP", lossless=True)),
    "no-pixels.png": lambda: png(64, 64, data=b""),
    "no-image-data.jpg": lambda: picture("JPEG")[:200] + b"\xff\xd9",
    "zero-by-zero.png": lambda: png(0, 0, data=b""),
    "wrong-riff-size.webp": lambda: riff(2**32 - 1, b"VP8L" + struct.pack("<I", 2**31) + b"\x2f" + bytes(100)),
    # two things at once
    "polyglot-zip.png": lambda: picture() + archive(),
    "polyglot-html.jpg": lambda: picture("JPEG") + SCRIPT,
    "polyglot-zip.webp": lambda: picture("WEBP") + archive(),
    "polyglot-pdf.jpg": lambda: b"%PDF-1.7\n" + picture("JPEG"),
    "polyglot-gif-script.png": lambda: b"GIF89a/*" + bytes(6) + b"*/=1;alert(1)//",
    "polyglot-elf.png": lambda: picture() + b"\x7fELF\x02\x01\x01" + bytes(64),
    # sizes that are no picture
    "1x1.png": lambda: picture(size=(1, 1)),
    "20000x1.png": lambda: picture(size=(20000, 1)),
    "1x20000.jpg": lambda: picture("JPEG", size=(1, 20000)),
    "16383x2.webp": lambda: picture("WEBP", size=(16383, 2)),
    # something else under a picture's name
    "gif.png": lambda: picture("GIF"),
    "animated.png": lambda: animated("GIF"),
    "bmp.png": lambda: picture("BMP"),
    "tiff.jpg": lambda: picture("TIFF"),
    "postscript.jpg": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\n",
    "script.png": lambda: b"#!/bin/sh\nid\n",
    "page.jpg": lambda: SCRIPT,
    "archive.webp": archive,
    # drawings that run
    "script.svg": lambda: SVG + b"<script>alert(1)</script></svg>",
    "script-in-svg.png": lambda: SVG + b'<image href="file:///etc/passwd"/></svg>',
    "entities.svg": lambda: b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + SVG + b"&b;</svg>",
    # much beside little
    "huge-exif.jpg": lambda: after_start(picture("JPEG"), segments(0xE1, b"Exif\x00\x00II*\x00\x08\x00\x00\x00", 120)),
    "huge-exif.png": lambda: png(64, 64, chunk(b"eXIf", b"II*\x00\x08\x00\x00\x00" + bytes(8_000_000))),
    "huge-icc.jpg": lambda: after_start(picture("JPEG"), icc_segments(120)),
    "huge-xmp.webp": lambda: picture("WEBP", xmp=b"<x:xmpmeta>" + bytes(8_000_000)),
}  # fmt: skip


def _sized_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header claims another size."""
    content = bytearray(picture("JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def _sized_webp(width: int, height: int) -> bytes:
    """A lossless WebP whose header claims another size: 14 bits each, less one."""
    content = bytearray(picture("WEBP", lossless=True))
    start = content.index(b"\x2f", 20) + 1
    bits = int.from_bytes(content[start : start + 4], "little") & ~((1 << 28) - 1)
    content[start : start + 4] = (bits | (width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return bytes(content)


def files() -> dict[str, bytes]:
    """name -> content."""
    return {name: make() for name, make in MAKERS.items()}
