"""A model on disk: a stock diffusers InstructPix2Pix pipeline folder, and `uip2p.json` with its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from uip2p.errors import UserError, first_line
from uip2p.models import hub
from uip2p.models.attention import tappable
from uip2p.models.pickles import refuse_pickle
from uip2p.models.quiet import quiet as quiet
from uip2p.models.reading import max_tokens
from uip2p.models.settings import SETTINGS_FILE, Settings, load_settings, read_json
from uip2p.models.settings import save_settings as save_settings

ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED = {"mini": ASSETS / "uip2p-mini", "mini-base": ASSETS / "base-mini"}
WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "text_encoder_2": "model.safetensors",
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FILES = [f"{part}/{weights}" for part, weights in WEIGHTS.items()]
SHARDS = [f"{part}/*-of-*.safetensors" for part in WEIGHTS]


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
        from uip2p.models.single_file import load_single_file  # it needs this module's checks

        parts = load_single_file(Path(name), dtype)
    elif (Path(name) / "unet/model.onnx").is_file():
        from uip2p.models.onnx import load_onnx

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
    unet = _load(UNet2DConditionModel, folder, "unet", dtype)
    vae = _load(AutoencoderKL, folder, "vae", dtype)
    text_encoder = _load(CLIPTextModel, folder, "text_encoder", dtype)
    tokenizer = load_tokenizer(folder / "tokenizer", text_encoder.config.vocab_size)
    second: dict[str, Any] = {}
    if (folder / "text_encoder_2").is_dir():
        encoder = _load(CLIPTextModelWithProjection, folder, "text_encoder_2", dtype)
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
    return _load(model_class, folder, "", dtype)


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


# ---- parts -------------------------------------------------------------------------------------------


def _load(model_class: Any, folder: Path, part: str, dtype: torch.dtype) -> Any:
    """from_pretrained, minus its habit of filling holes with random numbers."""
    weights = folder / part / WEIGHTS[part or "vae"]
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
