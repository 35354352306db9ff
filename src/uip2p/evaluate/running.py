"""A benchmark run: every row edits every session, every output is measured, and all of it outlives the process.

Two passes a row. Editing writes outputs and a line of edits.jsonl for each; measuring reads them back, so what is
scored is what lies on the disk, and writes a line of rows.jsonl. Both skip what is known, so that the same command goes
on where it was stopped. Shards share out the sessions and write journals of their own; whichever finishes last writes
the summary.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Picture, Refused, Session, Turn, open_picture
from uip2p.evaluate.editors import Finite
from uip2p.evaluate.meter import Judged, Meter
from uip2p.evaluate.recording import claim, sample_line, save_png, sha256
from uip2p.evaluate.rows import append_rows, commit, digest, machine, noise_seed, versions
from uip2p.evaluate.runs import (
    FORMAT,
    NOT_MEASURED,
    RUN,
    SAMPLES,
    TABLE,
    Run,
    measured,
    output_path,
    read_journals,
    row_folder,
)
from uip2p.evaluate.suites import Row, Suite
from uip2p.evaluate.tables import markdown, summarise
from uip2p.images import load_image, write_atomic

# To be raised whenever running comes to mean something else: outputs and figures of before are then made again.
EDITING, MEASURING = 1, 1
MEASURED_AT_ONCE = 32


@dataclass(frozen=True)
class Shard:
    """Number i of n, 0 ≤ i < n: the sessions i, i + n, i + 2n, …"""

    i: int = 0
    n: int = 1

    def name(self, kind: str) -> str:
        """A journal of its own, so that no two processes write to one file."""
        return f"{kind}.jsonl" if self.n == 1 else f"{kind}.{self.i}-of-{self.n}.jsonl"


@dataclass
class Runner:
    """What a run is made of. seeds: each a replicate of every edit. batch_size: of edits; changes the speed, never a
    result."""

    suite: Suite
    rows: Sequence[Row]  # the baselines and the editors', in the order of the tables
    meter: Meter
    out: Path
    seeds: Sequence[int] = (0,)
    shard: Shard = field(default_factory=Shard)
    batch_size: int = 8
    command: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        names = [row_folder(row.name) for row in self.rows]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(f"two rows are called {twice[0]}: give one of them a name of its own, NAME=SPEC.")
        self.sessions = list(self.suite.sessions())
        keys = [turn.key for session in self.sessions for turn in session.turns]
        if len(set(keys)) < len(keys):
            raise ValueError(f"suite {self.suite.name}: two turns have one key")
        self.scored = {turn.key: turn for session in self.sessions for turn in session.turns if turn.groups}

    def run(self) -> Run | None:
        """Edits, measures and sums up; None where other shards have not finished, after saying so."""
        keys = [turn.key for session in self._mine() for turn in session.turns]
        for editor in (row.editor for row in self.rows if isinstance(row.editor, Finite)):
            editor.check((key, seed) for seed in self.seeds for key in keys)
        self._begin()
        for row in self.rows:
            for seed in self.seeds:
                self._edit(row, seed)
                self._measure(row, seed)
        return self._finish()

    def folder(self, row: Row) -> Path:
        return self.out / row_folder(row.name)

    # What makes an output that output, and a figure that figure

    @cached_property
    def _editors(self) -> dict[str, dict[str, Any]]:
        """Row → its editor's description, which may read the weights: once."""
        return {row.name: row.editor.describe() for row in self.rows}

    @cached_property
    def _metrics(self) -> dict[str, Any]:
        """What the suite measures itself is not missing where the meter was not asked for it."""
        meter, own = self.meter.describe(), self.suite.measured()
        if NOT_MEASURED in meter:
            meter[NOT_MEASURED] = {name: why for name, why in meter[NOT_MEASURED].items() if name not in own}
        return {**meter, **own}

    @cached_property
    def _made_by(self) -> dict[str, Any]:
        return {"commit": commit(), "versions": versions(), "machine": machine()}

    def output_key(self, row: Row, seed: int, turn: Turn, before: str | None) -> str:
        """before: the key of the output that the turn goes on from."""
        asked = {"turn": turn.key, "instruction": turn.instruction, "before": before, "seed": seed}
        return digest({"editor": self._editors[row.name], "suite": self.suite.settings, "version": EDITING, **asked})

    def made(self, row: Row) -> str:
        """Of all figures of a row alike: the editor, the questions, the meter."""
        parts = {"editor": self._editors[row.name], "suite": self.suite.settings, "meter": self._metrics}
        return digest({**parts, "versions": [EDITING, MEASURING]})

    # Editing

    def _mine(self) -> list[Session]:
        return self.sessions[self.shard.i :: self.shard.n]

    def _edit(self, row: Row, seed: int) -> None:
        folder, mine = self.folder(row), self._mine()
        known = read_journals(folder, "edits")
        with self._bar(sum(len(session.turns) for session in mine), row, seed, "editing") as bar:
            for sessions in _chunks(mine, self.batch_size):
                self._edit_together(row, seed, sessions, known, bar)

    def _edit_together(
        self, row: Row, seed: int, sessions: Sequence[Session], known: dict[str, dict[str, Any]], bar: tqdm
    ) -> None:
        """Sessions side by side: their first turns in one batch, then their second ones, … Where one was refused, so
        is all that would go on from it."""
        before: dict[str, tuple[str, Path | None]] = {}  # session → key and file of its last output; None: refused
        for place in range(max(len(session.turns) for session in sessions)):
            todo: list[tuple[Session, Turn, str]] = []
            for session in (session for session in sessions if place < len(session.turns)):
                turn = session.turns[place]
                key = self.output_key(row, seed, turn, before[session.name][0] if turn.source is None else None)
                path = output_path(self.folder(row), seed, turn.key)
                line = known.get(key)
                if line and ("refused" in line or line["sha256"] == sha256(path)):
                    before[session.name] = key, None if "refused" in line else path
                    bar.update()
                else:
                    todo.append((session, turn, key))
            if not todo:
                continue
            asks = []
            for session, turn, _ in todo:
                source = before[session.name][1] if turn.source is None else turn.source
                if source is not None:
                    asks.append(self._ask(turn, source, noise_seed(seed, session.name, place), seed))
            began = time.perf_counter()
            outputs = {ask.key: output for ask, output in zip(asks, row.editor.edit(asks), strict=True)} if asks else {}
            seconds = round((time.perf_counter() - began) / max(1, len(asks)), 4)
            lines = []
            for session, turn, key in todo:
                path = output_path(self.folder(row), seed, turn.key)
                output = outputs.get(turn.key, Refused("the edit before it was refused"))
                refused = isinstance(output, Refused)
                made = {"refused": output.why} if isinstance(output, Refused) else {"sha256": save_png(output, path)}
                if refused:
                    path.unlink(missing_ok=True)  # of an editor that had this name before
                before[session.name] = key, None if refused else path
                lines.append({"key": key, "turn": turn.key, "seed": seed, "seconds": seconds, **made})
            append_rows(self.folder(row) / self.shard.name("edits"), lines)
            bar.update(len(lines))

    @staticmethod
    def _ask(turn: Turn, source: Picture, seed: int, replicate: int) -> Ask:
        return Ask(
            key=turn.key, image=open_picture(source), instruction=turn.instruction, seed=seed, caption=turn.caption,
            edited_caption=turn.edited_caption, reverse_instruction=turn.reverse_instruction, answer=turn.target,
            replicate=replicate,
        )  # fmt: skip

    # Measuring

    def _measure(self, row: Row, seed: int) -> None:
        folder, made = self.folder(row), self.made(row)
        known = {line["key"] for line in read_journals(folder, "rows").values()}
        turns = [turn for session in self._mine() for turn in session.turns if turn.groups]
        with self._bar(len(turns), row, seed, "measuring") as bar:
            todo = []
            for turn in turns:
                output = sha256(output_path(folder, seed, turn.key))
                key = digest({"made": made, "turn": turn.key, "seed": seed, "output": output})
                if key in known:
                    bar.update()
                elif output is None:  # refused: known to have no figures
                    line = {"key": key, "turn": turn.key, "seed": seed, "made": made, "figures": {}}
                    append_rows(folder / self.shard.name("rows"), [line])
                    bar.update()
                else:
                    todo.append((turn, key))
            for batch in _chunks(todo, MEASURED_AT_ONCE):
                some = [turn for turn, _ in batch]
                outputs = [load_image(output_path(folder, seed, turn.key)) for turn in some]
                judged = [_judged(turn, output) for turn, output in zip(some, outputs, strict=True)]
                figures = self.meter.measure(judged)
                own = self.suite.figures(some, outputs)
                append_rows(folder / self.shard.name("rows"), [
                    {"key": key, "turn": turn.key, "seed": seed, "made": made, "figures": {**figure, **more}}
                    for (turn, key), figure, more in zip(batch, figures, own, strict=True)
                ])  # fmt: skip
                bar.update(len(batch))

    def _bar(self, total: int, row: Row, seed: int, doing: str) -> tqdm:
        several = f", seed {seed}" if len(self.seeds) > 1 else ""
        return tqdm(total=total, desc=f"{row.name}{several}: {doing}", unit="edit", disable=not self.progress)

    # The folder

    def _begin(self) -> None:
        """run.json and samples.jsonl, the same from every shard. UserError: see `claim`."""
        editors = {row.name: self._editors[row.name] for row in self.rows if not row.baseline}
        claim(self.out, self.suite, editors, alone=self.shard.n == 1)
        lines = []
        for index, session in enumerate(self.sessions):
            for turn in session.turns:
                if turn.groups:
                    mine = index % self.shard.n == self.shard.i
                    lines.append(sample_line(self.out, session, turn, save=mine))
        write_atomic(self.out / SAMPLES, "".join(json.dumps(line) + "\n" for line in lines).encode())
        self._write_info(self._info("running"))

    def _info(self, state: str, **more: Any) -> dict[str, Any]:
        return {
            "format": FORMAT, "state": state, "suite": self.suite.name, "settings": self.suite.settings,
            "captions": self.suite.captions, "metrics": self._metrics, "seeds": list(self.seeds),
            "rows": [
                {"name": row.name, "folder": row_folder(row.name), "model": row.model, "x": row.x,
                 "baseline": row.baseline, "editor": self._editors[row.name], "made": self.made(row)}
                for row in self.rows
            ],
            "published": [
                {"name": row.name, "group": row.group, "figures": row.figures, "source": row.source}
                for row in self.suite.published
            ],
            "command": self.command, **self._made_by, **more,
        }  # fmt: skip

    def _write_info(self, info: dict[str, Any]) -> None:
        write_atomic(self.out / RUN, (json.dumps(info, indent=1) + "\n").encode())

    def _finish(self) -> Run | None:
        found = {row.name: measured(self.folder(row), self.made(row), self.seeds, self.scored) for row in self.rows}
        missing = sum(len(self.scored) - len(turns) for seeds in found.values() for turns in seeds.values())
        if missing:
            print(f"shard {self.shard.i} of {self.shard.n} is done; {missing} figures of others are still missing.")
            return None
        samples = {line["turn"]: line for line in map(json.loads, (self.out / SAMPLES).read_text().splitlines())}
        more = {"seconds": self._seconds(), "refused": self._refused(found)}
        run = Run(self.out, self._info("done", **more), samples, found)
        run.info["summary"] = summarise(run)
        self._write_info(run.info)
        write_atomic(self.out / TABLE, markdown(run).encode())
        self.suite.finish(run)
        return run

    def _refused(self, found: dict[str, dict[int, dict[str, dict[str, float]]]]) -> dict[str, int]:
        """Row → scored edits that it refused, of all seeds; rows that refused none are left out."""
        counts = {
            row: sum(not figures for turns in seeds.values() for figures in turns.values())
            for row, seeds in found.items()
        }
        return {row: count for row, count in counts.items() if count}

    def _seconds(self) -> dict[str, float | None]:
        """Row → mean seconds an edit, of the outputs that this run's rows hold."""
        seconds: dict[str, float | None] = {}
        for row in self.rows:
            lines = {(line["seed"], line["turn"]): line for line in read_journals(self.folder(row), "edits").values()}
            known = [line["seconds"] for line in lines.values()]
            seconds[row.name] = round(sum(known) / len(known), 4) if known else None
        return seconds


def _chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _judged(turn: Turn, output: Image.Image) -> Judged:
    return Judged(
        turn.key, output, open_picture(turn.origin()), open_picture(turn.target) if turn.target else None,
        turn.mask() if turn.mask else None, turn.caption, turn.edited_caption,
    )  # fmt: skip
