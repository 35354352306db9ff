"""A judge that looks: a vision language model scores edits that exist already, a run's or any folder's.

Scores are the judge's opinion: they depend on its model, its prompts and its version, all of which the result names.
How far it is to be trusted is measured in the same run: of the inputs handed back as they are, it must say that nothing
of the instruction was carried out.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from uip2p.config import apply_overrides, from_dict
from uip2p.errors import UserError
from uip2p.evaluate.asking import Session, Turn, open_picture
from uip2p.evaluate.editors import Editor
from uip2p.evaluate.rows import digest
from uip2p.evaluate.runs import RUN, Run, load_run
from uip2p.evaluate.suites import Row, Suite
from uip2p.images import load_image, write_atomic

if TYPE_CHECKING:  # they need the openai client and pydantic, which the other suites do not
    from uip2p.evaluate.judge.asking import Edit, Judge

HALF = 0.5  # of execution: above it the judge says that the edit was carried out, more or less
UNANSWERED = "unanswered.jsonl"


@dataclass(frozen=True, kw_only=True)
class Vlm(Suite):
    """asked: what is judged. made: who made it."""

    judge: Judge
    asked: Sequence[Session]
    made: Sequence[Row]

    def sessions(self) -> Sequence[Session]:
        return self.asked

    def rows(self, editors: Sequence[Editor]) -> list[Row]:
        """The edits that exist, then those of editors that are to make theirs now."""
        return [*self.made, *super().rows(editors)]

    def figures(self, turns: Sequence[Turn], outputs: Sequence[Image.Image]) -> list[dict[str, float]]:
        """judge.asking.Judge's: execution, consistency, firm, quality, answered."""
        return self.judge.figures([_edit(turn, output) for turn, output in zip(turns, outputs, strict=True)])

    def finish(self, run: Run) -> list[Path]:
        """judge.json, unanswered.jsonl (an edit a line, with the reason), and in print how far the judge can be
        trusted."""
        lost = self._unanswered(run)
        copies = [figures["execution"] for figures in _every(run, "copy-input") if "execution" in figures]
        found = {
            "judge": self.judge.describe(),
            "copy_input": {"count": len(copies), "believed": sum(score > HALF for score in copies)},
            "rows": {
                row["name"]: {
                    "edits": len(_every(run, row["name"])),
                    "judged": sum("execution" in figures for figures in _every(run, row["name"])),
                    "unanswered": sum(line["row"] == row["name"] for line in lost),
                }
                for row in run.info["rows"]
            },
        }
        print(trust(found))
        lines = "".join(json.dumps(line) + "\n" for line in lost)
        return [
            write_atomic(run.folder / "judge.json", (json.dumps(found, indent=1) + "\n").encode()),
            write_atomic(run.folder / UNANSWERED, lines.encode()),
        ]

    def _unanswered(self, run: Run) -> list[dict[str, Any]]:
        """Edits of which an answer is missing; the scores of the answers that are there, if any, count."""
        turns = {turn.key: turn for session in self.asked for turn in session.turns}
        lost = []
        for row, seeds in run.rows.items():
            for seed, figures in seeds.items():
                for key in (key for key, found in figures.items() if found["answered"] < 1):
                    edit = _edit(turns[key], load_image(run.output(row, key, seed)))
                    lost.append({"row": row, "seed": seed, "turn": key, "why": self.judge.why_not(edit)})
        return lost


def trust(found: dict[str, Any]) -> str:
    """What judge.json says, in words, to stand by the table."""
    judge, copies, rows = found["judge"], found["copy_input"], found["rows"]
    edits, judged = (sum(row[name] for row in rows.values()) for name in ("edits", "judged"))
    lines = [
        f"judge {judge['model']}, in the manner of {judge['manner']}: {judged} of {edits} edits judged",
        f"inputs handed back as they are: in {copies['believed']} of {copies['count']} the judge sees the edit carried "
        f"out (execution above {HALF}); a judge that does so often does not look",
    ]
    lost = {name: row["unanswered"] for name, row in rows.items() if row["unanswered"]}
    if lost:
        told = ", ".join(f"{name} {count}" for name, count in lost.items())
        lines.append(f"without an answer (refused, or not to be read; left out of the means): {told}; see {UNANSWERED}")
    return "\n".join(lines)


def _every(run: Run, row: str) -> list[dict[str, float]]:
    return [figures for turns in run.rows.get(row, {}).values() for figures in turns.values()]


def _edit(turn: Turn, output: Image.Image) -> Edit:
    from uip2p.evaluate.judge.asking import Edit

    return Edit(turn.key, turn.instruction, open_picture(turn.origin()), output, turn.kind)


