"""The averaged weights become a model: at the end of a run, which finished.json then says, and on the way to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from torch import Tensor

from uip2p.learning import checkpoint
from uip2p.learning.ranks import from_main, share
from uip2p.learning.sharding import gathered
from uip2p.learning.state import TrainState, load_best
from uip2p.learning.train_config import TrainConfig


class Result(NamedTuple):
    """Where `train` ended: `finished` is False when a signal stopped it. `exported` is the step in `model`."""

    step: int
    finished: bool
    model: Path
    exported: int | None = None


HINT = "Free some space and run the same command again."


def export(objective: Any, state: TrainState, config: TrainConfig, out: Path, accelerator: Accelerator) -> Result:
    """Put the averaged weights (the best, or the last) into the objective and let it write `out/model`."""
    best: dict[str, Tensor] = {}

    def look() -> tuple[float, int | None]:
        nonlocal best
        best, loss, step = load_best(out / "best")
        return loss, step

    loss, step = from_main(accelerator, look) if config.export == "best" else (math.inf, None)
    if step is not None:
        state.ema.load(share(accelerator, best))
    state.ema.copy_to_parameters()
    objective.eval()
    result = Result(state.step, True, out / "model", state.step if step is None else step)
    note = {
        "step": result.step,
        "exported": result.exported,
        "export": config.export,
        "validation_loss": None if step is None else loss,
    }

    def write() -> None:
        checkpoint.replace_folder(result.model, objective.export, HINT)
        checkpoint.replace_text(out / "finished.json", json.dumps(note, indent=1))

    with gathered(objective, accelerator.is_main_process):
        from_main(accelerator, write)
    return result


def snapshot(objective: Any, state: TrainState, folder: Path, images: int, accelerator: Accelerator) -> Path:
    """Export the averaged weights as they are now into `folder/<images:09d>`, whole or not at all, and go on.

    A run that was killed and passes the same count again writes the same model in its place."""
    path = folder / f"{images:09d}"
    with state.ema.judging(objective), gathered(objective, accelerator.is_main_process):
        from_main(accelerator, lambda: checkpoint.replace_folder(path, objective.export, HINT))
    return path


def read_finished(config: TrainConfig, out: Path) -> Result | None:
    """What a run that is over returned, read from its folder; None where there is something left to do."""
    try:
        note = json.loads((out / "finished.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    model = out / "model"
    if not model.is_dir() or (note["step"], note["export"]) != (config.steps, config.export):
        return None
    return Result(note["step"], True, model, note["exported"])
