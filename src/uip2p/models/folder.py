"""A model on disk: a stock diffusers InstructPix2Pix pipeline folder, and `uip2p.json` with its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from uip2p.errors import UserError
from uip2p.models import hub
from uip2p.models.attention import tappable
from uip2p.models.onnx import is_onnx, load_onnx
from uip2p.models.parts import WEIGHTS, Parts, check_fit, load_network, load_scheduler, load_tokenizer, unet_size
from uip2p.models.pickles import refuse_pickle
from uip2p.models.quiet import quiet as quiet
from uip2p.models.settings import SETTINGS_FILE, Settings, load_settings, read_json
from uip2p.models.settings import save_settings as save_settings
from uip2p.models.single_file import load_single_file

ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED = {"mini": ASSETS / "uip2p-mini", "mini-base": ASSETS / "base-mini"}
FILES = [f"{part}/{weights}" for part, weights in WEIGHTS.items()]
SHARDS = [f"{part}/*-of-*.safetensors" for part in WEIGHTS]


def load_pipeline(
    name: str | Path = "mini",
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    runtime: str | None = None,
) -> Parts:
    """Parts of "mini" or "mini-base" (shipped), of a folder, of a hub id such as "timbrooks/instruct-pix2pix" or its
    short name in `hub.NAMES`, or of a single .safetensors file in the original layout. Stable Diffusion's classes, or
    SDXL's.

    The UNet takes the latent channels once (text-to-image, a base) or twice (an editor). Weights come from
    safetensors only and are cast to `dtype`. UserError, with the file's name: anything missing, of a wrong shape or
    unknown. Nothing is ever left at random initial values.
    """
    refuse_pickle(Path(name))
    if str(name).endswith(".safetensors"):
        parts = load_single_file(Path(name), dtype)
    elif is_onnx(Path(name)):
        return load_onnx(Path(name), runtime)
    else:
        parts = _load_folder(resolve(name), str(name), dtype)
    for model in (parts.unet, parts.vae, parts.text_encoder, parts.text_encoder_2):
        if model is not None:
            model.eval().requires_grad_(False).to(device)
    tappable(parts.unet)
    return parts


def _load_folder(folder: Path, name: str, dtype: torch.dtype) -> Parts:
    index = read_json(folder / "model_index.json")
    unet = load_network(UNet2DConditionModel, folder, "unet", dtype)
    vae = load_network(AutoencoderKL, folder, "vae", dtype)
    text_encoder = load_network(CLIPTextModel, folder, "text_encoder", dtype)
    tokenizer = load_tokenizer(folder / "tokenizer", text_encoder.config.vocab_size)
    second: dict[str, Any] = {}
    if (folder / "text_encoder_2").is_dir():
        encoder = load_network(CLIPTextModelWithProjection, folder, "text_encoder_2", dtype)
        second = {
            "text_encoder_2": encoder,
            "tokenizer_2": load_tokenizer(folder / "tokenizer_2", encoder.config.vocab_size),
            "zero_null": bool(index.get("force_zeros_for_empty_prompt", True)),
        }
    scheduler = load_scheduler(folder / "scheduler", index)
    check_fit(folder / "unet" / "config.json", unet, vae, text_encoder, second.get("text_encoder_2"))
    default_size = unet_size(unet) * 2 ** (len(vae.config.block_out_channels) - 1)
    settings = load_settings(folder, Settings(image_size=default_size))
    return Parts(unet, vae, text_encoder, tokenizer, scheduler, settings, name, **second)


def load_autoencoder(name: str | Path, dtype: torch.dtype = torch.float32) -> Any:
    """An AutoencoderKL of its own: a folder with config.json, or a hub id. UserError: it is not one."""
    return _load_model(AutoencoderKL, name, dtype)


def load_tiny_decoder(name: str | Path, dtype: torch.dtype = torch.float32) -> Any:
    """An AutoencoderTiny: a folder with config.json, or a hub id. UserError: it is not one."""
    return _load_model(diffusers.AutoencoderTiny, name, dtype)


def _load_model(model_class: Any, name: str | Path, dtype: torch.dtype) -> Any:
    folder = Path(name)
    refuse_pickle(folder)
    if not folder.is_dir() and hub.is_hub_id(hub.full_name(name)):
        folder = hub.download(hub.full_name(name), ["config.json", WEIGHTS["vae"]])
    if (found := read_json(folder / "config.json").get("_class_name")) != model_class.__name__:
        raise UserError(f"{folder}: is an {found}, and has to be an {model_class.__name__}.")
    return load_network(model_class, folder, "", dtype)


def resolve(name: str | Path) -> Path:
    """A shipped model's name, a folder, or a hub id (downloaded once) -> the folder. UserError: none of these."""
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "model_index.json").is_file():
            raise UserError(
                f"{folder}: no model_index.json in this folder. Give a diffusers InstructPix2Pix folder, "
                "the one that holds unet/, vae/ and text_encoder/."
            )
        return folder
    if shipped := SHIPPED.get(str(name)):
        if not (shipped / "model_index.json").is_file():
            raise UserError(
                f"the model '{name}' is not in this installation ({shipped} has no model_index.json). "
                "Install the whole package, or train it with `uip2p train` and give its folder."
            )
        return shipped
    if hub.is_hub_id(hub.full_name(name)):
        patterns = ["model_index.json", SETTINGS_FILE, "tokenizer*/*", "*/*.json", *SHARDS, *FILES]
        return hub.download(hub.full_name(name), patterns)
    known = ", ".join(f"'{key}'" for key in SHIPPED)
    raise UserError(
        f"{name}: there is no such model. Give {known}, a folder, a .safetensors file, or a hub id (owner/name)."
    )
