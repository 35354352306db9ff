"""Which model, and how it is to fit a device: the options of every verb that edits."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uip2p.editing.editor import Editor


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="mini", help='"mini" (shipped), a folder, a hub id or a .safetensors file '
                        "(default: mini)")  # fmt: skip
    parser.add_argument("--lora", metavar="FILE", help="merge this LoRA into the model: a file, its folder or a hub id")


def add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_argument_group("memory and time", "what fits a small device; see benchmarks/edit_memory.py")
    place.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    place.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), default="fp32", help="precision (default: fp32)")
    place.add_argument("--offload", choices=("model", "sequential"), default="", help="wait on the CPU: a network at "
                       "a time goes to the GPU, or a layer at a time, the least memory and the slowest")  # fmt: skip
    place.add_argument("--attention-slicing", action="store_true", help="half of the heads at a time")
    place.add_argument("--vae-tiling", action="store_true", help="decode in tiles; colours differ slightly")
    place.add_argument("--vae-slicing", action="store_true", help="decode the pictures of a batch one by one")
    place.add_argument("--tiny-decoder", metavar="MODEL", help="decode drafts by an AutoencoderTiny, such as tiny-sd")
    place.add_argument("--runtime", choices=("onnxruntime", "openvino"), help="of an ONNX folder (default: the first)")
    place.add_argument("--compile", action="store_true", help="torch.compile: minutes first, for many pictures")


def load(args: argparse.Namespace) -> Editor:
    """The editor that --model and what goes with it name."""
    from uip2p.editing.editor import Editor

    return Editor.from_pretrained(
        args.model, args.device, args.dtype, lora=args.lora, tiny_decoder=args.tiny_decoder, offload=args.offload,
        attention_slicing=args.attention_slicing, vae_tiling=args.vae_tiling, vae_slicing=args.vae_slicing,
        compile=args.compile, runtime=args.runtime,
    )  # fmt: skip
