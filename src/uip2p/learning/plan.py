"""What a training will cost, said before anything is loaded: the very objective is run for one picture on the device
`meta`, where tensors have shapes and no contents. What autograd keeps and what is multiplied is counted, not guessed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from uip2p.learning.counting import count_step
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.train_config import TrainConfig
from uip2p.models import full_size, hub
from uip2p.models.clip import Clip, LatentClip, reads_latents
from uip2p.models.folder import resolve
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.lora import LoraConfig
from uip2p.models.parts import check_fit
from uip2p.models.pickles import refuse_pickle
from uip2p.models.settings import Settings, read_json
from uip2p.models.single_file import is_xl
from uip2p.models.widen import widen_conv_in

GB = 1e9
BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}
MOMENTS = {"adamw": 8.0, "muon": 4.0, "adamw8bit": 2.1}  # bytes a parameter; muon's matrices have one of the two
SHARE = 0.35  # of what the device multiplies at best: performance.md's goal, where nothing has been measured yet


@dataclass(frozen=True)
class Plan:
    """trained, frozen: parameters. activations: bytes that one picture's step keeps for backward, in fp32. flops: of
    one picture's step, two a multiply-add. frozen_bytes: of a parameter that does not learn. around: of the frozen
    parameters, those in the networks that learn, which `train.shard` shares out with them."""

    trained: int
    frozen: int
    activations: int
    flops: float
    train: TrainConfig
    frozen_bytes: int
    around: int = 0
    tiny: str = ""  # the small decoder that would fit the autoencoder, of `hub.NAMES`

    @property
    def at_once(self) -> int:
        world = int(os.environ.get("WORLD_SIZE", 1))
        samples = -(-self.train.batch_size // world)
        return -(-samples // self.train.parts(samples))

    def memory(self) -> dict[str, float]:
        """What a device keeps, in bytes, by name."""
        half = BYTES[self.train.precision] / 4
        devices = int(os.environ.get("WORLD_SIZE", 1)) if self.train.shard else 1
        trained = self.trained / devices
        parts = {
            "weights": 4.0 * trained,
            "gradients": 4.0 * trained,
            "moments": MOMENTS[self.train.optimizer] * trained,
            "averages": 4.0 * trained,
            "frozen weights": self.frozen_bytes * (self.frozen - self.around + self.around / devices),
            "activations": half * self.activations * self.at_once,
        }
        if half < 1:  # autocast keeps the weights in half precision beside them
            parts["half-precision copy"] = 2.0 * trained
        return parts

    @property
    def total(self) -> float:
        return sum(self.memory().values())


def make_plan(editor: Any, loss: CycleConfig, train: TrainConfig, size: int, look: Callable[[str], str]) -> Plan:
    """editor: the recipe's EditorConfig; size: pixels a side; look: a reference → a folder or an id, as for `build`."""
    objective = _objective(editor, loss, look)
    activations, flops = count_step(objective, size)
    counts = {True: 0, False: 0}
    for parameter in objective.parameters():
        counts[parameter.requires_grad] += parameter.numel()
    learning = [parameter for network in objective.networks() for parameter in network.parameters()]
    around = sum(parameter.numel() for parameter in learning if not parameter.requires_grad)
    vae, xl = objective.editor.vae, objective.editor.text_encoder_2 is not None
    published = objective.editor.factor == 8 and vae.config.latent_channels == 4
    tiny = ("tiny-sdxl" if xl else "tiny-sd") if published else ""
    return Plan(counts[True], counts[False], activations, flops, train, BYTES[editor.frozen], around, tiny)


# ---- the models, without their weights ---------------------------------------------------------------


def _objective(config: Any, loss: CycleConfig, look: Callable[[str], str]) -> CycleObjective:
    """The recipe's objective on the device meta, built from config files alone; for published models from ours."""
    with torch.device("meta"):
        parts = _shapes(look(config.base))
        if config.vae:
            name = look(config.vae)
            published = name == hub.SDXL_VAE
            parts["vae"] = full_size.sd_autoencoder(0.13025) if published else _autoencoder(Path(_files(name)))
        if config.tiny_decoder:
            name = look(config.tiny_decoder)
            tiny = full_size.tiny_decoder() if name in (hub.TINY_SD, hub.TINY_SDXL) else None
            parts["tiny"] = tiny or AutoencoderTiny.from_config(_config(Path(_files(name))))
        parts["unet"] = widen_conv_in(parts["unet"])
        lora = config.lora if config.lora.rank else LoraConfig()
        editor = LatentEditor(**parts, train_text=config.train_text, lora=lora)
        clips = [_clip(look(reference)) for reference in config.clips]
    if config.checkpointing:
        editor.enable_checkpointing()
    return CycleObjective(editor, clips, loss, Settings()).to("meta")


