"""Pickled weights (.ckpt, .bin, .pt) can run any code while they are read, so they are not: in no case, for nobody."""

from __future__ import annotations

from pathlib import Path

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
