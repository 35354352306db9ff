"""One .safetensors file in the original layout, in and out.

Such a file holds weights alone. Configurations and the tokenizer come from a folder of the file's own name beside it
(`editor/` for `editor.safetensors`), else from the hub: a few small files of Stable Diffusion 1.5 or SDXL.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from uip2p.errors import UserError, first_line
from uip2p.models import hub
from uip2p.models.original_layout import OPEN_CLIP_XL, TEXT, UNET, from_original, to_original
from uip2p.models.parts import Parts, check_fit, load_scheduler, load_tokenizer, stock_pipeline, unet_size
from uip2p.models.quiet import quiet
from uip2p.models.settings import SETTINGS_FILE, Settings, load_settings, read_json, save_settings

STEM = f"{UNET}input_blocks.0.0.weight"
# Empty tensors whose presence says what the UNet predicts, as SDXL's files have them; without them it is noise.
V_PRED, ZERO_SNR = "v_pred", "ztsnr"
CONFIGS = ["model_index.json", SETTINGS_FILE, "tokenizer*/*", "*/*.json"]


def is_xl(path: Path) -> bool:
    """Whether a single file is SDXL's, by its tensors' names; else it is Stable Diffusion 1's. UserError: neither."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as safetensors ({first_line(error)}). Copy it again.") from error
    if STEM not in names:
        raise UserError(
            f"{path}: the tensor '{STEM}' is missing, so this is no Stable Diffusion in the original layout. Give such "
            "a file, or a diffusers folder."
        )
    xl = f"{OPEN_CLIP_XL}ln_final.weight" in names
    if not xl and f"{TEXT}final_layer_norm.weight" not in names:
        raise UserError(f"{path}: its text encoder is neither Stable Diffusion 1's nor SDXL's. Use one of these.")
    return xl


def load_single_file(path: Path, dtype: torch.dtype = torch.float32) -> Parts:
    """Parts of a single file; see `folder.load_pipeline`. UserError: a tensor missing or of another shape, by name."""
    xl = is_xl(path)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("model_ema.")}  # noqa: SIM118
    beside = path.with_suffix("")
    put = f"name the folder {beside}"
    config = beside if beside.is_dir() else hub.download(hub.SDXL if xl else hub.SD15, CONFIGS, put)
    index = read_json(config / "model_index.json")

    def build(part: str, model: Any) -> Any:
        missing, wrong = from_original(tensors, part, model, xl)
        if missing:
            more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(f"{path}: the tensor '{missing[0]}' is missing{more}. Export or copy the file again.")
        if wrong:
            raise UserError(f"{path}: {wrong[0]} by {config}. Use the configuration that belongs to this file.")
        return model.to(dtype)

    def shape(part: str) -> dict[str, Any]:
        return {k: v for k, v in read_json(config / part / "config.json").items() if not k.startswith("_")}

    def text(part: str, model_class: Any) -> Any:
        settings: Any = CLIPTextConfig(**shape(part))
        with quiet():
            return build(part, model_class(settings))

    unet = UNet2DConditionModel.from_config({**shape("unet"), "in_channels": tensors[STEM].shape[1]})
    unet, vae = build("unet", unet), build("vae", AutoencoderKL.from_config(shape("vae")))
    encoder = text("text_encoder", CLIPTextModel)
    second: dict[str, Any] = {}
    if xl:
        encoder_2 = text("text_encoder_2", CLIPTextModelWithProjection)
        tokenizer_2 = load_tokenizer(config / "tokenizer_2", encoder_2.config.vocab_size)
        zero_null = bool(index.get("force_zeros_for_empty_prompt", True))
        second = {"text_encoder_2": encoder_2, "tokenizer_2": tokenizer_2, "zero_null": zero_null}
    check_fit(path, unet, vae, encoder, second.get("text_encoder_2"))
    tokenizer = load_tokenizer(config / "tokenizer", encoder.config.vocab_size)
    scheduler = load_scheduler(config / "scheduler", index)
    if said := predicts(tensors):
        scheduler = type(scheduler).from_config({**scheduler.config, **said})
    size = unet_size(unet) * 2 ** (len(vae.config.block_out_channels) - 1)
    settings = load_settings(config, Settings(image_size=size))
    return Parts(unet, vae, encoder, tokenizer, scheduler, settings, str(path), **second)


def marks(scheduler: Any) -> dict[str, Tensor]:
    """What the file has to say of the scheduler beside the weights: nothing where the UNet predicts noise."""
    if scheduler.config.prediction_type != "v_prediction":
        return {}
    zero = [ZERO_SNR] if scheduler.config.get("rescale_betas_zero_snr") else []
    return {name: torch.zeros(0) for name in (V_PRED, *zero)}


def predicts(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The scheduler's settings that `marks` stand for: of a file whose own configuration has been lost."""
    if V_PRED not in tensors:
        return {}
    return {"prediction_type": "v_prediction", **({"rescale_betas_zero_snr": True} if ZERO_SNR in tensors else {})}


def save_single_file(
    parts: Parts, path: Path, dtype: torch.dtype, notes: Mapping[str, str], beside: Path | None = None
) -> None:
    """The whole editor as one file, and beside it a folder of its name with the configurations and the tokenizer, which
    `load_single_file` and diffusers' `from_single_file(…, config=folder)` take. notes: into the file's metadata.
    beside: that folder, where it is to be another."""
    models = {
        "unet": parts.unet,
        "vae": parts.vae,
        "text_encoder": parts.text_encoder,
        "text_encoder_2": parts.text_encoder_2,
    }
    tensors: dict[str, Tensor] = {name: t.to(dtype).clone() for name, t in to_original(models).items()}
    tensors |= marks(parts.scheduler)
    beside = beside or path.with_suffix("")
    pipeline = stock_pipeline(parts)
    pipeline.save_config(beside)
    for part, model in models.items():
        if model is not None:
            config: Any = model.save_config if hasattr(model, "save_config") else model.config.save_pretrained
            config(beside / part)
    for part in ("tokenizer", "tokenizer_2", "scheduler"):
        if getattr(parts, part) is not None:
            getattr(parts, part).save_pretrained(beside / part)
    save_settings(parts.settings, beside)
    save_file(tensors, path, {"format": "pt", **notes})
