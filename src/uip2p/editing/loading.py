"""From a model's name to networks that are ready to edit: where they lie, in what precision, and what saves memory."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import cpu_offload, cpu_offload_with_hook
from torch import nn

from uip2p.errors import UserError, first_line
from uip2p.models import hub
from uip2p.models.attention import tappable
from uip2p.models.fast import fast
from uip2p.models.folder import load_pipeline, load_tiny_decoder, quiet
from uip2p.models.lora import FILE, apply_lora, lora_shapes
from uip2p.models.parts import DTYPES, Parts, stock_pipeline
from uip2p.models.settings import load_settings
from uip2p.models.widen import widen_conv_in

OFFLOADS = ("model", "sequential")


@dataclass(frozen=True, slots=True)
class Savers:
    """What takes less memory or time, all off by default. How much each saves: benchmarks/edit_memory.py.

    offload: where the networks wait while they do not run: "" on the device; "model": on the CPU, one network on the
    device at a time; "sequential": on the CPU, one layer on the device at a time, many times slower.
    attention_slicing: attention by explicit matrices, half of the heads at a time. It helps only where a device has no
    fused attention, and costs memory where there is one.
    vae_tiling: the autoencoder sees tiles of half of its training size and blends them: no seams, but slightly other
    colours, as each tile is normalised by itself. vae_slicing: it sees the pictures of a batch one by one; the same.
    compile: the UNet and the autoencoder by torch.compile: minutes at first, and again for a new size of picture.
    """

    offload: str = ""
    attention_slicing: bool = False
    vae_tiling: bool = False
    vae_slicing: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.offload not in ("", *OFFLOADS):
            raise UserError(f"offload is {self.offload!r}: give one of {', '.join(OFFLOADS)}, or leave it out.")
        if self.offload == "sequential" and self.compile:
            raise UserError("offload 'sequential' and compile do not go together: take offload 'model', or one alone.")


def load_editor(
    name: str | Path,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "fp32",
    lora: str | Path | None = None,
    tiny_decoder: str | Path | None = None,
    savers: Savers | None = None,
    runtime: str | None = None,
) -> Parts:
    """See `Editor.from_pretrained`. What was asked for and may change a result is in `Parts.loaded`."""
    savers, place, kind = savers or Savers(), pick_device(device), pick_dtype(dtype)
    if savers.offload and place.type == "cpu":
        raise UserError("offload moves networks between a GPU and the CPU, and the device is the CPU: leave it out.")
    check_dtype(place, kind)
    parts = load_pipeline(name, "cpu" if savers.offload or lora is not None else place, kind, runtime)
    if not isinstance(parts.unet, nn.Module):
        if kind != torch.float32 or lora is not None or tiny_decoder is not None or savers != Savers():
            raise UserError(f"{name}: ONNX runs as it was exported, fp32: leave out dtype, LoRA, tiny decoder, savers.")
        return replace(parts, loaded={"model": str(name), **parts.loaded})
    if runtime is not None:
        raise UserError(f"{name}: runtime '{runtime}' is for ONNX: export it first (uip2p export --format onnx).")
    file = None if lora is None else find_lora(lora)
    if file is not None:
        parts = with_lora(parts, file)
    if tiny_decoder is not None:
        parts = replace(parts, tiny=fitting_decoder(tiny_decoder, parts, kind))
    if kind == torch.float16 and parts.text_encoder_2 is not None and parts.vae.config.force_upcast:
        with quiet():
            parts.vae.float()  # SDXL's own overflows in fp16; its config says so, and stock pipelines do the same
    loaded = {
        "model": str(name), "dtype": name_of(kind), "lora": file, "tiny_decoder": tiny_decoder,
        "attention_slicing": savers.attention_slicing, "vae_tiling": savers.vae_tiling,
    }  # fmt: skip
    return place_parts(replace(parts, loaded=loaded), place, savers)


def place_parts(parts: Parts, device: torch.device, savers: Savers) -> Parts:
    """The same parts, in place: on the device or offloaded from it, with what was asked for."""
    networks = [parts.text_encoder, parts.text_encoder_2, parts.unet, parts.vae]
    networks = [fast(network) for network in networks if network is not None]
    if savers.attention_slicing:
        parts.unet.set_attention_slice("auto")
    if savers.vae_tiling:
        set_tiles(parts.vae, int(parts.vae.config.sample_size) // 2, parts.vae_factor)
    if savers.vae_slicing:
        parts.vae.enable_slicing()
    if savers.offload == "model":
        offload_networks(networks, device)
    elif savers.offload == "sequential":
        for network in networks:
            cpu_offload(network, device, offload_buffers=len(network._parameters) > 0)
    else:
        for network in networks:
            network.to(device)
    if parts.tiny is not None:  # a few megabytes: it stays
        parts.tiny.to(device)
    if savers.compile:
        parts.unet.compile()
        parts.vae.encoder.compile()
        parts.vae.decoder.compile()
    return parts


def offload_networks(networks: list[Any], device: torch.device) -> None:
    """In place, in the order in which they run: each is on the device while it runs, and sends home the one before it.
    It is a ring: with the next picture the first one runs again."""
    device = torch.empty(0, device=device).device  # with its number: the hooks compare
    before, hooks = None, []
    for network in networks:
        _, before = cpu_offload_with_hook(network, device, before)
        hooks.append(before)
    hooks[0].hook.prev_module_hook = hooks[-1]


def set_tiles(vae: Any, side: int, factor: int) -> None:
    """diffusers' tiles, `side` pixels wide: by its own they are as wide as a whole picture of the training size."""
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // factor


