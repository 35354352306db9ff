"""The parts of a pipeline, each read from a folder or refused with the file's name, and whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import SchedulerMixin
from torch import nn
from transformers import CLIPTokenizer

from uip2p.errors import UserError, first_line
from uip2p.models.pickles import refuse_pickle
from uip2p.models.quiet import quiet
from uip2p.models.reading import max_tokens
from uip2p.models.settings import Settings, read_json

WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a pipeline, frozen, in evaluation mode, on one device.

    loaded: what was asked for beside the name that changes what they compute, see `editing.loading`.
    (Any: diffusers' classes do not tell a type checker what they are.)
    """

    unet: Any  # UNet2DConditionModel
    vae: Any  # AutoencoderKL
    text_encoder: Any  # CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: Any  # any diffusers scheduler
    settings: Settings
    name: str
    text_encoder_2: Any = None  # CLIPTextModelWithProjection, of SDXL
    tokenizer_2: Any = None
    zero_null: bool = False  # see reading.Reader
    tiny: Any = None  # AutoencoderTiny, for previews and drafts
    loaded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Where the networks run. Offloaded ones (see editing/loading.py) lie elsewhere in between."""
        modules = self.unet.modules() if isinstance(self.unet, nn.Module) else ()
        hooks = (getattr(module, "_hf_hook", None) for module in modules)
        running = (getattr(hook, "execution_device", None) for hook in hooks)
        return torch.device(next((device for device in running if device is not None), self.unet.device))

    @property
    def vae_factor(self) -> int:
        """Pixels along a latent's side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def size_multiple(self) -> int:
        """Both sides of a picture have to be multiples of this many pixels."""
        return self.vae_factor * 2 ** (len(self.unet.config.block_out_channels) - 1)

    @property
    def max_tokens(self) -> int:
        """The longest instruction, its start and end tokens included."""
        return max_tokens(self.tokenizer, self.text_encoder)


def load_network(model_class: Any, folder: Path, part: str, dtype: torch.dtype, file: str = "") -> Any:
    """from_pretrained, minus its habit of filling holes with random numbers. file: of the weights, where WEIGHTS does
    not say."""
    weights = folder / part / (file or WEIGHTS[part or "vae"])
    read_json(folder / part / "config.json")
    if not weights.is_file() and not weights.with_name(weights.name + ".index.json").is_file():
        for other in sorted(weights.parent.glob("*.*")):
            refuse_pickle(other, weights)
        raise UserError(f"{weights}: this file is missing. Copy the model again (safetensors, not .bin).")
    options: dict[str, Any] = {"dtype": dtype}
    if issubclass(model_class, diffusers.ModelMixin):
        options = {"torch_dtype": dtype, "low_cpu_mem_usage": False}  # else it stops at the first bad shape
    try:
        with quiet():
            model, found = model_class.from_pretrained(
                folder / part, use_safetensors=True, local_files_only=True, output_loading_info=True,
                ignore_mismatched_sizes=True, **options,
            )  # fmt: skip
    except Exception as error:  # an unreadable file fails in diffusers, transformers, safetensors or torch
        raise UserError(
            f"{weights}: cannot be loaded ({first_line(error)}). Copy or export the model again."
        ) from error
    if missing := sorted(found["missing_keys"]):
        raise UserError(
            f"{weights}: the tensor '{missing[0]}' is missing{_and_more(missing)}. "
            "Copy or export the model again; it would otherwise run on random numbers."
        )
    if wrong := sorted(found["mismatched_keys"]):
        key, on_disk, expected = wrong[0]
        raise UserError(
            f"{weights}: the tensor '{key}' has shape {list(on_disk)} where config.json asks for "
            f"{list(expected)}{_and_more(wrong)}. Use config.json and weights of one and the same model."
        )
    return model


