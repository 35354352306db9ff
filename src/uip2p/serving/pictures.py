"""Pictures as they come in and go out over HTTP."""

from __future__ import annotations

import re

from PIL import Image

from uip2p.images import load_image
from uip2p.serving.asking import MAX_PIXELS
from uip2p.serving.container import check_file, check_shape
from uip2p.serving.errors import BadRequest

FORMATS = ("PNG", "JPEG", "WEBP")  # decoders that strangers reach


def open_picture(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A file's bytes -> PIL RGB, upright, sRGB, first frame, without metadata. The size is judged before anything is
    decoded. UserError: as `images.load_image`, `container.check_file` and `check_shape`."""
    check_file(content)
    picture = load_image(content, max_pixels, FORMATS, "image")
    check_shape(*picture.size)
    return picture


def wanted_size(size: str, picture: tuple[int, int], max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """"auto", or "WIDTHxHEIGHT" of the picture's own proportions -> (width, height) of the result. UserError."""
    if size == "auto":
        return picture
    if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size, re.ASCII):
        raise BadRequest(f"size is {size[:40]!r}: give auto, or WIDTHxHEIGHT, such as 640x480.", "size")
    width, height = (int(side) for side in size.split("x"))
    if width * height > max_pixels:
        raise BadRequest(f"size is {size}: the limit is {max_pixels / 1e6:g} megapixels.", "size")
    if abs(width * picture[1] - height * picture[0]) > max(picture):  # more than a pixel off
        own = f"{picture[0]}x{picture[1]}"
        raise BadRequest(f"size is {size}, and the picture {own}: an edit keeps the picture's proportions, so give "
                         "auto, or a size of the same proportions.", "size")  # fmt: skip
    return width, height
