"""`uip2p export`: an editor in the form that another program takes."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from uip2p.errors import UserError
from uip2p.learning import checkpoint
from uip2p.models.folder import load_pipeline, quiet, resolve
from uip2p.models.lora import FILE
from uip2p.models.onnx import export_onnx
from uip2p.models.parts import DTYPES, Parts, check_editor, stock_pipeline
from uip2p.models.settings import SETTINGS_FILE, save_settings
from uip2p.models.single_file import save_single_file

FORMATS = {
    "folder": "diffusers' layout, for StableDiffusionInstructPix2PixPipeline (or SDXL's)",
    "single": "one .safetensors file in the original layout, for ComfyUI, A1111 and stable-diffusion.cpp",
    "lora": "what load_lora_weights takes, of a model that was trained with [model.lora]",
    "onnx": "four networks for onnxruntime; uip2p edit --model takes the folder",
}

WIDTHS = ((320, 640, 1280, 1280), (320, 640, 1280))  # of the UNets that other programs know: Stable Diffusion's, SDXL's
OWN_SHAPE = (
    "This model has a shape of its own, which no other program's stock loader takes. In ComfyUI our nodes take it "
    "(integrations/comfyui), and `uip2p edit --model FILE` does."
)
V_PREDICTION = (
    "This model predicts v, which other programs expect of SDXL alone. ComfyUI: ModelSamplingDiscrete (v_prediction) "
    "behind the loader; A1111: a yaml of the file's name beside it; stable-diffusion.cpp: --prediction v."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["formats:", *(f"  {name:7} {what}" for name, what in FORMATS.items())])
    add("--model", default="mini", help='"mini", a folder, a hub id or a single file (default: mini)')
    add("--format", required=True, choices=FORMATS, help="see below")
    add("--out", required=True, type=Path, metavar="PATH", help="a folder; with --format single a .safetensors file")
    add("--dtype", choices=DTYPES, default="fp16", help="of the weights (default: fp16; ONNX and LoRA are fp32)")


def run(args: argparse.Namespace) -> None:
    if (args.out.suffix == ".safetensors") != (args.format == "single"):
        what = "a .safetensors file" if args.format == "single" else "a folder"
        raise UserError(f"--out {args.out}: --format {args.format} writes {what}.")
    if args.format == "lora":
        _copy_lora(args.model, args.out)
    else:
        parts, hint = check_editor(load_pipeline(args.model)), "Free some space and run the same command again."
        if args.format == "single":
            notes = {"uip2p": "editor, 8-channel input: noisy latent, picture latent"}
            beside, dtype = args.out.with_suffix(""), DTYPES[args.dtype]
            checkpoint.replace_file(args.out, lambda new: save_single_file(parts, new, dtype, notes, beside), hint)
            print(f"{beside}: configuration and tokenizer, for from_single_file(…, config=…)")
            for line in advice(parts):
                print(line)
        elif args.format == "onnx":
            checkpoint.replace_folder(args.out, lambda new: export_onnx(parts, new), hint)
        else:
            checkpoint.replace_folder(args.out, lambda new: _save_folder(parts, new, DTYPES[args.dtype]), hint)
    print(args.out)


def advice(parts: Parts) -> list[str]:
    """What other programs have to be told of a single file of it."""
    if tuple(parts.unet.config.block_out_channels) not in WIDTHS:
        return [OWN_SHAPE]
    v_prediction = parts.scheduler.config.prediction_type == "v_prediction"
    return [V_PREDICTION] if v_prediction and parts.text_encoder_2 is None else []


def _save_folder(parts: Parts, folder: Path, dtype: torch.dtype) -> None:
    with quiet():
        stock_pipeline(parts).to(dtype).save_pretrained(folder, safe_serialization=True)
    save_settings(parts.settings, folder)


def _copy_lora(model: str, out: Path) -> None:
    file = resolve(model) / FILE
    if not file.is_file():
        raise UserError(f"{file}: there is no such file: this model was trained whole. Use --format folder or single.")
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, out / FILE)
    if (file.with_name(SETTINGS_FILE)).is_file():  # the defaults that it was trained for
        shutil.copy(file.with_name(SETTINGS_FILE), out / SETTINGS_FILE)
