"""Stable Diffusion's safety checker, a CLIP that compares a picture with 17 concepts: its verdict, and nothing else.

diffusers' own way is to hand back a black picture. Here the checker never gets the picture that is handed on.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPImageProcessor

from uip2p.errors import UserError, first_line
from uip2p.models import hub
from uip2p.models.folder import resolve
from uip2p.models.parts import load_network
from uip2p.models.pickles import SUFFIXES, refuse_pickle
from uip2p.models.quiet import quiet
from uip2p.safety.refused import CHECKER, Refused

OWN, NONE = "own", "none"
WEIGHTS, PROCESSOR = "model.safetensors", "preprocessor_config.json"
HUB_FILES = [
    "config.json", WEIGHTS, PROCESSOR,
    "safety_checker/config.json", f"safety_checker/{WEIGHTS}", f"feature_extractor/{PROCESSOR}",
]  # fmt: skip
ANSWER = "The safety checker takes the edited picture for a sexual one, so it is not handed out. It is often wrong."


@dataclass(frozen=True, slots=True)
class Checker:
    """name: of its folder. network: on one device, frozen. processor: as pictures were given to its CLIP."""

    name: str
    network: Any = field(repr=False)
    processor: Any = field(repr=False)

    @torch.no_grad()
    def flagged(self, pictures: Sequence[Image.Image]) -> list[bool]:
        """Of each picture (PIL, RGB, any size), whether the checker takes it for a sexual one. They stay as they are:
        what it would blacken is a blank."""
        if not pictures:
            return []
        pixels = self.processor(images=list(pictures), return_tensors="pt").pixel_values
        blanks = torch.zeros(len(pictures), 1)
        return [bool(flag) for flag in self.network(pixels.to(self.network.device), blanks)[1]]

    def refusals(self, pictures: Sequence[Image.Image]) -> list[Refused | None]:
        """For each, why it is not handed out, None where it is."""
        return [Refused(CHECKER, ANSWER) if flagged else None for flagged in self.flagged(pictures)]

    def check(self, pictures: Sequence[Image.Image]) -> None:
        """Raises Refused if one of them is flagged."""
        if any(self.flagged(pictures)):
            raise Refused(CHECKER, ANSWER)


def load_checker(
    name: str | Path = OWN, model: str | Path | None = None, device: str | torch.device = "cpu"
) -> Checker | None:
    """name: a folder, a hub id (such as CompVis/stable-diffusion-safety-checker), "none", or "own": what lies in the
    folder of `model`, a name as `load_pipeline` takes it. None: there is none, and pictures are not looked at.

    A folder holds model.safetensors, config.json and preprocessor_config.json, or is a pipeline's with these in
    safety_checker/ and feature_extractor/. UserError: a pickle, or a file that is missing or cannot be used.
    """
    if str(name) == NONE:
        return None
    if str(name) == OWN:
        folder = None if model is None else _own_folder(model)
        return None if folder is None else _load(folder, device)
    folder = Path(name)
    refuse_pickle(folder)
    if not folder.is_dir():
        if folder.is_file() or not hub.is_hub_id(full := hub.full_name(name)):
            raise UserError(f"{name}: not a folder with a safety checker (config.json, {WEIGHTS}, {PROCESSOR}).")
        folder = hub.download(full, HUB_FILES)
    return _load(folder, device)


def describe(checker: Checker | None) -> str:
    """One line for a log or a page."""
    if checker is None:
        return "safety checker: none, edited pictures are not looked at"
    return f"safety checker: {checker.name}, sexual content only"


def _own_folder(model: str | Path) -> Path | None:
    """The model's folder, if a checker lies in it."""
    if Path(model).is_file():
        return None
    folder = Path(model) if Path(model).is_dir() else resolve(model)
    files = (folder / "safety_checker").glob("*.*")
    return folder if any(file.suffix in (".safetensors", *SUFFIXES) for file in files) else None


def _load(folder: Path, device: str | torch.device) -> Checker:
    inside = (folder / "safety_checker").is_dir()
    part, extractor = ("safety_checker", folder / "feature_extractor") if inside else ("", folder)
    network = load_network(StableDiffusionSafetyChecker, folder, part, torch.float32, WEIGHTS)
    file = extractor / PROCESSOR
    if not file.is_file():
        raise UserError(f"{file}: this file is missing: it says how pictures are given to the safety checker.")
    try:
        with quiet():
            processor = CLIPImageProcessor.from_pretrained(extractor, local_files_only=True)
    except Exception as error:  # transformers raises what it meets
        raise UserError(f"{file}: cannot be used ({first_line(error)}). Copy it again.") from error
    # It would log that a black picture is returned.
    logging.getLogger(StableDiffusionSafetyChecker.__module__).setLevel(logging.ERROR)
    side = network.config.vision_config.image_size
    if processor.crop_size["height"] != side:
        raise UserError(
            f"{file}: crops pictures to {processor.crop_size['height']} pixels, and the checker looks at {side}. "
            "Use both from one model."
        )
    return Checker(str(folder), network.eval().requires_grad_(False).to(device), processor)
