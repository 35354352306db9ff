"""The command that goes on with a run, found from its config: the recipe, and what was changed of it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uip2p.config import from_dict, to_dict
from uip2p.errors import UserError
from uip2p.learning.command import deciding
from uip2p.learning.journal import flat
from uip2p.learning.recipes import read_recipe, recipe_names
from uip2p.learning.train_config import TrainConfig
from uip2p.serving.runs.run import Config, table

STAGES = ("autoencoder", "clip", "judge", "base", "cycle", "clip2", "latent-clip")  # models that recipes refer to


def resume_command(folder: Path, root: Path, config: Config) -> str | None:
    """The `uip2p train …` that resumes the run in `folder`, as a line for a shell; None where no shipped recipe, with
    what `--set` can change, gives its config (a recipe of one's own). The recipe with the fewest changes is named.
    """
    wanted = table(config, "recipe")
    try:
        train = to_dict(from_dict(TrainConfig, table(config, "train"), "[train]"))  # with what came after this run
    except UserError:
        return None
    found: list[tuple[int, bool, str, list[str]]] = []
    for name in recipe_names():
        overrides = _overrides(name, train, wanted)
        if overrides is not None:
            found.append((len(overrides), name.partition("-")[2] != folder.name, name, overrides))
    if not found:
        return None
    _, _, name, overrides = min(found)
    words = ["uip2p", "train", "--recipe", name, "--root", str(_models(folder, root)), "--out", str(folder)]
    if isinstance(records := wanted.get("records"), str):
        words += ["--data", records]
    return shlex.join([*words, *(word for override in overrides for word in ("--set", override))])


def _overrides(name: str, train: Config, wanted: Config) -> list[str] | None:
    """What turns the recipe into the run's config; None where nothing does. It is tried, so it is exact."""
    tables = read_recipe(name)
    if tables.get("objective") != wanted.get("objective"):
        return None
    data = Path(wanted["records"]) if isinstance(wanted.get("records"), str) else None
    overrides = [*_changes(_settings(tables), train, "train."), *_changes(deciding(tables, data), wanted, "")]
    try:
        changed = read_recipe(name, overrides)
        exact = json.loads(json.dumps([_settings(changed), deciding(changed, data)])) == [train, wanted]
    except (UserError, TypeError):
        return None
    return overrides if exact else None


def _settings(tables: Mapping[str, Any]) -> dict[str, Any]:
    return to_dict(from_dict(TrainConfig, tables.get("train", {}), "[train]"))


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str) -> Sequence[str]:
    old, new = flat(json.loads(json.dumps(before))), flat(after)
    return [
        f"{prefix}{key}={json.dumps(value)}"
        for key, value in new.items()
        if key not in ("objective", "records") and (key not in old or old[key] != value)
    ]


def _models(folder: Path, root: Path) -> Path:
    """Where the run's earlier stages lie: the nearest folder above it, up to `root`, that has a stage's model."""
    above = [parent for parent in folder.parents if parent == root or parent.is_relative_to(root)]
    for parent in above:
        if any((parent / stage / "model").is_dir() for stage in STAGES):
            return parent
    return folder.parent
