"""MagicBrush's test set, by its own protocol (arXiv 2306.10012; its edit_cli_single_multi_turn.py and image_eval.py).

A session is a photograph and one to three edits of it, each of what the one before made. Outputs are called as there,
so that its script scores a row's folder as it is, RUN/<row>/seed-0:

    <id>/<id>_1.png        the first edit
    <id>/<id>_inde_k.png   the k-th, of the ground truth of the one before
    <id>/<id>_iter_k.png   the k-th, of the editor's own output of the one before

single-turn: every <id>_1 and <id>_inde_k. multi-turn: of each session the <id>_iter_k of the highest k, or <id>_1 where
there is one edit only, against the last ground truth. Both are plain means over pictures. CLIP-T is told the target's
caption of local_descriptions.json.

CLIP direction and the errors inside and outside the masks are ours. In the multi-turn group they are measured from the
photograph that the session began with, and inside is where any mask of the session is. A direction begins at the
source's global caption, as local ones are of outputs only: with --captions-kind global both ends are of one kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.evaluate.asking import Picture, Sampling, Session, Turn
from uip2p.evaluate.rows import digest
from uip2p.evaluate.suites import Published, Suite
from uip2p.evaluate.suites.magicbrush_data import Captions, Edit, changed, read_captions, read_data

SINGLE, MULTI = "single-turn", "multi-turn"
TURNS, SESSIONS = 1053, 535  # of the whole test set
KINDS = ("local", "global")
SAMPLING = Sampling(
    steps=100, guidance_scale=7.5, image_guidance_scale=1.5, scheduler="euler-ancestral", size=512
)  # fmt: skip
FIGURES = ("l1", "l2", "clip_i", "dino", "clip_t")
METRICS = (*FIGURES, "direction", "inside", "outside")
SOURCE = "UIP2P, arXiv 2412.15216, MagicBrush test"
# method → figures single-turn, multi-turn
PAPER = {
    "HIVE": ((0.1092, 0.0341, 0.8519, 0.7500, 0.2752), (0.1521, 0.0557, 0.8004, 0.6463, 0.2673)),
    "InstructPix2Pix": ((0.1122, 0.0371, 0.8524, 0.7428, 0.2764), (0.1584, 0.0598, 0.7924, 0.6177, 0.2726)),
    "UIP2P, IP2P captions": ((0.0722, 0.0193, 0.9243, 0.8876, 0.2944), (0.1104, 0.0358, 0.8779, 0.8041, 0.2892)),
    "UIP2P, CC3M": ((0.0680, 0.0183, 0.9262, 0.8924, 0.2966), (0.1040, 0.0337, 0.8816, 0.8130, 0.2909)),
    "UIP2P, CC12M": ((0.0619, 0.0174, 0.9318, 0.9039, 0.2964), (0.0976, 0.0323, 0.8857, 0.8235, 0.2901)),
}
PUBLISHED = tuple(
    Published(name, group, dict(zip(FIGURES, figures, strict=True)), SOURCE)
    for name, both in PAPER.items()
    for group, figures in zip((SINGLE, MULTI), both, strict=True)
)


@dataclass(frozen=True, kw_only=True)
class MagicBrush(Suite):
    asked: tuple[Session, ...]

    def sessions(self) -> Sequence[Session]:
        return self.asked


def add_arguments(group: Any) -> None:
    """Beside --split, which is everybody's: a folder below --data, or the Parquet files that it has of this split."""
    add = partial(group.add_argument, default=argparse.SUPPRESS)
    add("--data", metavar="PATH", help="the folder that MagicBrush's test zip unpacks to, or its Parquet")
    add("--captions", metavar="PATH", help="a file of captions, or their folder, where they are not in --data")
    add("--captions-kind", choices=KINDS, help="whose captions CLIP-T is told (local, as in the published tables)")
    add("--limit", type=int, metavar="N", help="only the first N sessions")


