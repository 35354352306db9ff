"""One batch: results of several jobs, made by one run of the sampler, or in halves where that fails."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import Image

from uip2p.editing.editor import Edited, Editor, Step
from uip2p.editing.instructions import check_instruction
from uip2p.editing.reversibility import Encoder, Words, candidates, load_encoder
from uip2p.errors import UserError
from uip2p.serving.asking import Failed, OutOfMemory, Request
from uip2p.serving.job import Job
from uip2p.serving.memory import empty_caches, is_out_of_memory, release

LOG = logging.getLogger("uip2p.serving")
REGAIN = 50  # good batches after which a batch may again be twice as large as the memory once allowed


class Unit(NamedTuple):
    """One result of a job: which of its results."""

    job: Job
    which: int


class Stop(Exception):
    """Nobody waits for this batch any more."""


class Maker:
    """Of one thread, which owns the editor. most: pictures that a batch may have now: `batch`, fewer where the memory
    was not enough. out_of_memory: batches that met it. abandoned: set, by any thread, it stops at the next step. clip,
    refuse_pictures: see `Service`."""

    def __init__(
        self, editor: Editor, batch: int, clip: Encoder = None,
        refuse_pictures: Callable[[Sequence[Image.Image]], Sequence[UserError | None]] | None = None,
    ):  # fmt: skip
        self.editor, self.batch, self.clip, self.refuse_pictures = editor, batch, clip, refuse_pictures
        self.most, self.out_of_memory, self.abandoned = batch, 0, False
        self._good = 0  # batches since the memory was not enough

    def make(self, units: Sequence[Unit]) -> None:
        """Every job of these units goes on, or has its answer, whatever happens."""
        units = [unit for unit in units if not unit.job.over]
        if not units:
            return
        before = {unit.job: unit.job.steps_done for unit in units}
        try:
            edits = self._edit(units)
            refused = self._refused([one.image for one in edits])
            for (job, which), edited, refusal in zip(units, edits, refused, strict=True):
                if refusal is not None:
                    job.fail(refusal)
                else:
                    job.made(which, edited)
            self._good += 1
            if self._good >= REGAIN:
                self._good, self.most = 0, min(2 * self.most, self.batch)
        except Stop:
            return
        except Exception as error:
            for job, steps in before.items():
                job.steps_done = steps  # they will be made again
            self._recover(units, error)

    def _recover(self, units: Sequence[Unit], error: Exception) -> None:
        """A batch that failed is made in halves, so that only the edit whose fault it is fails."""
        memory = is_out_of_memory(error)
        if memory:
            self.out_of_memory += 1
            self._good = 0
            LOG.warning("out of memory", extra={"batch": len(units)})
        elif not isinstance(error, UserError):
            LOG.error("an edit failed", exc_info=error, extra={"batch": len(units)})
        release(error)  # else the halves are made beside what is left of the whole
        if memory:
            empty_caches()
        if len(units) > 1:
            half = len(units) // 2
            if memory:
                self.most = max(1, min(self.most, half))
            self.make(units[:half])
            self.make(units[half:])
            return
        job = units[0].job
        if memory:
            job.fail(OutOfMemory("there is not enough memory for this edit now: try again later.", 10.0))
        elif isinstance(error, UserError):
            job.fail(error)
        else:
            job.fail(Failed("this edit failed by a fault of the service; its log says why."))

    def _edit(self, units: Sequence[Unit]) -> list[Edited]:
        """One run of the sampler, two with a check."""
        requests = [unit.job.request for unit in units]
        first, options = requests[0], units[0].job.options
        pictures, texts = [each.picture for each in requests], [each.instruction for each in requests]
        seeds = [unit.job.request.seed + unit.which for unit in units]
        steps = itertools.count(1)
        options = {**options, "on_step": lambda step: self._tell(units, step, next(steps) <= step.total)}
        if first.attention:
            options["attention"] = True
        if first.check:
            clip, words = load_encoder(self.clip, self.editor), [each.words or Words() for each in requests]
            texts = [check_instruction(text, self.editor.parts) for text in texts]
            return [several[0] for several in candidates(self.editor, clip, pictures, texts, seeds, words, **options)]
        return self.editor.edit(pictures, texts, seed=seeds, batch_size=len(units), **options)

    def _tell(self, units: Sequence[Unit], step: Step, forward: bool) -> None:
        """After each step of a batch. forward: of the edits, not of their reverses, which nobody is shown. Stop:
        nobody waits for any of it."""
        if self.abandoned or all(unit.job.over for unit in units):
            raise Stop
        wanted = forward and any(_preview_due(unit.job.request, step) for unit in units)
        previews = self._previews(step) if wanted else []
        for job in {unit.job: None for unit in units}:
            mine = [position for position, unit in enumerate(units) if unit.job is job]
            job.steps_done += len(mine)
            due = wanted and _preview_due(job.request, step)
            shown = {job.request.seed + units[i].which: previews[i] for i in mine} if due else {}
            job.step({seed: picture for seed, picture in shown.items() if picture is not None})

    def _previews(self, step: Step) -> list[Image.Image | None]:
        """None for one that is refused: near the end it shows what the result would."""
        pictures = step.preview()
        refused = self._refused(pictures)
        return [None if refusal else picture for picture, refusal in zip(pictures, refused, strict=True)]

    def _refused(self, pictures: Sequence[Image.Image]) -> Sequence[UserError | None]:
        return self.refuse_pictures(pictures) if self.refuse_pictures else [None] * len(pictures)


def _preview_due(request: Request, step: Step) -> bool:
    return request.previews > 0 and step.number % request.previews == 0 and step.number < step.total
