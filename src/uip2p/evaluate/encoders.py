"""The frozen encoders that metrics need, each with the preprocessing that its protocol publishes, from PIL pictures.

A cosine says little without it: another filter or crop moves the third decimal. So resizing and cropping are here, as
each protocol does them, and `describe` says which, to be kept with the figures.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import ViTModel

from uip2p.errors import UserError, first_line
from uip2p.evaluate.rows import fingerprint
from uip2p.models import hub
from uip2p.models.clip import Clip, LatentClip, load_clip
from uip2p.models.folder import ASSETS
from uip2p.models.pickles import refuse_pickle
from uip2p.models.quiet import quiet

Pictures = Sequence[Image.Image]
Item = TypeVar("Item")

SHIPPED = {"mini": ASSETS / "clip-judge"}  # no loss has seen it; it reads the miniature's words
DINO_RESIZE, DINO_CROP = 256, 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BICUBIC = Image.Resampling.BICUBIC


# ---- preprocessing ---------------------------------------------------------------------------------


def unit_tensor(picture: Image.Image) -> Tensor:
    """PIL RGB -> float32 [3, H, W] in [0, 1]. ValueError: another mode."""
    if picture.mode != "RGB":
        raise ValueError(f"expected an RGB picture, got mode {picture.mode}")
    return torch.from_numpy(np.array(picture)).movedim(-1, 0).contiguous().float() / 255


def shortest_edge(picture: Image.Image, side: int) -> Image.Image:
    """The shorter side becomes `side`, the longer one keeps the ratio, rounded down; PIL's bicubic filter."""
    width, height = picture.size
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    return picture if size == picture.size else picture.resize(size, BICUBIC)


def center_crop(picture: Image.Image, side: int) -> Image.Image:
    """side × side from the middle; of two middles the one that Python rounds to, as torchvision does."""
    width, height = picture.size
    left, top = round((width - side) / 2), round((height - side) / 2)
    return picture.crop((left, top, left + side, top + side))


def cropped(picture: Image.Image, side: int) -> Tensor:
    """OpenAI's own: shortest edge, centre crop; all of it on 8 bits, in PIL."""
    return unit_tensor(center_crop(shortest_edge(picture, side), side))


def stretched(picture: Image.Image, side: int) -> Tensor:
    """`Clip`'s own, which losses are made of: bicubic with antialiasing, in floats, no crop."""
    return _interpolated(picture, side, antialias=True)


def sampled(picture: Image.Image, side: int) -> Tensor:
    """InstructPix2Pix's: bicubic without antialiasing, in floats, no crop."""
    return _interpolated(picture, side, antialias=False)


def _interpolated(picture: Image.Image, side: int, antialias: bool) -> Tensor:
    pixels = unit_tensor(picture)[None]
    return F.interpolate(pixels, (side, side), mode="bicubic", antialias=antialias, align_corners=False)[0]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """view: (picture, side) → float [3, side, side], nominally in [0, 1]. resize, crop: what it does, in words."""

    view: Callable[[Image.Image, int], Tensor]
    resize: str
    crop: str


PREPROCESSING = {
    "openai": Preprocessing(cropped, "shortest edge to {}, bicubic, PIL, 8 bit", "centre {0} × {0}"),
    "stretch": Preprocessing(stretched, "{0} × {0}, bicubic with antialiasing, float", "none"),
    "ip2p": Preprocessing(sampled, "{0} × {0}, bicubic without antialiasing, float", "none"),
}


