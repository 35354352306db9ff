"""The averaged weights become a model: at the end of a run, which finished.json then says, and on the way to it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from uip2p.learning import checkpoint
from uip2p.learning.sharding import gathered
from uip2p.learning.state import TrainState, load_best
from uip2p.learning.train_config import TrainConfig


class Result(NamedTuple):
    """Where `train` ended: `finished` is False when a signal stopped it. `exported` is the step in `model`."""

    step: int
    finished: bool
    model: Path
    exported: int | None = None


def export(objective: Any, state: TrainState, config: TrainConfig, out: Path, main: bool = True) -> Result:
    """Put the averaged weights (the best, or the last) into the objective and let it write `out/model`."""
    averages, loss, step = load_best(out / "best") if config.export == "best" else ({}, math.inf, None)
    if averages:
        state.ema.load(averages)
    state.ema.copy_to_parameters()
    objective.eval()
    result = Result(state.step, True, out / "model", state.step if step is None else step)
    with gathered(objective):
        _write(objective, result, config, out, loss if averages else None, main)
    return result


def _write(objective: Any, result: Result, config: TrainConfig, out: Path, loss: float | None, main: bool) -> None:
    if main:
        checkpoint.replace_folder(result.model, objective.export, "Free some space and run the same command again.")
        note = {
            "step": result.step,
            "exported": result.exported,
            "export": config.export,
            "validation_loss": loss,
        }
        checkpoint.replace_text(out / "finished.json", json.dumps(note, indent=1))


def snapshot(objective: Any, state: TrainState, folder: Path, images: int, main: bool = True) -> Path:
    """Export the averaged weights as they are now into `folder/<images:09d>`, whole or not at all, and go on.

    A run that was killed and passes the same count again writes the same model in its place."""
    path = folder / f"{images:09d}"
    with state.ema.judging(objective), gathered(objective):
        if not main:
            return path
        checkpoint.replace_folder(path, objective.export, "Free some space and run the same command again.")
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
