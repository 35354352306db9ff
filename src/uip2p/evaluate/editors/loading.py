"""A diffusers pipeline from a folder or the hub: which one it is, and how it is loaded.

    dtype=fp32 | fp16 | bf16     precision of all its networks
    variant=fp16                 files of this variant, where the repository has some
    offload=model | sequential   networks wait on the CPU and come to the GPU to run: FLUX.1 Kontext in 24 GB
    custom_pipeline=NAME         the pipeline's code from elsewhere: a community pipeline of diffusers, a repository
                                 of the hub, a .py file, the folder of a pipeline.py. Its code is run: never by default
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

from uip2p.editing.loading import OFFLOADS, check_dtype, name_of, pick_device, pick_dtype
from uip2p.errors import UserError, first_line
from uip2p.evaluate.rows import identity
from uip2p.models import hub
from uip2p.models.folder import SHIPPED
from uip2p.models.quiet import quiet
from uip2p.models.settings import read_json

LOADING = ("dtype", "variant", "offload", "custom_pipeline")


def load_pipeline(place: str, options: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """On the CPU, without a safety checker and a watermark (they change or blacken what is measured), from safetensors
    alone. → (pipeline, its identity and how it was loaded, for JSON).

    UserError: not there; a class that this diffusers does not have; files that cannot be loaded."""
    dtype = pick_dtype(options["dtype"])
    if options.get("offload", "") not in ("", *OFFLOADS):
        raise UserError(f"{place}: offload is {options['offload']!r}: give one of {', '.join(OFFLOADS)}.")
    custom = options.get("custom_pipeline")
    files = {"variant": options.get("variant")}
    code = {"custom_pipeline": custom, "trust_remote_code": True} if custom else {}
    folder = Path(SHIPPED.get(place, Path(place)))
    if folder.is_dir():
        which = identity(folder)
    else:
        folder = _download(place, files | code)
        which = f"{hub.full_name(place).partition('@')[0]}@{folder.name}"  # a snapshot's folder is called by its commit
    index = read_json(folder / "model_index.json")
    if custom is None:
        _check_class(place, index.get("_class_name"))
    without: dict[str, Any] = {"safety_checker": None} if "safety_checker" in index else {}
    if "requires_safety_checker" in index:
        without["requires_safety_checker"] = False
    if "XL" in str(index.get("_class_name")):
        without["add_watermarker"] = False
    try:
        with quiet(), _holes() as holes:
            pipeline = DiffusionPipeline.from_pretrained(
                folder, torch_dtype=dtype, use_safetensors=True, **files, **code, **without
            )
    except Exception as error:  # from diffusers, transformers, safetensors, the hub's client or the custom code
        if "processor" in index and find_spec("torchvision") is None:  # Qwen2.5-VL's, for its part for videos
            raise UserError(
                f"{place}: its processor needs torchvision: install the one for torch {torch.__version__}."
            ) from error
        raise UserError(f"{place}: cannot be loaded by diffusers: {first_line(error)}") from error
    for part, network in pipeline.components.items():
        for key, tensor in network.named_parameters() if isinstance(network, torch.nn.Module) else ():
            if tensor.is_meta:
                holes.append(f"{part} has no tensor {key}")
    if holes:
        raise UserError(
            f"{place}: {holes[0]}: it would run on random numbers. Copy or export the model again."
        )
    about = {"model": which, "dtype": name_of(dtype), **files, "custom_pipeline": custom}
    return pipeline, {**about, "left out": sorted({"safety_checker", "add_watermarker"} & without.keys())}


@contextlib.contextmanager
def _holes() -> Iterator[list[str]]:
    """What transformers says, while it loads, of tensors that the files lack: it fills them by chance, and only warns,
    which `quiet` around this hides. (diffusers leaves such tensors without numbers.)"""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = re.sub(r"\x1b\[\d*m", "", record.getMessage())
            if "newly initialized" in text:
                lacking = re.search(r"(\S+)\s*\| MISSING", text)
                said.append(f"{text.splitlines()[0]}: no tensor {lacking[1] if lacking else 'for all its parameters'}")

    root, listener, log = logging.getLogger("transformers"), Listener(), transformers.utils.logging
    log.set_verbosity_warning()
    log.disable_default_handler()
    root.addHandler(listener)
    try:
        yield said
    finally:
        root.removeHandler(listener)
        log.enable_default_handler()


def seat(pipeline: Any, device: str | None, offload: str = "") -> None:
    """Put it where it runs. UserError: no such device, or offload without a GPU."""
    place = pick_device(device)
    if offload and place.type == "cpu":
        raise UserError("offload moves networks between a GPU and the CPU, and the device is the CPU: leave it out.")
    check_dtype(place, pipeline.dtype)
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=place)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=place)
    else:
        pipeline.to(place)


def _download(place: str, options: dict[str, Any]) -> Path:
    """A hub id's snapshot: the files that diffusers would load, of the revision that we pin if we pin one."""
    name = hub.full_name(place)
    if not hub.is_hub_id(name):
        raise UserError(f"{place}: there is no such folder. Give a diffusers pipeline folder or a hub id (owner/name).")
    repository, _, revision = name.partition("@")
    try:
        with quiet():
            return Path(DiffusionPipeline.download(
                repository, revision=revision or hub.REVISIONS.get(repository), use_safetensors=True, **options
            ))  # fmt: skip
    except Exception as error:  # the hub's client raises from three libraries, diffusers in its own ways
        raise UserError(
            f"{place}: there is no such folder here, and diffusers cannot download it ({first_line(error)}). Or "
            f"download it elsewhere (hf download {repository} --local-dir DIR) and give diffusers:DIR."
        ) from error


def _check_class(place: str, name: Any) -> None:
    """UserError: a pipeline of a fork of diffusers, or of a newer one."""
    if isinstance(name, str) and not hasattr(diffusers, name):
        raise UserError(
            f"{place}: is a {name}, which diffusers {diffusers.__version__} does not have. Give its code with "
            "?custom_pipeline=NAME (of UltraEdit's free-form checkpoint, the community's "
            "pipeline_stable_diffusion_3_instruct_pix2pix), or make the outputs with the fork that has it, and measure "
            "them by folder:DIR."
        )
