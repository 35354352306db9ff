"""LoRA (arXiv 2106.09685) by peft: what is trained, the plain model with it merged in, and the file that others load.

W + (α / r) · B A, with A [r, in] and B [out, r], for the attention's matrices. `conv_in` is new in an editor, so all of
its weights are trained; in the file its change is a LoRA as well, of as many ranks as make it exact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from uip2p.errors import UserError, first_line
from uip2p.models.pickles import refuse_pickle

FILE = "pytorch_lora_weights.safetensors"  # diffusers' name for it


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """rank: r; 0 trains all weights instead. alpha: α; 0 is r. targets: the ends of the names of the layers that get
    one: of the attention's four matrices, as diffusers' training scripts take them."""

    rank: int = 0
    alpha: int = 0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def __post_init__(self) -> None:
        if self.rank < 0 or self.alpha < 0 or not self.targets:
            raise UserError(f"lora: rank and alpha start at 0, and targets name a layer at least: got {self}.")


def add_lora(unet: Any, config: LoraConfig) -> Any:
    """In place: all of the UNet is frozen but its LoRA, which changes nothing yet (B is zero), and conv_in's weight.

    UserError: no layer of the UNet has such a name."""
    import peft  # slow to import, and a full training does without

    unet.requires_grad_(False)
    unet.register_buffer("conv_in_before", unet.conv_in.weight.detach().clone(), persistent=False)
    try:
        unet.add_adapter(
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha or config.rank,
                target_modules=list(config.targets),
                init_lora_weights="gaussian",
            )
        )
    except ValueError as error:
        raise UserError(f"lora: targets {list(config.targets)} fit no layer ({first_line(error)}).") from error
    unet.conv_in.weight.requires_grad_(True)
    for parameter in unet.parameters():
        if parameter.requires_grad:  # whatever the frozen weights are kept in
            parameter.data = parameter.data.float()
    return unet


def lora_layers(unet: Any) -> dict[str, Any]:
    """Name of a layer → peft's layer around it."""
    return {name: module for name, module in unet.named_modules() if hasattr(module, "lora_A")}


def merged(unet: Any, onto: Any = None) -> Any:
    """A plain UNet that computes the same; the UNet itself is left alone, to the bit: training goes on with it.

    onto: the plain UNet, widened, that it was made of; it takes the changes in, in its own precision. By default the
    weights are those that the UNet has kept, which may be half as precise."""
    if onto is None:
        onto = type(unet).from_config(unet.config)
        kept = {name.replace(".base_layer.", "."): tensor for name, tensor in unet.state_dict().items()}
        onto.load_state_dict({name: tensor for name, tensor in kept.items() if ".lora_" not in name})
    with torch.no_grad():
        for name, layer in lora_layers(unet).items():
            weight = onto.get_parameter(f"{name}.weight")
            weight.add_(layer.get_delta_weight("default").to(weight))
        onto.conv_in.weight.copy_(unet.conv_in.weight)
    return onto.eval()


def lora_tensors(unet: Any) -> dict[str, Tensor]:
    """What stock `load_lora_weights` takes: "unet.<layer>.lora_A.weight" and "….lora_B.weight", α / r inside B."""
    tensors: dict[str, Tensor] = {}

    def put(name: str, a: Tensor, b: Tensor) -> None:
        for letter, tensor in (("A", a), ("B", b)):
            tensors[f"unet.{name}.lora_{letter}.weight"] = tensor.detach().float().cpu().contiguous()

    for name, layer in lora_layers(unet).items():
        put(name, layer.lora_A["default"].weight, layer.lora_B["default"].weight * layer.scaling["default"])
    change = unet.conv_in.weight.detach().float() - unet.conv_in_before.float()
    out, each = change.shape[0], change[0].numel()
    if each <= out:  # A reads every input as it is, B is the change
        put("conv_in", torch.eye(each).view(each, *change.shape[1:]), change.reshape(out, each, 1, 1))
    else:  # A is the change, B hands it on
        put("conv_in", change, torch.eye(out).view(out, out, 1, 1))
    return tensors


def save_lora(unet: Any, folder: Path, notes: Mapping[str, str]) -> Path:
    """`folder`/pytorch_lora_weights.safetensors. notes: into the file's metadata, the base's name among them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(lora_tensors(unet), folder / FILE, {"format": "pt", **notes})
    return folder / FILE


def lora_shapes(path: Path) -> tuple[dict[str, list[int]], dict[str, str]]:
    """Name of a tensor → its shape, and the file's metadata. UserError: not a safetensors file."""
    refuse_pickle(path)
    try:
        with safe_open(path, "pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({first_line(error)}). Copy it again.") from error


def check_lora(path: Path, unet: Any) -> dict[str, Any]:
    """The file's metadata. UserError: not a LoRA that diffusers writes, or of another base: the first layer that the
    UNet does not have, or has in another shape, by name."""
    shapes, notes = lora_shapes(path)
    ends = (".lora_A.weight", ".lora_B.weight")
    ours = [name for name in shapes if name.startswith("unet.") and name.endswith(ends)]
    modules, layers = dict(unet.named_modules()), {name[len("unet.") : -len(ends[0])] for name in ours}
    if not layers:
        raise UserError(f"{path}: no 'unet.….lora_A.weight' in it. Give a LoRA in diffusers' layout.")
    known = f" It was trained on {notes['base']}." if notes.get("base") else ""
    for layer in sorted(layers):
        a, b = (f"unet.{layer}{end}" for end in ends)
        if not hasattr(modules.get(layer), "weight"):
            raise UserError(f"{path}: it changes the layer '{layer}', which this model does not have.{known}")
        for name in (a, b):
            if name not in shapes:
                raise UserError(f"{path}: the tensor '{name}' is missing. Copy the file again.")
        weight, change = list(modules[layer].weight.shape), [shapes[b][0], *shapes[a][1:]]
        if change != weight:
            raise UserError(
                f"{path}: it changes '{layer}' by {change}, and this model has {weight} there. It belongs to another "
                f"base.{known}"
            )
        if shapes[b][1:2] != shapes[a][:1]:
            raise UserError(
                f"{path}: the tensor '{b}' has shape {shapes[b]}, which does not go with {shapes[a]} of '{a}'. Copy "
                "the file again."
            )
    return {key: _plain(value) for key, value in notes.items()}


def _plain(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def apply_lora(pipeline: Any, path: Path) -> None:
    """Merge a LoRA file into a stock pipeline's weights, in place, by diffusers' loader. UserError: `check_lora`'s."""
    check_lora(path, pipeline.unet)
    pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
