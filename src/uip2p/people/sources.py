"""Where the edits of several methods lie: run folders of `uip2p evaluate`, or plain folders of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uip2p.datasets.folder import read_rows
from uip2p.errors import UserError
from uip2p.evaluate.runs import Run, load_run
from uip2p.images import WRITERS


@dataclass(frozen=True, slots=True)
class Sample:
    """One edit by every method. outputs: method → its picture, which may not be there yet: `create` looks."""

    key: str
    instruction: str
    source: Path
    outputs: Mapping[str, Path]


def from_runs(folders: Sequence[Path], names: Sequence[str]) -> list[Sample]:
    """The scored turns that all the runs have, edited by the named rows, or by every row that is no baseline; of
    several seeds, the first. Turns on an editor's own output are left out: there each method had another input, and
    the paper asked about single edits; so is what an editor refused.

    UserError: no run, or one that is not finished; no such row; a row of that name in two runs; other instructions or
    other inputs under one name; nothing in common."""
    runs = [load_run(folder) for folder in folders]
    chosen: dict[str, Run] = {}  # row → its run
    there = [row["name"] for run in runs for row in run.info["rows"]]
    for run in runs:
        for row in run.info["rows"]:
            if (row["name"] in names) if names else not row["baseline"]:
                if row["name"] in chosen:
                    raise UserError(
                        f"{run.folder}: a row of an earlier run is also called {row['name']!r}. Name one of them."
                    )
                chosen[row["name"]] = run
    if unknown := [name for name in names if name not in chosen]:
        raise UserError(f"--rows: no run has {', '.join(unknown)}; there are {', '.join(dict.fromkeys(there))}.")
    rows = {name: chosen[name] for name in names or chosen}

    samples = []
    for key in runs[0].samples:
        source = runs[0].picture(key, "source")
        if source is None or len(runs[0].asked(key)) > 1 or any(key not in run.samples for run in runs):
            continue
        for run in runs[1:]:
            if run.asked(key) != runs[0].asked(key) or not _same(source, run.picture(key, "source")):
                raise UserError(
                    f"{run.folder}: {key} is another edit than in {runs[0].folder}. Take runs of one suite, with the "
                    "same options but --model."
                )
        if any(refused(run, name, key) for name, run in rows.items()):
            continue
        outputs = {name: run.output(name, key) for name, run in rows.items()}
        samples.append(Sample(key, runs[0].samples[key]["instruction"], source, outputs))
    if not samples:
        raise UserError(f"{', '.join(map(str, folders))}: no single edit with an input picture is in every run.")
    return samples


def refused(run: Run, row: str, key: str) -> bool:
    """Whether the row's editor would not make this edit: it has a line without figures, and no picture."""
    return run.rows[row][run.info["seeds"][0]].get(key) == {} and not run.output(row, key).exists()


def _same(one: Path, other: Path | None) -> bool:
    """Whether two runs show the same picture; one that is gone is named later, if it is drawn at all."""
    if other is None or not (one.is_file() and other.is_file()):
        return other is not None
    return one.resolve() == other.resolve() or one.read_bytes() == other.read_bytes()


def from_folders(methods: Mapping[str, Path], inputs: Path) -> list[Sample]:
    """The rows of metadata.jsonl (file_name, instruction), edited by plain folders: of `images/7.png` the output is
    `images/7` or `7` in the method's folder, with any ending of a picture.

    UserError: no such folder, a row without file_name or instruction, a file_name that is there twice."""
    for name, folder in methods.items():
        if not folder.is_dir():
            raise UserError(f"--method {name}: {folder} is no folder.")
    metadata = inputs / "metadata.jsonl" if inputs.is_dir() else inputs
    samples: dict[str, Sample] = {}
    for row, where in read_rows(metadata):
        file_name, instruction = row.get("file_name"), row.get("instruction")
        for field, value in (("file_name", file_name), ("instruction", instruction)):
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"{where}: the field {field!r} must be text that is not empty, got {value!r}.")
        assert isinstance(file_name, str) and isinstance(instruction, str)
        if file_name in samples:
            raise UserError(f"{where}: {file_name} is there twice, so its edits cannot be told apart.")
        outputs = {name: _output(folder, Path(file_name)) for name, folder in methods.items()}
        samples[file_name] = Sample(file_name, instruction, metadata.parent / file_name, outputs)
    if not samples:
        raise UserError(f"{metadata}: has no rows.")
    return list(samples.values())


def _output(folder: Path, name: Path) -> Path:
    """The method's picture, or where it was expected."""
    places = [folder / stem for stem in dict.fromkeys((name, Path(name.name)))]
    endings = dict.fromkeys((name.suffix, *WRITERS))
    tried = [place.with_suffix(ending) for place in places for ending in endings]
    return next((path for path in tried if path.is_file()), places[-1])