# ---- encoders --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClipEncoder:
    """CLIP behind one of PREPROCESSING. Embeddings are float32 [B, D] of length 1, on the CPU.

    quirk: pictures in [-1, 1] are given to CLIP's normalisation, which expects [0, 1]: the published curve of
    InstructPix2Pix was measured so. Only with "ip2p"."""

    clip: Clip
    backbone: str
    weights: str
    preprocessing: str = "openai"
    quirk: bool = False
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.preprocessing not in PREPROCESSING:
            raise UserError(f"CLIP preprocessing {self.preprocessing!r}: choose {', '.join(PREPROCESSING)}.")
        if self.quirk and self.preprocessing != "ip2p":
            raise UserError(f"the published range belongs to the preprocessing 'ip2p', not {self.preprocessing!r}.")
        if isinstance(self.clip, LatentClip):
            raise UserError(f"{self.backbone}: reads latents, not pictures. Give a CLIP of pictures.")

    def describe(self) -> dict[str, Any]:
        how, side = PREPROCESSING[self.preprocessing], self.clip.image_size
        return {
            "backbone": self.backbone, "weights": self.weights, "preprocessing": self.preprocessing,
            "resize": how.resize.format(side), "crop": how.crop.format(side),
            "range": "[-1, 1], as published, where [0, 1] is expected" if self.quirk else "[0, 1]",
        }  # fmt: skip

    def embed_pictures(self, pictures: Pictures) -> Tensor:
        """PIL RGB of any sizes -> [B, D]. ValueError: another mode."""
        view = PREPROCESSING[self.preprocessing].view

        def embed(some: Pictures) -> Tensor:
            pixels = torch.stack([view(picture, self.clip.image_size) for picture in some]).to(self.clip.mean.device)
            pixels = 2 * pixels - 1 if self.quirk else pixels
            return self.clip.embed_images(2 * pixels - 1)  # which it takes back: its convention is [-1, 1]

        return _in_batches(pictures, self.batch_size, embed)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """-> [B, D]. What is longer than the encoder reads is cut."""
        return _in_batches(texts, self.batch_size, self.clip.embed_texts)


@dataclass(frozen=True)
class DinoEncoder:
    """DINO as MagicBrush asks it: the CLS token's last state, float32 [B, D], on the CPU. Not of length 1."""

    model: ViTModel
    backbone: str
    weights: str
    batch_size: int = 32

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone, "weights": self.weights, "state": "CLS token, last layer",
            "resize": f"shortest edge to {DINO_RESIZE}, bicubic, PIL, 8 bit",
            "crop": f"centre {DINO_CROP} × {DINO_CROP}", "range": "[0, 1]",
        }  # fmt: skip

    def embed_pictures(self, pictures: Pictures) -> Tensor:
        """PIL RGB of any sizes -> [B, D]. ValueError: another mode."""
        device = self.model.device
        mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))

        def embed(some: Pictures) -> Tensor:
            views = [unit_tensor(center_crop(shortest_edge(picture, DINO_RESIZE), DINO_CROP)) for picture in some]
            pixels = (torch.stack(views).to(device) - mean) / std
            states: Tensor = self.model(pixel_values=pixels).last_hidden_state
            return states[:, 0].float()

        return _in_batches(pictures, self.batch_size, embed)


@torch.no_grad()
def _in_batches(items: Sequence[Any], size: int, embed: Callable[[Any], Tensor]) -> Tensor:
    with full_precision():
        return torch.cat([embed(items[start : start + size]).cpu() for start in range(0, len(items), size)])


def full_precision() -> Any:
    """A GPU's convolutions without TF32: its ten bits would show in the fourth decimal, and differ between batches."""
    return torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)


# ---- memory ----------------------------------------------------------------------------------------


class Remembered(Generic[Item]):
    """An encoder that knows again what it saw last: sources, targets and captions come back with every row. What looks
    the same is the same, whatever its name: a copy of the source has the source's own embedding, to the bit.

    key: what tells items apart. limit: how many embeddings are kept; the one asked for longest ago goes first."""

    def __init__(self, embed: Callable[[Sequence[Item]], Tensor], key: Callable[[Item], Any], limit: int = 20_000):
        self.embed, self.key, self.limit = embed, key, limit
        self.known: OrderedDict[Any, Tensor] = OrderedDict()

    def __call__(self, items: Sequence[Item], keep: bool = True) -> list[Tensor]:
        """One embedding [1, D] an item, in order. keep: whether they will be asked for again."""
        keys = [self.key(item) for item in items]
        new = {key: item for key, item in zip(keys, items, strict=True) if key not in self.known}
        rows = self.embed(list(new.values())).split(1) if new else ()
        made = {key: row.clone() for key, row in zip(new, rows, strict=True)}  # not a view that keeps its whole batch
        found = [made[key] if key in made else self.known[key] for key in keys]
        for key, embedding in zip(keys, found, strict=True):
            if keep or key in self.known:
                self.known[key] = embedding
                self.known.move_to_end(key)
        while len(self.known) > self.limit:
            self.known.popitem(last=False)
        return found