def _shapes(base: str) -> dict[str, Any]:
    """The arguments of a LatentEditor, on the device meta."""
    both = {"tokenizer": full_size.tokenizer(), "scheduler": full_size.scheduler()}
    if base in (hub.SD15, hub.INSTRUCT_PIX2PIX, hub.MAGICBRUSH):
        vae, text = full_size.sd_autoencoder(), full_size.clip_l_text()
        return {"unet": full_size.sd15_unet(), "vae": vae, "text_encoder": text, **both}
    if base == hub.SDXL:
        return {
            "unet": full_size.sdxl_unet(),
            "vae": full_size.sd_autoencoder(0.13025),
            "text_encoder": full_size.clip_l_text(),
            "text_encoder_2": full_size.clip_g_text(),
            "tokenizer_2": full_size.tokenizer(),
            **both,
        }
    refuse_pickle(Path(base))
    if base.endswith(".safetensors"):
        folder, xl = Path(base).with_suffix(""), is_xl(Path(base))
        if not folder.is_dir():  # a single file alone has the shape of one of the two
            return _shapes(hub.SDXL if xl else hub.SD15)
    else:
        folder = Path(_files(base)) if hub.is_hub_id(base) else resolve(base)
    parts = {
        "unet": UNet2DConditionModel.from_config(_config(folder / "unet")),
        "vae": _autoencoder(folder / "vae"),
        "text_encoder": CLIPTextModel(_text(folder / "text_encoder")),
        **both,
    }
    if (folder / "text_encoder_2").is_dir():
        second = CLIPTextModelWithProjection(_text(folder / "text_encoder_2"))
        parts |= {"text_encoder_2": second, "tokenizer_2": full_size.tokenizer()}
    networks = (parts["unet"], parts["vae"], parts["text_encoder"], parts.get("text_encoder_2"))
    check_fit(folder / "unet/config.json", *networks)
    return parts


def _files(name: str) -> str:
    return name if Path(name).is_dir() or not hub.is_hub_id(name) else str(hub.download(name, ["*.json", "*/*.json"]))


def _config(folder: Path) -> dict[str, Any]:
    return {key: value for key, value in read_json(folder / "config.json").items() if not key.startswith("_")}


def _autoencoder(folder: Path) -> Any:
    return AutoencoderKL.from_config(_config(folder))


def _text(folder: Path) -> CLIPTextConfig:
    return CLIPTextConfig(**_config(folder))


def _clip(name: str) -> Clip:
    if name == hub.CLIP_L:
        return full_size.clip_l()
    config = _config(Path(_files(name)))
    both = {key: config[key] for key in ("text_config", "vision_config", "projection_dim")}
    settings: Any = CLIPConfig(**both)
    if reads_latents(settings):
        return LatentClip(CLIPModel(settings), full_size.tokenizer())
    return Clip(CLIPModel(settings), full_size.tokenizer(), (0.5,) * 3, (0.5,) * 3)


# ---- in words ----------------------------------------------------------------------------------------


def describe(plan: Plan, speed: float | None = None) -> str:
    """The plan in a few lines. speed: pictures a second, where this very run has been measured already."""
    memory = ", ".join(f"{name} {size / GB:.1f}" for name, size in plan.memory().items())
    lines = [
        f"trained {plan.trained / 1e6:,.1f} M parameters, frozen {plan.frozen / 1e6:,.1f} M",
        f"memory a device {plan.total / GB:.1f} GB: {memory} ({plan.at_once} pictures at once)",
    ]
    pictures = plan.train.steps * plan.train.batch_size
    world = int(os.environ.get("WORLD_SIZE", 1))
    if speed is None:
        best = measure_flops(plan.train.precision)
        speed = world * SHARE * best / plan.flops
        how = f"if {SHARE:.0%} of the {best / 1e12:.2f} TFLOP/s that this device multiplies are reached"
    else:
        how = "at the speed measured so far"
    hours = pictures / speed / 3600
    took = f"{hours:,.1f} hours" if hours < 100 else f"{hours / 24:,.0f} days"
    each = f"{plan.flops / 1e12:.3g} TFLOP each"
    lines.append(f"time {took} for {pictures:,} pictures: {each}, {speed:.3g} pictures a second {how}")
    return "\n".join(lines)


def available() -> tuple[float, str]:
    """Bytes of memory that a training may take here, and of what."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1]), torch.cuda.get_device_name()
    return float(psutil.virtual_memory().total), "this machine's memory"


def switches(plan: Plan, again: Callable[[list[str]], Plan]) -> list[str]:
    """What makes it smaller, and by how much. again: overrides → the plan with them."""
    options = [
        f"train.micro_batch={max(1, plan.at_once // 4)}",
        "model.checkpointing=true",
        *([f'model.tiny_decoder="{plan.tiny}"'] if plan.tiny else []),
        'train.optimizer="adamw8bit"',
        "model.lora.rank=64",
        'model.frozen="bf16"',
    ]
    saved = {option: plan.total - again([option]).total for option in options}
    return [f"--set {option} saves {size / GB:.1f} GB" for option, size in saved.items() if size > 0.01 * plan.total]


def measure_flops(precision: str, side: int = 1024, seconds: float = 0.3) -> float:
    """Operations a second of this device's matrix product, two a multiply-add."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device == "cuda":
        side *= 8
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    run(1)
    once = max(run(1), 1e-4)
    count = max(1, round(seconds / once))
    return count * 2 * side**3 / run(count)

