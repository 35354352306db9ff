"""How to train, whatever is trained: one frozen dataclass, the [train] table of a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from uip2p.errors import UserError
from uip2p.learning.schedule import fraction

POSITIVE = [
    "steps",
    "batch_size",
    "learning_rate",
    "accumulate",
    "save_every",
    "keep",
    "validation_batches",
    "sample_pictures",
    "log_every",
]
NOT_NEGATIVE = [
    "weight_decay",
    "warmup_steps",
    "horizon",
    "gradient_clip",
    "validate_every",
    "sample_every_images",
    "snapshot_every_images",
    "workers",
    "micro_batch",
]
FRACTIONS = ["ema_decay", "final_fraction"]


@dataclass(frozen=True)
class TrainConfig:
    """steps: updates of the weights. batch_size: samples an update, over all devices and accumulation together.

    A 0 turns off warmup_steps, gradient_clip, ema_decay, validate_every, sample_every_images and
    snapshot_every_images. Weight decay is for matrices and kernels, not for biases and norms. Counts named …_every are
    in steps. With accumulate > 1 the objective sees the batch in so many parts; the gradient is the exact mean wherever
    a sample's loss does not depend on others. A snapshot is a whole model of the averaged weights, kept on the way: for
    quality against samples seen.
    """

    steps: int
    batch_size: int
    seed: int = 0
    # "muon": for matrices and kernels, see `learning.muon`. "adamw8bit": torchao's, a quarter of the moments' memory.
    optimizer: Literal["adamw", "muon", "adamw8bit"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    final_fraction: float = 0.1  # of the learning rate, where a cosine ends
    horizon: int = 0  # the step at which a cosine ends, where that is not the run's own last step
    gradient_clip: float = 1.0  # the norm of the whole gradient
    accumulate: int = 1
    micro_batch: int = 0  # samples a device sees at once; 0: all that `accumulate` leaves together
    shard: bool = False  # FSDP2: what learns is shared out over the devices, see `learning.sharding`
    ema_decay: float = 0.999
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    save_every: int = 500
    keep: int = 2  # checkpoints
    validate_every: int = 0
    validation_batches: int = 4
    sample_every_images: int = 0
    sample_pictures: int = 8
    snapshot_every_images: int = 0
    log_every: int = 20
    workers: int = 0
    export: Literal["best", "last"] = "best"  # "best" by validation loss; without validation it is the last

    def __post_init__(self) -> None:
        for name in POSITIVE:
            self._check(name, getattr(self, name) > 0, "more than 0")
        for name in NOT_NEGATIVE:
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in FRACTIONS:
            self._check(name, 0 <= getattr(self, name) <= 1, "between 0 and 1")
        self._check("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers from 0 to less than 1")

    def parts(self, count: int) -> int:
        """In how many parts a device sees its `count` samples of a step."""
        return max(self.accumulate, -(-count // self.micro_batch) if self.micro_batch else 1)

    def learning_rate_at(self, step: int) -> float:
        part = fraction(step, self.horizon or self.steps, self.warmup_steps, self.schedule, self.final_fraction)
        return self.learning_rate * part

    def _check(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise UserError(f"{name} must be {what}, got {getattr(self, name)}.")


def free_to_change(config: TrainConfig) -> set[str]:
    """What a resumed run may change: what is written down and when, not what is learned.

    More steps are the same training too, unless the learning rate's cosine is stretched by them.
    """
    names = [
        "save_every",
        "keep",
        "log_every",
        "validate_every",
        "sample_every_images",
        "sample_pictures",
        "snapshot_every_images",
        "workers",
        "export",
        "shard",
        "micro_batch",
    ]
    if config.schedule == "constant" or config.horizon:
        names.append("steps")
    return {f"train.{name}" for name in names}