def add_arguments(group: Any) -> None:
    add = functools.partial(group.add_argument, default=argparse.SUPPRESS)
    add("--edits", nargs="+", metavar="EDITS", help="what is judged: RUN, a run's folder, or NAME=DIR, outputs made "
        "elsewhere, called as --inputs has them (or as RUN has them, beside one)")  # fmt: skip
    add("--inputs", type=Path, metavar="FILE", help="metadata.jsonl: file_name and instruction of each edit")
    add("--only", nargs="+", metavar="ROW", help="of a RUN: only these rows (default: all)")
    add("--vlm-model", metavar="MODEL", help="the judge, by the name that its endpoint gives it")
    add("--vlm-url", metavar="URL", help="where it is, such as http://localhost:8000/v1 (default: OpenAI's)")
    add("--manner", help="of asking: gedit (0 to 10, as VIEScore), imgedit (1 to 5), or a .toml file of your own")
    add("--quality", action="store_true", help="ask too how real the output looks: a second call")
    add("--samples-per-question", type=int, metavar="K", help="answers to a question, whose mean counts (default: 1)")
    add("--answers", type=Path, metavar="DIR", help="where answers are kept and looked up (default: RUN of --out)")
    add("--vlm", action="append", metavar="NAME=VALUE", help="more of the judge: temperature, max_calls, max_cost, "
        "price_in, price_out, concurrency, timeout, api_key_env, picture_size, structured, …")  # fmt: skip


def build(args: argparse.Namespace) -> Vlm:
    """UserError: what is to be judged cannot be read, or the judge cannot be asked."""
    from uip2p.evaluate.benchmark import shard_of
    from uip2p.evaluate.judge.asking import KIND, Judge
    from uip2p.evaluate.running import Shard

    run, folders = _given(args)
    asked, made = _read(args, run, folders)
    shard: Shard = shard_of(getattr(args, "shard", None))
    judge = Judge(config_of(args), getattr(args, "answers", None) or Path(args.out), shard.name(KIND))
    known = all(turn.target is not None for session in asked for turn in session.turns)
    return Vlm(
        name="vlm", settings={"suite": "vlm", "judge": judge.describe(), "asked": _asked(asked)}, metrics=(),
        baselines=("copy-input", "ground truth") if known else ("copy-input",), judge=judge, asked=asked, made=made,
    )  # fmt: skip


def config_of(args: argparse.Namespace) -> Any:
    """The JudgeConfig that the arguments ask for. UserError names the argument."""
    from uip2p.evaluate.judge.asking import JudgeConfig

    names = {"vlm_model": "model", "vlm_url": "base_url", "manner": "manner", "quality": "quality",
             "samples_per_question": "samples"}  # fmt: skip
    given = {ours: getattr(args, theirs) for theirs, ours in names.items() if hasattr(args, theirs)}
    if "model" not in given:
        raise UserError("suite vlm: name the judge, --vlm-model MODEL, and where it is, --vlm-url URL.")
    return from_dict(JudgeConfig, apply_overrides(given, getattr(args, "vlm", [])), "--vlm")


def _given(args: argparse.Namespace) -> tuple[Run | None, dict[str, Path]]:
    """The run and the folders of --edits."""
    runs, folders = [], {}
    for given in getattr(args, "edits", []):
        name, sign, folder = given.partition("=")
        if (Path(given) / RUN).is_file():
            runs.append(load_run(given))
        elif not sign or not name or not Path(folder).is_dir():
            raise UserError(f"--edits {given}: is neither the folder of a run, with {RUN}, nor NAME=DIR.")
        elif name in folders:
            raise UserError(f"--edits {given}: {name} was named before. Give one of them another name.")
        else:
            folders[name] = Path(folder)
    if len(runs) > 1:
        raise UserError("--edits: one RUN at a time, since each asks its own questions.")
    if bool(runs) == hasattr(args, "inputs"):
        raise UserError("suite vlm: give --edits RUN, or --inputs metadata.jsonl with --edits NAME=DIR.")
    if hasattr(args, "only") and not runs:
        raise UserError("--only: names rows of a RUN, and --edits has none.")
    return (runs[0] if runs else None), folders


def _read(
    args: argparse.Namespace, run: Run | None, folders: dict[str, Path]
) -> tuple[list[Session], list[Row]]:
    """What was asked, and the rows. The seeds are the run's, unless others of its seeds are asked for."""
    from uip2p.evaluate.judge import edits

    if run is None:
        asked, rows = edits.questions_of_list(args.inputs), []
    else:
        args.seeds = args.seeds or run.info["seeds"]
        if lacking := sorted(set(args.seeds) - set(run.info["seeds"])):
            raise UserError(f"--seeds: {run.folder} has no seed {lacking[0]}; it has {run.info['seeds']}.")
        asked, rows = edits.questions_of_run(run), edits.rows_of_run(run, getattr(args, "only", ()))
    seeds = args.seeds or (args.seed,)
    return asked, [*rows, *(edits.row_of_folder(name, path, asked, seeds) for name, path in folders.items())]


def _asked(sessions: Sequence[Session]) -> dict[str, Any]:
    """How many, and a digest of all that was asked, the pictures included: all of them are files."""
    from uip2p.evaluate.judge.edits import sha256

    turns = [turn for session in sessions for turn in session.turns]
    held = []
    for turn in turns:
        files = (file for file in (turn.source, turn.target) if isinstance(file, Path))
        held.append([turn.key, turn.instruction, turn.kind, *map(sha256, files)])
    return {"count": len(turns), "digest": digest({"turns": held})}
