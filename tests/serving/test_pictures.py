"""What comes in: three formats, the first frame, the pixels alone, and the size judged before they are decoded."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from uip2p.errors import UserError
from uip2p.serving.pictures import open_picture


def file(format: str, *frames: Image.Image, **options) -> bytes:
    content = io.BytesIO()
    more = {"save_all": True, "append_images": list(frames[1:])} if len(frames) > 1 else {}
    frames[0].save(content, format, **more, **options)
    return content.getvalue()


RED, BLUE = (Image.new("RGB", (48, 36), colour) for colour in ("red", "blue"))


@pytest.mark.parametrize("content", [file("PNG", RED, BLUE), file("WEBP", RED, BLUE, lossless=True)])
def test_of_several_frames_the_first(content):
    assert Image.open(io.BytesIO(content)).n_frames == 2
    assert open_picture(content).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("format", ["GIF", "BMP", "TIFF", "ICO", "PPM", "PDF"])
def test_three_formats_and_no_other(format):
    with pytest.raises(UserError, match=r"image: not a picture we can read\. Give a PNG, JPEG or WEBP file"):
        open_picture(file(format, RED))
    assert open_picture(file("JPEG", RED)).size == RED.size


def test_nothing_but_the_pixels_stays():
    told, exif = PngImagePlugin.PngInfo(), Image.Exif()
    told.add_text("Comment", "mine")
    exif[0x013B] = "me"
    picture = open_picture(file("PNG", RED, pnginfo=told, exif=exif))
    assert picture.info == {} and not picture.getexif()


def test_a_size_is_judged_by_the_header():
    """Of a picture without any pixels: it would fail otherwise when it is decoded."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(UserError, match=r"image: .*limit is 25 megapixels"):
        open_picture(bomb)
