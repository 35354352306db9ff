"""A comparison is a TOML file: rows that differ in one thing each, trained from one base and measured in one way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from uip2p.config import check_keys, from_dict, load_toml
from uip2p.errors import UserError
from uip2p.evaluate.scene_tables import COLUMNS
from uip2p.learning.recipes import RECIPES, read_recipe

COMPARISONS = RECIPES / "comparisons"
SPLITS = ("composition", "language")


@dataclass(frozen=True, order=True)
class Sampling:
    """How an edit is sampled: number of steps, text guidance scale s_T, image guidance scale s_I."""

    steps: int
    guidance_scale: float
    image_guidance_scale: float


@dataclass(frozen=True)
class SweepConfig:
    """Every combination of the three is tried on the validation split, with each row's first training seed; the best
    one is the row's own from there on. seed, count: of the validation cases. maximise: a figure of the tables, the
    mean over all kinds of edit; one whose heading points down is minimised."""

    steps: tuple[int, ...]
    guidance_scale: tuple[float, ...]
    image_guidance_scale: tuple[float, ...]
    maximise: str = "score"
    seed: int = 1
    count: int = 180

    def __post_init__(self) -> None:
        for name in ("steps", "guidance_scale", "image_guidance_scale"):
            _check(bool(getattr(self, name)), f"sweep: {name} must have a value at least")
        _check(all(steps > 0 for steps in self.steps), "sweep: steps start at 1")
        _check(self.count > 0, "sweep: count starts at 1")
        _check(self.maximise in COLUMNS, f"sweep: maximise must be one of {', '.join(COLUMNS)}, not {self.maximise!r}")

    def grid(self) -> list[Sampling]:
        """Cheapest first, so that of equals the cheapest is chosen."""
        return sorted(
            Sampling(*values) for values in product(self.steps, self.guidance_scale, self.image_guidance_scale)
        )


@dataclass(frozen=True)
class TestConfig:
    """Cases of the final figures. count: single edits; sessions: of three turns; splits: of further single edits.
    against: the row that every other one is compared with, case by case; "": none."""

    seed: int = 0
    count: int = 270
    sessions: int = 90
    splits: dict[str, int] = field(default_factory=dict)
    against: str = ""

    def __post_init__(self) -> None:
        _check(self.count > 0 and self.sessions >= 0, "test: count starts at 1, sessions at 0")
        for name, count in self.splits.items():
            _check(name in SPLITS, f"test: splits may be {' and '.join(SPLITS)}, not {name!r}")
            _check(count > 0, f"test: the count of the split {name} starts at 1")


@dataclass(frozen=True)
class CurvesConfig:
    """One setting moves, the others stay as chosen; single edits of the test split. seeds: how many of a row's training
    seeds are followed, 0 for all. snapshot_every_images: for rows with samples_curve."""

    steps: tuple[int, ...] = ()
    guidance_scale: tuple[float, ...] = ()
    image_guidance_scale: tuple[float, ...] = ()
    count: int = 270
    seeds: int = 0
    snapshot_every_images: int = 0

    def __post_init__(self) -> None:
        _check(all(steps > 0 for steps in self.steps), "curves: steps start at 1")
        _check(self.count > 0, "curves: count starts at 1")
        _check(self.seeds >= 0 and self.snapshot_every_images >= 0, "curves: seeds and snapshots start at 0")


@dataclass(frozen=True)
class RowConfig:
    """One line of the tables. set: overrides of the recipe, as for `train --set`. seeds: else the comparison's."""

    name: str
    recipe: str
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    curves: bool = False
    samples_curve: bool = False

    @property
    def slug(self) -> str:
        """The name as a folder's: "UIP2P: + attention (full)" → "uip2p-attention-full"."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class ComparisonConfig:
    """root: where the shared stages lie and the rows are trained. judge: a stage's name or a folder. seeds: of the
    training, for every row that has none of its own; each has other data and other draws. set: overrides of every
    row's recipe, before the row's own."""

    root: Path
    seeds: tuple[int, ...]
    sweep: SweepConfig
    about: str = ""
    judge: str = "judge"
    set: tuple[str, ...] = ()
    test: TestConfig = field(default_factory=TestConfig)
    curves: CurvesConfig = field(default_factory=CurvesConfig)


@dataclass(frozen=True)
class Comparison:
    """A comparison as its file says it; `rows` have their seeds and the overrides of all filled in."""

    name: str
    config: ComparisonConfig
    rows: tuple[RowConfig, ...]

    def select(self, names: Iterable[str]) -> list[RowConfig]:
        """The rows of these names (or slugs), in the comparison's order; all of them for no name at all."""
        names = list(names)
        for name in names:
            if not any(name in (row.name, row.slug) for row in self.rows):
                there = ", ".join(repr(row.name) for row in self.rows)
                raise UserError(f"comparison {self.name} has no row {name!r}: there are {there}")
        return [row for row in self.rows if not names or {row.name, row.slug} & set(names)]


def comparison_names() -> list[str]:
    return sorted(path.stem for path in COMPARISONS.glob("*.toml"))


def load_comparison(name: str, overrides: Sequence[str] = ()) -> Comparison:
    """A shipped comparison, or a file ending in .toml. overrides: of every row's recipe, after the comparison's own and
    before the row's. UserError names the row and the field that is wrong."""
    path = Path(name) if name.endswith(".toml") else COMPARISONS / f"{name}.toml"
    if not path.is_file():
        there = ", ".join(comparison_names())
        raise UserError(f"no comparison {name!r}: there are {there}, or give a file ending in .toml")
    tables = load_toml(path)
    where = f"comparison {path.stem}"
    check_keys(tables, ("comparison", "row"), where)
    config = from_dict(ComparisonConfig, tables.get("comparison", {}), f"{where} [comparison]")
    config = replace(config, set=(*config.set, *overrides))
    rows = tables.get("row", [])
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{where}: it has no rows; each starts with [[row]].")
    comparison = Comparison(path.stem, config, tuple(_rows(rows, config, where)))
    if config.test.against:
        comparison.select([config.test.against])
    return comparison


def _rows(tables: Sequence[dict], config: ComparisonConfig, where: str) -> Iterable[RowConfig]:
    slugs: dict[str, str] = {}
    for number, table in enumerate(tables, 1):
        filled = {"seeds": list(config.seeds), **table} if isinstance(table, dict) else table
        row = from_dict(RowConfig, filled, f"{where}, row {number}")
        row = replace(row, set=(*config.set, *row.set))
        at = f"{where}, row {number} ({row.name!r})"
        _check(bool(row.slug), f"{at}: the name needs a letter or a digit; its folder is called by it")
        _check(row.slug not in slugs, f"{at}: its folder would be that of row {slugs.get(row.slug)!r}; change the name")
        _check(
            bool(row.seeds) and len(set(row.seeds)) == len(row.seeds), f"{at}: seeds must be different, one at least"
        )
        slugs[row.slug] = row.name
        try:
            read_recipe(row.recipe, row.set)
        except UserError as error:
            raise UserError(f"{at}: {error}") from None
        yield row


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise UserError(f"{sentence}.")