def content(picture: Image.Image) -> bytes:
    """What tells two pictures apart: mode, size and pixels."""
    hashed = hashlib.sha256(f"{picture.mode} {picture.size}".encode())
    hashed.update(picture.tobytes())
    return hashed.digest()


# ---- loading ---------------------------------------------------------------------------------------


def open_clip(
    reference: str,
    preprocessing: str = "openai",
    quirk: bool = False,
    device: str | torch.device = "cpu",
    batch_size: int = 32,
) -> ClipEncoder:
    """"mini" (the shipped judge), a folder in transformers' layout, or a hub id. UserError: it is no CLIP."""
    folder, name = _folder(reference, ["*.json", "merges.txt", "model.safetensors"], "--clip")
    return ClipEncoder(load_clip(folder, device), name, fingerprint(folder), preprocessing, quirk, batch_size)


def open_dino(reference: str = hub.DINO, device: str | torch.device = "cpu", batch_size: int = 32) -> DinoEncoder:
    """A folder of a transformers ViTModel, or a hub id. UserError: it is none, or lacks weights."""
    folder, name = _folder(reference, ["config.json", "model.safetensors"], "--dino")
    try:
        with quiet():
            model, found = ViTModel.from_pretrained(
                str(folder), add_pooling_layer=False, dtype=torch.float32, use_safetensors=True,
                local_files_only=True, output_loading_info=True,
            )  # fmt: skip
    except Exception as error:  # an unreadable file fails in transformers, safetensors or torch
        raise UserError(f"{folder}: not a ViT that transformers can load ({first_line(error)}).") from error
    if found["missing_keys"]:
        raise UserError(f"{folder}: the tensor '{min(found['missing_keys'])}' is missing. Give a ViTModel's folder.")
    if model.config.image_size != DINO_CROP:
        raise UserError(f"{folder}: reads pictures of {model.config.image_size} pixels; DINO's {DINO_CROP} are wanted.")
    return DinoEncoder(model.eval().requires_grad_(False).to(device), name, fingerprint(folder), batch_size)


def _folder(reference: str, patterns: list[str], option: str) -> tuple[Path, str]:
    """The folder that holds the weights, and the name without a machine's path. UserError: no weights to be had, or
    only pickled ones, with the command that converts them."""
    shipped = SHIPPED.get(reference)
    folder = shipped or Path(reference).expanduser()
    name = hub.full_name(reference)
    if not folder.is_dir():
        if not hub.is_hub_id(name):
            raise UserError(f"{option} {reference}: there is no such folder. Give a folder or a hub id (owner/name).")
        folder = hub.download(name, patterns, f"give {option} DIR")
        if not (folder / "model.safetensors").is_file():
            raise UserError(
                f"{option} {reference}: the hub has its weights as a pickle only, which is not loaded. Download it (hf "
                f"download {name.partition('@')[0]} --local-dir DIR) and give {option} DIR: the command that converts "
                "it is then printed."
            )
        return folder, name
    weights = folder / "model.safetensors"
    if not weights.is_file() and not weights.with_name(weights.name + ".index.json").is_file():
        refuse_pickle(folder / "pytorch_model.bin", weights)
        raise UserError(f"{option} {reference}: there is no {weights}. Give a model in transformers' layout.")
    return folder, folder.resolve().name