# ---- what goes on a model --------------------------------------------------------------------------


def find_lora(lora: str | Path) -> Path:
    """A file, a folder that holds pytorch_lora_weights.safetensors, or a hub id of such → the file."""
    path, name = Path(lora), hub.full_name(lora)
    if not path.exists() and hub.is_hub_id(name):
        path = hub.download(name, [FILE])
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{lora}: there is no LoRA ({file} is not there). Give a file, its folder, or a hub id.")
    return file


def with_lora(parts: Parts, file: Path) -> Parts:
    """The model with a LoRA merged in. One that changes conv_in for 8 channels makes an editor of a text-to-image
    model. A uip2p.json beside it says what it was trained for. UserError: `check_lora`'s."""
    unet, (shapes, _) = parts.unet, lora_shapes(file)
    channels = shapes.get("unet.conv_in.lora_A.weight", [0, 0])[1]
    if channels == 2 * unet.config.in_channels == 2 * unet.config.out_channels:
        unet = widen_conv_in(unet)
    settings = load_settings(file.parent, parts.settings)
    changed = replace(parts, unet=unet, settings=settings, name=f"{parts.name} + {file}")
    with quiet():
        apply_lora(stock_pipeline(changed), file)
    for network in (unet, parts.text_encoder, parts.text_encoder_2):
        if network is not None:
            network.eval().requires_grad_(False)
    return replace(changed, unet=tappable(unet))


def fitting_decoder(name: str | Path, parts: Parts, dtype: torch.dtype) -> Any:
    """UserError: a decoder of other latents than the model's."""
    tiny = load_tiny_decoder(name, dtype).eval().requires_grad_(False)
    theirs = (tiny.config.latent_channels, 2 ** (len(tiny.config.decoder_block_out_channels) - 1))
    ours = (parts.vae.config.latent_channels, parts.vae_factor)
    if theirs != ours:
        raise UserError(
            f"{name}: decodes {theirs[0]} channels at 1/{theirs[1]} of a picture's side, and the latents of "
            f"{parts.name} are {ours[0]} at 1/{ours[1]}. Use the tiny decoder of this model's family."
        )
    return tiny


# ---- device and precision --------------------------------------------------------------------------


def pick_device(device: str | torch.device | None) -> torch.device:
    """None: a GPU where there is one. UserError: a device that is not there, or that does not compute."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch asserts that it was built with CUDA
        raise UserError(f"the device '{device}' cannot be used ({first_line(error)}). Use cpu, cuda or mps.") from error


def pick_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """One of DTYPES, by name or as it is. UserError: any other."""
    found = DTYPES.get(dtype) if isinstance(dtype, str) else dtype if dtype in DTYPES.values() else None
    if found is None:
        raise UserError(f"dtype is {dtype!r}: give one of {', '.join(DTYPES)}.")
    return found


def name_of(dtype: torch.dtype) -> str:
    return next((name for name, known in DTYPES.items() if known == dtype), str(dtype))


def check_dtype(device: torch.device, dtype: torch.dtype) -> None:
    """Does what the networks do, at the smallest size. UserError: the device cannot. On the CPU half precision runs,
    for most of them by conversion: a warning."""
    try:
        x = torch.ones(1, 4, 4, 4, device=device, dtype=dtype)
        x = F.group_norm(F.silu(F.conv2d(x, x, padding=1)), 1)
        x = x.flatten(2)
        F.linear(F.scaled_dot_product_attention(x, x, x), x[0]).sum().item()
    except (RuntimeError, NotImplementedError) as error:
        kind = name_of(dtype)
        raise UserError(f"the device '{device}' does not compute in {kind} ({first_line(error)}): use fp32.") from error
    if device.type == "cpu" and dtype != torch.float32:
        text = f"{name_of(dtype)} on the CPU takes half the memory of fp32, and on most machines more time."
        warnings.warn(text, stacklevel=4)
