"""An invisible watermark: 64 fixed bits in the colours, the same in every picture, so that it names nobody.

The method is dwtDct of the package invisible-watermark, which diffusers' SDXL pipelines use. Its other method rivaGan
loads pickled weights and is never used here.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

MESSAGE = 0x2C9B_71E4_D05A_B86D  # as many ones as zeros: a flat picture reads as all of one
BITS = 64
TOLERATED = 8  # wrong bits. Chance at random: 3 in 10^10
LEAST_PIXELS = 256 * 256  # of the package: smaller pictures have too few blocks


def fits(size: tuple[int, int]) -> bool:
    """Whether a picture of (width, height) is large enough to carry it."""
    return math.prod(size) >= LEAST_PIXELS and min(size) >= 64


def embed(picture: Image.Image) -> Image.Image:
    """PIL RGB -> the same with the watermark. Needs invisible-watermark, and a size that `fits`."""
    from imwatermark import WatermarkEncoder  # two seconds: it imports torch

    encoder = WatermarkEncoder()
    encoder.set_watermark("bits", message().tolist())
    return Image.fromarray(np.ascontiguousarray(encoder.encode(_bgr(picture), "dwtDct")[:, :, ::-1]))


def wrong_bits(picture: Image.Image) -> int:
    """PIL RGB of a size that `fits` -> how many of the 64 bits it does not have: 32 or so where there is none."""
    from imwatermark import WatermarkDecoder

    read = WatermarkDecoder("bits", BITS).decode(_bgr(picture), "dwtDct")
    return int((np.asarray(read, dtype=np.uint8) != message()).sum())


def found(picture: Image.Image) -> bool:
    return fits(picture.size) and wrong_bits(picture) <= TOLERATED


def message() -> np.ndarray:
    """uint8 [64], zeros and ones."""
    return np.unpackbits(np.frombuffer(MESSAGE.to_bytes(BITS // 8, "big"), np.uint8))


def _bgr(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
