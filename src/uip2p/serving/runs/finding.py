"""Which runs lie under a folder, and which of their files may be opened.

A browser never names a path: it picks a name from what `find_runs` found. Folders that are symlinks are not entered,
and a file that is one is opened only where it leads to somewhere under the same root.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from uip2p.learning.journal import FOLDERS

METRICS, CONFIG = "metrics.jsonl", "config.json"
NOT_RUNS = {*FOLDERS, "model"}  # of a run's own folders
DEPTH, MOST_FOLDERS, MOST_RUNS = 6, 20_000, 1_000  # a root that was given by mistake, such as the whole disk, ends soon


def find_runs(root: Path) -> dict[str, Path]:
    """Name → folder of every run under `root` (or that it is), the latest written first; {} without any.

    A run is a folder with a config.json and a metrics.jsonl; its name is its path below the root. So a family of
    recipes shows as mini/base, mini/cycle …, and the rows of a comparison as rows/NAME/seed-0."""
    found: list[tuple[float, str, Path]] = []
    waiting, seen = deque([(root, 0)]), 0
    while waiting and seen < MOST_FOLDERS and len(found) < MOST_RUNS:
        folder, depth = waiting.popleft()
        seen += 1
        if (written := _last_written(folder, root)) is not None:
            name = folder.relative_to(root).as_posix()
            found.append((written, root.resolve().name or "run" if name == "." else name, folder))
        if depth < DEPTH:
            waiting += [(each, depth + 1) for each in _subfolders(folder)]
    found.sort(key=lambda run: (-run[0], run[1]))
    return {name: folder for _, name, folder in found}


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path` is a regular file that lies under `root`, wherever its symlinks lead."""
    try:
        return path.is_file() and path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of symlinks, a folder that may not be read
        return False


def sample_grids(folder: Path, root: Path) -> list[Path]:
    """The run's sample grids, by the number of images seen; nothing else of the folder."""
    try:
        paths = [path for path in (folder / "samples").glob("*.png") if path.stem.isdecimal()]
    except OSError:
        return []
    return sorted((path for path in paths if is_inside(path, root)), key=lambda path: int(path.stem))


def _last_written(folder: Path, root: Path) -> float | None:
    """Seconds since the epoch, of the run's metrics; None where the folder is no run."""
    try:
        if is_inside(folder / CONFIG, root) and is_inside(folder / METRICS, root):
            str(folder).encode()  # a name that is no text cannot be sent to a browser
            return (folder / METRICS).stat().st_mtime
    except (OSError, UnicodeEncodeError):
        pass
    return None


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir(follow_symlinks=False) and e.name not in NOT_RUNS]
    except OSError:  # it vanished, or may not be read
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]