def build(args: argparse.Namespace) -> MagicBrush:
    """args.split: "test" if nobody says. UserError: no data, a picture or a caption is missing, turns out of order."""
    if not hasattr(args, "data"):
        raise UserError("magicbrush: say where its test set is: --data DIR. See docs/evaluation.md for how to get it.")
    limit = getattr(args, "limit", None)
    if limit is not None and limit < 1:
        raise UserError(f"--limit is {limit}: give at least 1.")
    data = read_data(Path(args.data), args.split)
    captions = _captions(args, data.captions)
    chosen = dict(islice(data.sessions.items(), limit))
    asked = tuple(session for img, edits in chosen.items() for session in sessions(img, edits, captions))

    turns = sum(len(edits) for edits in chosen.values())
    whole = (turns, len(chosen)) == (TURNS, SESSIONS)
    if not whole:
        _say(f"not the whole test set: {turns} turns of {len(chosen)} sessions; it has {TURNS} of {SESSIONS}, and the "
             "published rows, which are of all, are left out")  # fmt: skip
    undescribed = sum(not turn.caption for session in asked for turn in session.turns if turn.groups)
    if undescribed:
        _say(f"{undescribed} edits start from a picture without a caption: they have no CLIP direction")
    told = {turn.key: (turn.caption, turn.edited_caption) for session in asked for turn in session.turns}
    return MagicBrush(
        name="magicbrush", sampling=SAMPLING, metrics=METRICS, published=PUBLISHED if whole else (), asked=asked,
        captions=captions.name,
        settings={
            "data": data.fingerprint, "layout": data.layout, "turns": turns, "sessions": len(chosen),
            "captions": {"files": captions.name, "fingerprint": digest(told)},
        },
    )  # fmt: skip


def sessions(img: str, edits: Sequence[Edit], captions: Captions) -> list[Session]:
    """What is asked of one photograph: the chain of its edits, and each later one by itself. Those are sessions of
    their own, since only the chain's outputs depend on each other."""
    chain, alone = [], []
    for number, edit in enumerate(edits, 1):
        first, last = number == 1, number == len(edits)
        groups = (SINGLE,) * first + (MULTI,) * last
        key = f"{img}/{img}_1" if first else f"{img}/{img}_iter_{number}"
        chain.append(_turn(key, edits[:number], captions, img, edit.source if first else None, groups))
        if not first:
            name = f"{img}_inde_{number}"
            alone.append(Session(name, (_turn(f"{img}/{name}", [edit], captions, img, edit.source, (SINGLE,)),)))
    return [Session(img, tuple(chain)), *alone]


def _turn(
    key: str, edits: Sequence[Edit], captions: Captions, img: str, source: Picture | None, groups: tuple[str, ...]
) -> Turn:
    """The last of these edits, measured from the picture before the first. source: what the editor is given; None: its
    own output before."""
    first, last = edits[0], edits[-1]
    masks = [edit.mask for edit in edits if edit.mask is not None]
    return Turn(
        key=key,
        instruction=last.instruction,
        source=source,
        before=first.source,
        target=last.target,
        mask=partial(changed, masks, last.target) if len(masks) == len(edits) else None,
        caption=captions.of_source(img, first.before),
        edited_caption=captions.of_target(img, last.after),
        groups=groups,
        about={"image": img, "instructions": [edit.instruction for edit in edits]},
    )


def _captions(args: argparse.Namespace, own: Callable[[str], Captions]) -> Captions:
    where, kind = getattr(args, "captions", None), getattr(args, "captions_kind", None)
    if where is None:
        return own(kind or KINDS[0])
    path = Path(where)
    if not path.exists():
        raise UserError(f"{path}: there is no such file of captions.")
    if path.is_file() and kind:
        raise UserError(f"--captions {path} is one file: leave --captions-kind away, or give its folder.")
    return read_captions(path, kind or KINDS[0])


def _say(what: str) -> None:
    print(f"magicbrush: {what}", file=sys.stderr)
