"""Real runs of the real trainer, tiny: one finished, one stopped on the way, and one whose cycle log says it copies."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from toy import Denoiser, Discs

from uip2p.config import from_dict, to_dict
from uip2p.learning.command import deciding
from uip2p.learning.cycle import CycleObjective
from uip2p.learning.journal import Journal
from uip2p.learning.recipes import read_recipe
from uip2p.learning.train_config import TrainConfig
from uip2p.learning.trainer import train

COPIES = {"copy_rate": 0.97, "clip_direction": 0.02, "edit_magnitude": 0.03, "direction": 2.9, "total": 3.5}
EDITS = {"copy_rate": 0.25, "clip_direction": 0.4, "edit_magnitude": 0.2, "direction": 1.9, "total": 2.5}


class Interrupting(Discs):
    """A person presses Ctrl-C while the sample `at` is read."""

    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def __getitem__(self, index: int) -> dict:
        if index == self.at:
            signal.raise_signal(signal.SIGINT)
        return super().__getitem__(index)


def write_cycle(folder: Path, *rows: dict, name: str = "mini-cycle", overrides: tuple[str, ...] = ()) -> Path:
    """A folder as a cycle run leaves it, with config and metrics written by what writes the real ones."""
    folder.mkdir(parents=True)
    tables = read_recipe(name, overrides)
    settings = {"train": to_dict(from_dict(TrainConfig, tables["train"], name)), "recipe": deciding(tables)}
    (folder / "config.json").write_text(json.dumps({**settings, "frozen_weights": "0"}))
    journal = Journal(folder / "metrics.jsonl", 0)
    for number, means in enumerate(rows, 1):
        row = {"step": number, "images": 32 * number, **means, "images_per_second": 8.0, "skipped": 0, "seconds": 4.0}
        sentence = CycleObjective.alarm(None, means)
        journal.write(row | ({"alarm": sentence} if sentence else {}))
    return folder


def make_runs(root: Path) -> Path:
    """root/toy/done, root/toy/half, root/copies."""
    usual = {"batch_size": 4, "log_every": 1, "save_every": 4, "validate_every": 4, "sample_every_images": 16}
    config = TrainConfig(steps=12, validation_batches=1, sample_pictures=3, ema_decay=0.5, **usual)
    train(Denoiser(frozenset({9})), Discs(), config, root / "toy/done", Discs(1), progress=False)
    train(Denoiser(), Interrupting(23), config, root / "toy/half", Discs(1), progress=False)
    write_cycle(root / "copies", EDITS, COPIES)
    return root
