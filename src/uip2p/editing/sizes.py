"""The size at which a model sees a picture."""

from __future__ import annotations

import functools
import itertools
import math


@functools.lru_cache(maxsize=4096)  # pictures of any size come in
def working_size(size: tuple[int, int], image_size: int, multiple: int) -> tuple[int, int]:
    """The size (width, height) at which a model edits a picture of `size`: both sides multiples of `multiple`, the
    area near image_size², the picture's proportions as nearly as that allows. The whole picture is stretched to it
    and back, so pixels stay aligned."""
    if size == (image_size, image_size):
        return size
    sides = range(multiple, 4 * image_size + 1, multiple)

    def misfit(candidate: tuple[int, int]) -> float:
        width, height = candidate
        stretch = math.log(width / height) - math.log(size[0] / size[1])
        return abs(stretch) + 0.25 * abs(math.log(width * height / image_size**2))

    near = [
        (width, height)
        for width, height in itertools.product(sides, sides)
        if 0.5 <= width * height / image_size**2 <= 2
    ]
    return min(near, key=misfit, default=(image_size, image_size))
