"""An invisible watermark: 61 fixed bits in the colours, the same in every picture, so that it names nobody.

The method is dwtDct of the package invisible-watermark, which diffusers' SDXL pipelines use. Its other method rivaGan
loads pickled weights and is never used here.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

MESSAGE = "0010110010011011011100011110010011010000010110101011100001101"  # of chance; ones and zeros as even as can be
BITS = len(MESSAGE)  # a prime: the rows of no picture repeat it in columns, which would show as stripes
TOLERATED = 8  # wrong bits. Chance at random: 2 in 10^9
STRENGTH = 36  # the package's own. At 24 flat drawings no longer keep it, and JPEG at quality 50 wipes it out
BGR_OF_U = (2.032, -0.395, 0.0)  # what one more of U makes of blue, green and red
LEAST_PIXELS = 256 * 256  # of the package: smaller pictures have too few blocks


def fits(size: tuple[int, int]) -> bool:
    """Whether a picture of (width, height) is large enough to carry it."""
    return math.prod(size) >= LEAST_PIXELS and min(size) >= 64


def embed(picture: Image.Image) -> Image.Image:
    """PIL RGB -> the same with the watermark. Needs invisible-watermark, and a size that `fits`.

    The package's own encoder exchanges the wavelet's horizontal and vertical details when it puts the picture back,
    which dots every edge (up to 200 of 255). So its step on the coarse band alone is taken, and what that changes is
    added to the picture: all else stays as it is, to the bit.
    """
    import cv2
    import pywt
    from imwatermark.dwtDctSvd import EmbedDwtDctSvd  # two seconds: the package imports torch

    bgr = _bgr(picture)
    rows, columns = (side // 4 * 4 for side in bgr.shape[:2])
    u = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV)[:rows, :columns, 1]
    coarse = pywt.dwt2(u, "haar")[0]
    marked = coarse.copy()
    EmbedDwtDctSvd(message().tolist(), BITS).encode_frame(marked, STRENGTH)
    change = pywt.idwt2((marked - coarse, (None, None, None)), "haar")
    pixels = bgr.astype(np.float64)
    pixels[:rows, :columns] += change[:, :, None] * BGR_OF_U
    return Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8)[:, :, ::-1])


def wrong_bits(picture: Image.Image) -> int:
    """PIL RGB of a size that `fits` -> how many of its bits are not there: 30 or so where there is none."""
    from imwatermark import WatermarkDecoder

    read = WatermarkDecoder("bits", BITS).decode(_bgr(picture), "dwtDctSvd", scales=[0, STRENGTH, 0])
    return int((np.asarray(read, dtype=np.uint8) != message()).sum())


def found(picture: Image.Image) -> bool:
    return fits(picture.size) and wrong_bits(picture) <= TOLERATED


def message() -> np.ndarray:
    """uint8 [61], zeros and ones."""
    return np.array([int(bit) for bit in MESSAGE], np.uint8)


def _bgr(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])
