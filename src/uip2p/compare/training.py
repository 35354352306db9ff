"""The trainings of a comparison: one for each row and seed, each a child `uip2p train` in a folder of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

from uip2p.compare.children import Child, environment, run_children
from uip2p.compare.config import Comparison, RowConfig
from uip2p.config import from_dict, to_dict
from uip2p.errors import UserError
from uip2p.evaluate.rows import commit, fingerprint
from uip2p.images import write_atomic
from uip2p.learning.command import deciding
from uip2p.learning.finish import read_finished
from uip2p.learning.journal import Journal, compare_config, progress_bar
from uip2p.learning.recipes import family_and_stage, find, read_recipe, recipe_names
from uip2p.learning.train_config import TrainConfig, free_to_change

NOTE = "study.json"  # in a training's folder; the name is older than the command's, and runs that there are have it


@dataclass(frozen=True)
class Training:
    """One row with one seed: data, their order and the draws are the seed's; base, autoencoder and CLIPs are shared."""

    row: RowConfig
    seed: int
    root: Path
    snapshot_every_images: int = 0

    @property
    def name(self) -> str:
        return f"{self.row.slug}/seed-{self.seed}"

    @property
    def out(self) -> Path:
        return self.root / "rows" / self.row.slug / f"seed-{self.seed}"

    @property
    def model(self) -> Path:
        return self.out / "model"

    @cached_property
    def overrides(self) -> list[str]:
        """The row's own, and what a seed changes: train.seed is the seed, data.seed the recipe's plus the seed."""
        base = read_recipe(self.row.recipe, self.row.set).get("data", {}).get("seed", 0)
        more = [f"train.seed={self.seed}", f"data.seed={base + self.seed}"]
        if self.row.samples_curve and self.snapshot_every_images:
            more.append(f"train.snapshot_every_images={self.snapshot_every_images}")
        return [*self.row.set, *more]

    @cached_property
    def tables(self) -> dict[str, Any]:
        return read_recipe(self.row.recipe, self.overrides)

    @cached_property
    def config(self) -> TrainConfig:
        return from_dict(TrainConfig, self.tables.get("train", {}), f"recipe {self.row.recipe} [train]")

    @property
    def samples(self) -> int:
        """Pictures that the whole training sees."""
        return self.config.steps * self.config.batch_size

    @property
    def command(self) -> tuple[str, ...]:
        sets = [argument for override in self.overrides for argument in ("--set", override)]
        places = ("--root", str(self.root), "--out", str(self.out))
        return (sys.executable, "-m", "uip2p.cli", "train", "--recipe", self.row.recipe, *places, *sets)

    def finished(self) -> bool:
        return read_finished(self.config, self.out) is not None

    def inputs(self) -> dict[str, str]:
        """Reference → fingerprint, of the models that it starts from or learns by. UserError: one is missing."""
        family, _ = family_and_stage(self.row.recipe)
        folders = {reference: Path(find(reference, self.root, family)) for reference in references(self.tables)}
        return {reference: fingerprint(folder) for reference, folder in folders.items() if folder.is_dir()}

    def check(self) -> None:
        """Raises UserError when the folder holds another training than the comparison asks for now: its figures would
        be published under this row's name."""
        asked = {"train": to_dict(self.config), "recipe": deciding(self.tables)}
        compare_config(self.out / "config.json", asked, free_to_change(self.config) | {"frozen_weights"})
        before = self.note().get("inputs", {})
        now = self.inputs() if before else {}
        for reference, digest in before.items():
            if now.get(reference, digest) != digest:
                raise UserError(
                    f"{self.out}: was trained from another {reference!r} than lies in {self.root} now. Put that back, "
                    "or remove this folder to train it again."
                )

    def fault(self) -> str | None:
        """What `check` would raise, in words."""
        try:
            self.check()
        except UserError as error:
            return str(error)
        return None

    def ready(self) -> bool:
        """Finished, and the training that the comparison asks for: it may be measured."""
        return self.finished() and self.fault() is None

    def note(self) -> dict[str, Any]:
        """What was written down when it began: {"inputs", "command", "commit"}, or {} where it was not begun by us."""
        path = self.out / NOTE
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def write_note(self) -> None:
        """Write it down, unless the training has begun already. The folder must exist."""
        if not (self.out / "config.json").exists():
            note = {"inputs": self.inputs(), "command": ["uip2p", *self.command[3:]], "commit": commit()}
            write_atomic(self.out / NOTE, (json.dumps(note, indent=1) + "\n").encode())

    def measured(self) -> dict[str, float]:
        """{"images", "images_per_second", "seconds"} of the last row of its metrics; {} before the first."""
        rows = [row for row in Journal.read(self.out / "metrics.jsonl") if "images_per_second" in row]
        return {name: rows[-1][name] for name in ("images", "images_per_second", "seconds")} if rows else {}


def trainings(comparison: Comparison, rows: Sequence[RowConfig]) -> list[Training]:
    """In the order in which they run: every row's first seed, then every row's second …"""
    root, every = comparison.config.root, comparison.config.curves.snapshot_every_images
    by_row = [[_training(row, seed, root, every) for seed in row.seeds] for row in rows]
    return [training for turn in zip_longest(*by_row) for training in turn if training is not None]


@cache
def _training(row: RowConfig, seed: int, root: Path, snapshot_every_images: int) -> Training:
    """One object for each: its recipe is read once, so that a comparison means the same recipe to its end."""
    return Training(row, seed, root, snapshot_every_images)


