"""What the server knows of the runs under a root, for everyone who looks: the list, and the logs read so far."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uip2p.serving.runs import curves, page, run, words
from uip2p.serving.runs.finding import METRICS, find_runs, sample_grids
from uip2p.serving.runs.log import Log
from uip2p.serving.runs.resume import resume_command

KEPT = 16  # logs in memory: 100,000 rows of a cycle run are 12 MB
FRESH = 10.0  # seconds for which the list of runs holds


@dataclass(frozen=True, slots=True)
class View:
    """One run as it is now. grids: its sample grids by images seen. names: its curves, in the order they are offered.
    version: of the log; another number where there is something new to draw."""

    name: str
    folder: Path
    config: run.Config
    fault: str
    log: Log
    progress: run.Progress
    grids: list[Path]
    names: list[str]
    version: int

    @property
    def first_names(self) -> list[str]:
        """The curves that are drawn before anyone chooses: the losses that are not zero throughout, and the copies."""
        losses = [name for name in self.names if name in words.LOSSES]
        used = [name for name in losses if self.log.training.curve(name)[1].any()]
        return [*(used or losses or self.names)[:5], *(name for name in self.names if name == "copy_rate")]


class Browser:
    """The runs under `root`, which is the only folder that is ever read. Names come from browsers; paths do not."""

    def __init__(self, root: Path):
        self.root, self.lock = root, threading.Lock()
        self.found: dict[str, Path] = {}
        self.found_at = -FRESH
        self.logs: OrderedDict[Path, Log] = OrderedDict()

    def names(self, anew: bool = False) -> list[str]:
        """Of all runs, the latest written first. anew: look now, however fresh the list is."""
        with self.lock:
            if anew or time.monotonic() - self.found_at > FRESH:
                self.found, self.found_at = find_runs(self.root), time.monotonic()
            return list(self.found)

    def view(self, name: str | None) -> View | None:
        """None for a name that is no run's, and for a run whose folder is gone."""
        folder = self.found.get(name or "")
        if name is None or folder is None or not folder.is_dir():
            return None
        log = self._log(folder).read()
        config, fault = run.read_config(folder, self.root)
        progress = run.read_progress(folder, self.root, config, log)
        names = words.first_shown(log.names())
        return View(name, folder, config, fault, log, progress, sample_grids(folder, self.root), names, log.version)

    def _log(self, folder: Path) -> Log:
        with self.lock:
            log = self.logs.pop(folder, None) or Log(folder / METRICS)
            self.logs[folder] = log
            while len(self.logs) > KEPT:
                self.logs.popitem(last=False)
            return log

    def overview(self, view: View) -> str:
        copying = run.read_copying(view.log)
        unreadable = run.read_unreadable(view.folder, self.root)
        return page.overview(view.fault, view.progress, copying, view.log, unreadable)

    def curves(self, view: View, names: Sequence[str], smoothing: float, logarithmic: bool) -> str:
        """smoothing: percent of a curve that each of its points is the mean of."""
        log = view.log
        with log.lock:
            drawn = [
                curves.Curve(
                    name, words.title(name), *log.training.curve(name), *log.validation.curve(name), best=log.best
                )
                for name in names
                if name in view.names
            ]
        return page.losses(drawn, smoothing / 100, logarithmic, bool(view.names))

    def sample(self, view: View, number: int) -> str:
        rows, look = words.grid_rows(view.config)
        columns = words.grid_columns(view.config) if view.grids else []
        return page.sample(view.grids, number, rows, look, columns, words.no_grids(view.config))

    def resume(self, view: View) -> str:
        """The command that goes on with it; nothing for a run that is over."""
        if view.progress.state == "finished":
            return ""
        return page.resume(None if view.fault else resume_command(view.folder, self.root, view.config))