def load_tokenizer(folder: Path, vocab_size: int) -> CLIPTokenizer:
    if not (folder / "tokenizer.json").is_file():
        for file in ("vocab.json", "merges.txt"):  # transformers would make an empty tokenizer without a word
            if not (folder / file).is_file():
                raise UserError(f"{folder / file}: this file is missing. Copy the model again.")
    try:
        with quiet():
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers raises bare Exception
        raise UserError(f"{folder}: cannot be loaded ({first_line(error)}). Copy the model again.") from error
    if len(tokenizer) > vocab_size:
        raise UserError(
            f"{folder}: {len(tokenizer)} tokens, and text_encoder/ knows {vocab_size}. Use both from one model."
        )
    return tokenizer


def load_scheduler(folder: Path, index: dict[str, Any]) -> Any:
    path = folder / "scheduler_config.json"
    name = str(read_json(path).get("_class_name") or (index.get("scheduler") or [None])[-1])
    scheduler_class: Any = getattr(diffusers, name, None)
    if not (isinstance(scheduler_class, type) and issubclass(scheduler_class, SchedulerMixin)):
        raise UserError(f"{path}: diffusers has no scheduler called '{name}'. Correct _class_name.")
    try:
        with quiet():
            return cast(Any, scheduler_class).from_pretrained(folder)
    except Exception as error:  # each scheduler refuses in its own way
        raise UserError(f"{path}: cannot be used ({first_line(error)}). Correct it.") from error


def check_fit(path: Path, unet: Any, vae: Any, text_encoder: Any, text_encoder_2: Any = None) -> None:
    """UserError, naming `path`: parts that are not of one model."""
    config, latent = unet.config, vae.config.latent_channels
    if config.in_channels == 2 * latent + 1:
        raise UserError(
            f"{path}: in_channels is {config.in_channels}: an inpainting model, which takes a mask beside the "
            f"picture. Use the text-to-image model ({latent} channels) or an InstructPix2Pix one ({2 * latent})."
        )
    if config.in_channels not in (latent, 2 * latent) or config.out_channels != latent:
        raise UserError(
            f"{path}: in_channels {config.in_channels}, out_channels {config.out_channels}, where the {latent} latent "
            f"channels of vae/ ask for {2 * latent} and {latent}. Use an InstructPix2Pix model, all from one folder."
        )
    encoders = [encoder for encoder in (text_encoder, text_encoder_2) if encoder is not None]
    width = sum(encoder.config.hidden_size for encoder in encoders)
    if config.cross_attention_dim != width:
        names = "text_encoder/ is" if len(encoders) == 1 else "text_encoder/ and text_encoder_2/ together are"
        raise UserError(
            f"{path}: cross_attention_dim is {config.cross_attention_dim}, and {names} {width} wide. Use both from one "
            "model."
        )


def stock_pipeline(parts: Any) -> Any:
    """Parts, or a LatentEditor, as diffusers' own InstructPix2Pix pipeline; SDXL's, with two text encoders."""
    names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    models = {name: getattr(parts, name) for name in names}
    if parts.text_encoder_2 is None:
        return diffusers.StableDiffusionInstructPix2PixPipeline(
            **models, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )
    return diffusers.StableDiffusionXLInstructPix2PixPipeline(
        **models,
        text_encoder_2=parts.text_encoder_2,
        tokenizer_2=parts.tokenizer_2,
        force_zeros_for_empty_prompt=parts.zero_null,
    )


def check_editor(parts: Parts) -> Parts:
    """The same parts, if they edit pictures. UserError: a text-to-image model."""
    latent = parts.vae.config.latent_channels
    if parts.unet.config.in_channels != 2 * latent:
        raise UserError(
            f"{parts.name}: unet/config.json has in_channels {parts.unet.config.in_channels}, and an editor has "
            f"{2 * latent}, twice the latent's. This model draws from text alone; train it with `uip2p train` first."
        )
    return parts


def unet_size(unet: Any) -> int:
    size = unet.config.sample_size or 64
    return size if isinstance(size, int) else max(size)


def _and_more(found: list[Any]) -> str:
    return f", and {len(found) - 1} more" if len(found) > 1 else ""