def references(tables: Mapping[str, Any]) -> list[str]:
    """The models that a recipe starts from or learns by, as it names them."""
    model = tables.get("model", {})
    return [model[key] for key in ("autoencoder", "clip", "base") if model.get(key)] + list(model.get("clips", []))


def missing_stages(wanted: Sequence[str], root: Path, family: str) -> list[str]:
    """Of the stages that are wanted, those that are not trained yet, each after what it needs itself. UserError: a
    stage that no recipe trains."""
    missing: list[str] = []
    for reference in wanted:
        try:
            find(reference, root, family)
        except UserError:
            recipe = f"{family}-{reference}"
            if recipe not in recipe_names():
                raise
            missing += [*missing_stages(references(read_recipe(recipe)), root, family), reference]
    return list(dict.fromkeys(missing))


def shared_stages(comparison: Comparison, rows: Sequence[RowConfig]) -> list[Child]:
    """What has to be trained before these rows, in order: base, CLIPs and judge, where they are missing."""
    root, recipes = comparison.config.root, dict[str, str]()
    for row in rows:
        family, _ = family_and_stage(row.recipe)
        wanted = [*references(read_recipe(row.recipe, row.set)), comparison.config.judge]
        recipes |= {f"{family}-{stage}": stage for stage in missing_stages(wanted, root, family)}
    command = (sys.executable, "-m", "uip2p.cli", "train", "--root", str(root), "--recipe")
    return [Child(recipe, (*command, recipe), root / stage) for recipe, stage in recipes.items()]


def train_all(comparison: Comparison, rows: Sequence[RowConfig], jobs: int) -> dict[str, str]:
    """Train what is not finished, `jobs` at once; name → fault of those that failed. A bar shows the pictures seen by
    all, and who sees how many a second."""
    runs = trainings(comparison, rows)
    for training in runs:
        training.check()
    todo = [training for training in runs if not training.finished()]
    if not todo:
        return {}
    if faults := run_children(shared_stages(comparison, rows), 1, environment(1)):
        raise UserError("; ".join(f"{name} failed ({fault})" for name, fault in faults.items()))
    children = [Child(training.name, training.command, training.out, training.write_note) for training in todo]
    by_child = dict(zip(children, todo, strict=True))
    seen = {training.name: int(training.measured().get("images", 0)) for training in todo}
    total = sum(training.samples for training in todo)
    with progress_bar("training", sum(seen.values()), total, shown=True) as bar:

        def watch(running: list[Child]) -> None:
            speeds = []
            for child in running:
                measured = by_child[child].measured()
                seen[child.name] = int(measured.get("images", 0))
                speeds.append(f"{child.name} {measured['images_per_second']:.0f}/s" if measured else child.name)
            over = [training for training in todo if training.finished()]
            seen.update({training.name: training.samples for training in over})
            bar.set_postfix_str(f"{len(over)}/{len(todo)} done; {', '.join(speeds)}", refresh=False)
            bar.update(max(0, sum(seen.values()) - bar.n))

        return run_children(children, jobs, environment(jobs), watch)


def plan(comparison: Comparison, rows: Sequence[RowConfig], jobs: int) -> str:
    """The table of --dry-run: rows × seeds, samples, what is done, and the hours that are left at measured speed."""
    runs, speeds = trainings(comparison, rows), speeds_of(trainings(comparison, comparison.rows))
    width = max(len(row.name) for row in rows)
    lines, faults, hours, unknown = [f"{'row':<{width}}  {'recipe':<14} {'samples':>8}  seeds"], [], 0.0, 0
    for row in rows:
        own = [training for training in runs if training.row == row]
        states = []
        for training in own:
            state, left = _state(training)
            states.append(f"{training.seed} {state}")
            speed = speeds.get(row.name) or speeds.get(row.recipe)
            hours += left / speed / 3600 / jobs if speed else 0
            unknown += 0 if speed else left
            if state == ANOTHER:
                faults.append(f"{training.name}: {training.fault()}")
        lines.append(f"{row.name:<{width}}  {row.recipe:<14} {own[0].samples:>8,}  {', '.join(states)}")
    lines.append(f"left: {hours:.1f} hours with {jobs} at once, at the speed measured so far")
    if unknown:
        lines.append(f"and {unknown:,} pictures by recipes of which no speed is known yet")
    first = shared_stages(comparison, rows)
    lines += [f"first, for all of them: uip2p {' '.join(child.command[3:])}" for child in first]
    return "\n".join([*lines, *faults])


def speeds_of(runs: Sequence[Training]) -> Mapping[str, float]:
    """Name of a row or of a recipe → pictures a second, the mean over the runs that there are."""
    measured: dict[str, list[float]] = {}
    for training in runs:
        if speed := training.measured().get("images_per_second"):
            for name in (training.row.name, training.row.recipe):
                measured.setdefault(name, []).append(speed)
    return {name: sum(speeds) / len(speeds) for name, speeds in measured.items()}


ANOTHER = "another training"


def _state(training: Training) -> tuple[str, int]:
    """In a word, and the pictures that are left."""
    if training.fault():
        return ANOTHER, 0
    if training.finished():
        return "done", 0
    images = int(training.measured().get("images", 0))
    return (f"at {images / training.samples:.0%}" if images else "to do"), training.samples - images
