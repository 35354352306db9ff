"""The devices that a run has, and what they can do together."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from uip2p.errors import UserError
from uip2p.learning.train_config import TrainConfig
from uip2p.models.ema import trainable


def make_accelerator(config: TrainConfig) -> Accelerator:
    AcceleratorState._reset_state()  # one process may train one stage after another, each in its own precision
    if config.precision == "fp16" and not torch.cuda.is_available():
        raise UserError("precision fp16 needs a GPU; use fp32 or bf16.")
    # Buffers are the same everywhere: nothing is sent for them. Gradients lie where they are added up, and only there.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")  # its successor is not in torch 2.6
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    precision = "no" if config.precision == "fp32" else config.precision
    # Asked for by name: else accelerate, started by torchrun where there is no GPU, takes each process for a run alone.
    only_cpu = int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.accelerator.is_available()
    return Accelerator(mixed_precision=precision, kwargs_handlers=[ddp], cpu=only_cpu)


def check_devices(config: TrainConfig, objective: Any, devices: int) -> None:
    """UserError: what this objective, or so many devices, cannot do."""
    if not trainable(objective):
        raise UserError("nothing to train: no parameter of the objective has requires_grad.")
    if config.batch_size < config.accumulate * devices:
        parts = config.accumulate * devices
        raise UserError(f"batch_size must be at least accumulate × devices, {parts}, got {config.batch_size}.")
    if not config.shard:
        return
    if not hasattr(objective, "networks"):  # first: to an objective that cannot, no other setting helps
        raise UserError("train.shard is for cycle recipes; what this one trains fits any device. Leave it out.")
    if config.batch_size % devices:
        raise UserError(f"with train.shard batch_size must be a multiple of the {devices} devices.")
    if config.optimizer != "adamw":
        raise UserError(f'train.shard goes with optimizer "adamw", not "{config.optimizer}".')
