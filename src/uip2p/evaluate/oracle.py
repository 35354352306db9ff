"""Was the edit made? Decided from the known scene alone: no network has a say.

Two questions. `succeeded`: of all that the edit could have come to in this scene, does the output show what was asked?
A blurred but right answer does; a copy of the input, the thing in another colour, or a ghost of less than about
half its strength does not. `halfway`, stricter about how well it is drawn: is less than half of the error left?
"""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from uip2p.evaluate.alternatives import Alternatives
from uip2p.scenes.answers import Answer

Picture = np.ndarray  # uint8 [H, W, 3]
Pictures = np.ndarray  # uint8 [N, H, W, 3]


def succeeded(output: Picture, answer: Answer, alternatives: Alternatives, kind: str) -> bool:
    """Whether `output` is nearer to the first of the alternatives, the asked one, than to any other.

    A recoloured thing by its colour as a whole (`color_distances`), every other edit pixel by pixel (`distances`)."""
    if kind == "color":
        found = color_distances(output, alternatives.pictures, colored(answer))
    else:
        found = distances(output, alternatives.pictures)
    return bool((found[0] < found[1:]).all())


def halfway(output: Picture, answer: Answer) -> bool:
    """Σ|output − target| < ½ Σ|source − target| under the mask: more than half of the way there."""
    left, wanted = (np.abs(x.astype(int) - answer.target)[answer.mask].sum() for x in (output, answer.source))
    return bool(left < 0.5 * wanted)


def distances(output: Picture, pictures: Pictures) -> np.ndarray:
    """Mean |output − picture| over the pixels on which not all pictures agree: [N], in levels of 255.

    Everywhere else an output adds the same to every distance, so that nothing it does there has a say; and of two
    pictures only the pixels on which they differ decide. A blend of two is nearer to the one with the larger share."""
    differ = (pictures != pictures[0]).any((0, 3))
    return np.abs(pictures[:, differ].astype(int) - output[differ]).sum((1, 2)) / max(1, 3 * differ.sum())


def color_distances(output: Picture, pictures: Pictures, where: np.ndarray) -> np.ndarray:
    """ΔE*76 between the mean colour of `output` and that of each picture over the pixels `where`: [N].

    Means, so that neither texture nor blur has a say in which colour a thing is. CIELAB is not linear in levels: on the
    way from one colour to another the nearer one changes a little before or after one half."""
    means = np.stack([output, *pictures])[:, where].mean(1)
    lab = rgb2lab(means[:, None] / 255)[:, 0]
    return np.linalg.norm(lab[1:] - lab[0], axis=-1)


def colored(answer: Answer) -> np.ndarray:
    """bool [H, W]: the coloured pixels of a recoloured thing, which change most; not its soft edge."""
    change = np.abs(answer.target.astype(int) - answer.source).max(-1)
    return answer.mask & (change >= 0.5 * change.max())
