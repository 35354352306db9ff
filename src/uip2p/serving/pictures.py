"""Pictures as strangers send them."""

from __future__ import annotations

from PIL import Image

from uip2p.images import load_image
from uip2p.serving.asking import MAX_PIXELS
from uip2p.serving.container import check_file, check_shape

FORMATS = ("PNG", "JPEG", "WEBP")  # decoders that strangers reach


def open_picture(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A file's bytes -> PIL RGB, upright, sRGB, first frame, without metadata. The size is judged before anything is
    decoded. UserError: as `images.load_image`, `container.check_file` and `check_shape`."""
    check_file(content)
    picture = load_image(content, max_pixels, FORMATS, "image")
    check_shape(*picture.size)
    return picture
