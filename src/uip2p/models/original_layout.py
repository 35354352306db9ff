"""The original layout of Stable Diffusion in one file, as ComfyUI, A1111 and stable-diffusion.cpp read it: which tensor
is called what there.

One map from diffusers' names serves both ways: `to_original` writes by it, `from_original` looks up by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT = "cond_stage_model.transformer.text_model."
TEXT_XL, OPEN_CLIP_XL = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
QKV = ("q_proj", "k_proj", "v_proj")

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
}


class Place(NamedTuple):
    """Where a tensor is in the file. part: of three that lie there one upon the other (q, k, v), or None: it is alone.
    turned: it lies there transposed."""

    name: str
    part: int | None = None
    turned: bool = False


def unet_place(name: str, layers: int) -> Place:
    """layers: resnets in a block of the way down; a block of the way up has one more."""
    for ours, theirs in UNET_ENDS.items():
        if name.startswith(ours + "."):
            return Place(UNET + theirs + name[len(ours) :])
    if match := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        kind, number, rest = match.groups()
        place = 1 if kind == "attentions" else 2 * int(number)
        return Place(f"{UNET}middle_block.{place}.{_resnet(kind, rest)}")
    match = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name)
    if match is None:
        raise ValueError(f"no place in the original layout for {name}")
    way, block, kind, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    a_block = layers + 1  # its resnets and what changes the size, on the way down; its resnets, on the way up
    if kind == "downsamplers":
        return Place(f"{UNET}input_blocks.{(block + 1) * a_block}.0.{rest.replace('conv.', 'op.')}")
    if kind == "upsamplers":
        return Place(f"{UNET}output_blocks.{block * a_block + layers}.?.{rest}")  # behind attention, if any
    row = block * a_block + number
    at = f"input_blocks.{1 + row}" if way == "down" else f"output_blocks.{row}"
    return Place(f"{UNET}{at}.{int(kind == 'attentions')}.{_resnet(kind, rest)}")


def _resnet(kind: str, rest: str) -> str:
    if kind == "attentions":
        return rest
    layer, _, last = rest.partition(".")
    return f"{RESNET[layer]}.{last}"


def vae_place(name: str, blocks: int) -> Place:
    """blocks: how many halvings and one; the way up is numbered from its end there."""
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        side, kind, number, rest = match.groups()
        if kind == "resnets":
            return Place(f"{VAE}{side}.mid.block_{int(number) + 1}.{rest}")
        layer, _, last = rest.rpartition(".")
        return Place(f"{VAE}{side}.mid.attn_1.{VAE_ATTENTION[layer]}.{last}")
    kinds = "resnets|downsamplers|upsamplers"
    match = re.fullmatch(rf"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.({kinds})\.(\d)\.(.+)", name)
    if match is None:
        return Place(VAE + name.replace("conv_norm_out", "norm_out"))
    side, way, block, kind, number, rest = match.groups()
    block = block if way == "down" else str(blocks - 1 - int(block))
    rest = rest.replace("conv_shortcut", "nin_shortcut")
    inner = f"block.{number}" if kind == "resnets" else f"{way}sample"
    return Place(f"{VAE}{side}.{way}.{block}.{inner}.{rest}")


def text_place(name: str, prefix: str = TEXT) -> Place:
    return Place(prefix + name.removeprefix("text_model."))


def open_clip_place(name: str) -> Place:
    """SDXL's second encoder, in OpenCLIP's own names: q, k and v in one tensor, the projection transposed."""
    if name == "text_projection.weight":
        return Place(OPEN_CLIP_XL + "text_projection", turned=True)
    name = name.removeprefix("text_model.")
    for ours, theirs in OPEN_CLIP.items():
        name = name.replace(ours, theirs)
    if match := re.fullmatch(r"(.+\.attn)\.([qkv]_proj)\.(weight|bias)", name):
        return Place(f"{OPEN_CLIP_XL}{match[1]}.in_proj_{match[3]}", QKV.index(match[2]))
    return Place(OPEN_CLIP_XL + name)


def places(part: str, model: Any, xl: bool) -> dict[str, Place]:
    """Every tensor of one part of a pipeline ("unet", "vae", "text_encoder", "text_encoder_2") → its place."""
    names = [name for name in model.state_dict() if not name.endswith("position_ids")]
    if part == "vae":
        return {name: vae_place(name, len(model.config.block_out_channels)) for name in names}
    if part == "text_encoder":
        return {name: text_place(name, TEXT_XL if xl else TEXT) for name in names}
    if part == "text_encoder_2":
        return {name: open_clip_place(name) for name in names}
    layers = model.config.layers_per_block
    found = {name: unet_place(name, layers) for name in names}
    taken = {place.name for place in found.values()}

    def settle(place: Place) -> Place:
        if ".?." not in place.name:
            return place
        block = place.name.partition(".?.")[0]
        number = 2 if any(name.startswith(f"{block}.1.") for name in taken) else 1
        return place._replace(name=place.name.replace(".?.", f".{number}."))

    return {name: settle(place) for name, place in found.items()}


def to_original(parts: Mapping[str, Any]) -> dict[str, Tensor]:
    """{"unet", "vae", "text_encoder" and for SDXL "text_encoder_2"} → name → tensor of the one file."""
    xl = parts.get("text_encoder_2") is not None
    file: dict[str, Tensor] = {}
    stacked: dict[str, dict[int, Tensor]] = {}
    for part, model in parts.items():
        if model is None:
            continue
        tensors = model.state_dict()
        for name, place in places(part, model, xl).items():
            tensor = tensors[name].detach().cpu()
            if part == "vae" and ".mid.attn_1." in place.name and tensor.ndim == 2:
                tensor = tensor[:, :, None, None]  # a linear map is a kernel of one pixel there
            if place.part is not None:
                stacked.setdefault(place.name, {})[place.part] = tensor
            else:
                file[place.name] = (tensor.T if place.turned else tensor).contiguous()
    for name, three in stacked.items():
        file[name] = torch.cat([three[number] for number in range(len(QKV))])
    return file


def from_original(file: Mapping[str, Tensor], part: str, model: Any, xl: bool) -> tuple[list[str], list[str]]:
    """Load one part from the file's tensors, in place. Returns (names that are missing there, "name: shape there and
    here" of those that do not fit); where there are any, the model is not to be used."""
    missing, wrong, found = [], [], {}
    for name, place in places(part, model, xl).items():
        here = model.state_dict()[name]
        if place.name not in file:
            missing.append(place.name)
            continue
        there = file[place.name]
        there = there.T if place.turned else there
        if place.part is not None:
            there = there.chunk(len(QKV))[place.part]
        if there.numel() != here.numel() or there.shape[0] != here.shape[0]:
            wrong.append(f"{place.name}: {list(there.shape)} where {list(here.shape)} is expected")
            continue
        found[name] = there.reshape(here.shape).to(here.dtype)
    if not missing and not wrong:
        model.load_state_dict(found, strict=False)
    return missing, wrong
