"""An invisible watermark: 61 fixed bits in the colours, the same in every picture, so that it names nobody.

The method is dwtDctSvd of the package invisible-watermark, whose decoder reads it (a test holds that). It is written
out here because the package's own encoder exchanges the wavelet's horizontal and vertical details when it puts the
picture back, which dots every edge, and takes a Python loop and 75 MB for each megapixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

MESSAGE = "0010110010011011011100011110010011010000010110101011100001101"  # of chance; ones and zeros as even as can be
BITS = len(MESSAGE)  # a prime: the rows of no picture repeat it in columns, which would show as stripes
TOLERATED = 8  # wrong bits. Chance at random: 2 in 10^9
STRENGTH = 36  # the package's own. At 24 flat drawings no longer keep it, and JPEG at quality 50 wipes it out
Y_OF_RGB, U_OF_Y = (0.299, 0.587, 0.114), 0.492  # U = .492 (B − Y) + 128, both rounded, as OpenCV has them
RGB_OF_U = (0.0, -0.395, 2.032)  # what one more of U makes of red, green and blue
SIDE = 8  # pixels of a block, which carries one bit: 4 × 4 of the wavelet's coarse band
STRIP = 16  # rows of blocks at a time, so that a large picture takes little memory
LEAST_PIXELS = 256 * 256  # smaller pictures have too few blocks


def fits(size: tuple[int, int]) -> bool:
    """Whether a picture of (width, height) is large enough to carry it."""
    return math.prod(size) >= LEAST_PIXELS and min(size) >= 64


def embed(picture: Image.Image) -> Image.Image:
    """PIL RGB of a size that `fits` -> the same with the watermark: the largest singular value of each block's coarse
    band goes to the middle of the upper or the lower half of its step of STRENGTH, for a one or a zero. All else of the
    picture stays as it is, to the bit."""
    pixels = np.array(picture)
    for strip, which in _strips(pixels):
        u, s, v = np.linalg.svd(_coarse(strip))
        moved = (s[:, 0] // STRENGTH + 0.25 + 0.5 * message()[which]) * STRENGTH - s[:, 0]
        change = moved[:, None, None] * u[:, :, :1] * v[:, :1, :]  # of the coarse band [blocks, 4, 4]
        change = change.repeat(2, axis=1).repeat(2, axis=2) / 2  # of U [blocks, 8, 8]
        change = _joined(change, strip.shape)[:, :, None] * np.array(RGB_OF_U)
        strip[:] = np.rint(strip + change).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def wrong_bits(picture: Image.Image) -> int:
    """PIL RGB of a size that `fits` -> how many of its bits are not there: 30 or so where there is none."""
    votes = np.zeros(BITS)  # of a bit's blocks, those for one less those for zero
    for strip, which in _strips(np.asarray(picture)):
        ones = np.linalg.svd(_coarse(strip), compute_uv=False)[:, 0] % STRENGTH > STRENGTH / 2
        votes += np.bincount(which, np.where(ones, 1, -1), BITS)
    return int(((votes > 0) != message()).sum())


def found(picture: Image.Image) -> bool:
    return fits(picture.size) and wrong_bits(picture) <= TOLERATED


def message() -> np.ndarray:
    """uint8 [61], zeros and ones."""
    return np.array([int(bit) for bit in MESSAGE], np.uint8)


def _strips(pixels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """uint8 [H, W, 3] -> views of it [h, w, 3] that blocks fill, and the bit's number of each block, row by row."""
    rows, columns = (side // SIDE for side in pixels.shape[:2])
    for first in range(0, rows, STRIP):
        last = min(first + STRIP, rows)
        yield pixels[SIDE * first : SIDE * last, : SIDE * columns], np.arange(first * columns, last * columns) % BITS


def _coarse(strip: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] -> Haar's coarse band of U [blocks, 4, 4], U in whole numbers around 128."""
    u = np.rint(U_OF_Y * (strip[:, :, 2] - np.rint(strip @ np.array(Y_OF_RGB))) + 128)
    height, width = (side // 2 for side in u.shape)
    coarse = u.reshape(height, 2, width, 2).sum(axis=(1, 3)) / 2
    return coarse.reshape(height // 4, 4, width // 4, 4).swapaxes(1, 2).reshape(-1, 4, 4)


def _joined(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[blocks, 8, 8], row by row -> [h, w]."""
    height, width = shape[:2]
    return blocks.reshape(height // SIDE, width // SIDE, SIDE, SIDE).swapaxes(1, 2).reshape(height, width)
