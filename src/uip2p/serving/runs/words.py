"""What the names in a run's metrics mean, and how its sample grids are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from uip2p.learning.datasets import Captioned, DataConfig, Unpaired
from uip2p.scenes.world import World
from uip2p.serving.runs.run import Config, table

LOSSES = {
    "total": "All losses together",
    "direction": "Direction: changes as the words do",
    "similarity": "Similarity: fits the new caption",
    "reconstruction": "Reconstruction: the way back",
    "attention": "Attention: looks at the same place",
    "prior": "Prior: leaves alone what is right",
    "identity": "Identity: asked for what is there",
    "base_direction": "What the base would change",
    "denoise": "Denoising",
    "pixels": "Pixels after coding and decoding",
    "edges": "Edges after coding and decoding",
    "kl": "KL of the latents",
    "contrast": "Contrast of pictures and captions",
    "words": "Naming what is in a picture",
    "embedding": "Embedding: as the teacher's",
    "patches": "Patches: as the teacher's",
}
MEASURED = {
    "copy_rate": "Share of edits that are copies",
    "clip_direction": "CLIP direction of the edits (higher is better)",
    "clip_return": "CLIP similarity after the way back",
    "edit_magnitude": "How much an edit changes",
    "reverse_error": "What the way back leaves",
    "firm": "Reward of FIRM",
    "accuracy": "Right caption found (share)",
    "scale": "Scale of the contrast",
    "psnr": "PSNR, dB (higher is better)",
    "grad_norm": "Norm of the gradient",
    "lr": "Learning rate",
    "images_per_second": "Images a second",
}


def title(name: str) -> str:
    return LOSSES.get(name) or MEASURED.get(name) or name.replace("_", " ")


def first_shown(curves: Sequence[str]) -> list[str]:
    """Of the curves that there are, in which order they are offered: losses, then what else is known, then the rest."""
    known = [name for name in (*LOSSES, *MEASURED) if name in curves]
    return [*known, *(name for name in curves if name not in known)]


# Sample grids: the objective → its rows from the top, and what to look for.
ROWS: dict[str, tuple[tuple[str, ...], str]] = {
    "cycle": (
        ("picture", "edited", "edited back"),
        "It goes well when the middle row differs from the top as the words ask, and the bottom looks like the top "
        "again. Where all three rows are the same, the run only copies.",
    ),
    "paired": (
        ("picture", "edited", "target"),
        "It goes well when the middle row looks like the bottom one, which this baseline is shown in training.",
    ),
    "autoencode": (("picture", "decoded"), "It goes well when both rows look the same."),
    "denoise": (
        ("picture", "drawn"),
        "The second row is drawn from the caption alone: it need not be the picture, but has to fit the words.",
    ),
}
REPAIRED = ("with a fault", "mended")  # two more rows of a base that also learns to repair
WITHOUT = {"contrast": "a CLIP", "latent-clip": "a CLIP of latents"}  # objectives that draw no pictures


def grid_rows(config: Config) -> tuple[tuple[str, ...], str]:
    """(the rows from the top, what to look for); ((), "") of an objective that is not known."""
    recipe = table(config, "recipe")
    rows, look = ROWS.get(str(recipe.get("objective")), ((), ""))
    if recipe.get("objective") == "denoise" and table(recipe, "loss").get("repair"):
        rows += REPAIRED
        look += " The last row has to look like the first, without the fault."
    return rows, look


def grid_columns(config: Config) -> list[str]:
    """The words of each column, where the run was on the drawn world, which anyone can draw again; else []."""
    recipe, train = table(config, "recipe"), table(config, "train")
    data, count = table(recipe, "data"), train.get("sample_pictures")
    seed, photos = data.get("seed", 0), data.get("photos", 0.0)
    if recipe.get("records") or data.get("photo_folders") or data.get("own"):
        return []
    if type(seed) is not int or type(photos) not in (int, float) or type(count) is not int:
        return []
    return list(_drawn_words(str(recipe.get("objective")), seed, float(photos), min(count, 10)))


@lru_cache(64)
def _drawn_words(objective: str, seed: int, photos: float, count: int) -> tuple[str, ...]:
    """Of the first validation rows, which are the ones that the trainer draws."""
    data = DataConfig(seed=seed, size=16, photos=photos)  # the words do not depend on the size
    if objective == "cycle":
        rows = Unpaired(data, "validation")
        texts = [(rows[index]["instruction"], rows[index]["reverse_instruction"]) for index in range(count)]
        return tuple(f"{asked}; back: {undone}" for asked, undone in texts)
    if objective == "denoise":
        captioned = Captioned(data, "validation")
        return tuple(captioned.row(index)["caption"] for index in range(min(count, 8)))
    if objective == "paired":
        world = World(seed, "validation", 16)
        return tuple(world.edit(index).instruction for index in range(count))
    return ()


def no_grids(config: Config) -> str:
    """What to say where there is no sample grid."""
    kind = WITHOUT.get(str(table(config, "recipe").get("objective")))
    if kind:
        return f"This run trains {kind}, which draws no pictures."
    every = table(config, "train").get("sample_every_images")
    if not every:
        return "This run draws no sample grids: train.sample_every_images is 0."
    return f"No sample grid yet: the first is drawn after {every:,} images." if type(every) is int else "No grid yet."
