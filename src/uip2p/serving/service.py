"""One editor, many askers: a bounded queue, batches of what goes together, deadlines, an orderly end.

A thread of its own owns the editor. A batch holds results that one run of the sampler can make (of jobs of one `kind`),
first come, first served; an edit does not depend on the batch it is in.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.editing.instructions import check_instruction
from uip2p.editing.reversibility import Encoder, Words, check_words, load_encoder
from uip2p.editing.sizes import working_size
from uip2p.errors import UserError
from uip2p.models.clip import Clip
from uip2p.models.parts import Parts
from uip2p.models.settings import Settings
from uip2p.provenance.writer import Writer, model_name
from uip2p.serving.asking import Busy, Draining, Failed, Limits, Listener, Request
from uip2p.serving.heap import Heap
from uip2p.serving.job import Job
from uip2p.serving.making import Maker, Unit

LOG = logging.getLogger("uip2p.serving")

class Service:
    """`submit` a request, wait for the job; `drain` before the process ends.

    check_prompt: raises a UserError for words that it refuses (see `safety.policy`). refuse_pictures: finished pictures
    -> for each, None or the UserError that refuses it (see `safety.checker`). clip: the encoder of checks. writer: how
    whoever hands pictures on writes them; None is with provenance, signed by the local test certificate.
    """

    def __init__(
        self,
        editor: Editor,
        limits: Limits | None = None,
        *,
        check_prompt: Callable[..., None] | None = None,
        refuse_pictures: Callable[[Sequence[Image.Image]], Sequence[UserError | None]] | None = None,
        clip: Encoder = None,
        writer: Writer | None = None,
    ):
        self.editor, self.limits, self.clip = editor, limits or Limits(), clip
        self.writer = Writer() if writer is None else writer
        self.check_prompt = check_prompt
        self.outcomes: Counter[str] = Counter()  # by code, "ok" for an answer
        self.batches: Counter[int] = Counter()  # by size
        self._jobs: list[Job] = []  # those with results that no batch has taken, in their order
        self._changed = threading.Condition()
        self._working: tuple[Unit, ...] = ()
        self._maker = Maker(editor, self.limits.batch, clip, refuse_pictures)
        self._pace = 0.0  # seconds a result lately took, in its batch
        self._draining = self._ended = False
        self._heap = Heap()
        self._worker = threading.Thread(target=self._work, name="editor", daemon=True)
        self._worker.start()

    # ---- the model: a page or an API knows the editor only by these ------------------------------

    @property
    def parts(self) -> Parts:
        """The model's parts, to be looked at, not run."""
        return self.editor.parts

    @property
    def settings(self) -> Settings:
        return self.editor.settings

    @property
    def model(self) -> str:
        """Its name, as it may be told."""
        return model_name(self.editor)

    def encoder(self) -> Clip:
        """Of checks. UserError: there is none."""
        return load_encoder(self.clip, self.editor)

    # ---- asking ----------------------------------------------------------------------------------

    def submit(self, request: Request, listener: Listener | None = None) -> Job:
        """listener: told of each step, by the worker's thread. UserError: what this model cannot be asked. Busy: the
        queue is full. Draining: the service ends."""
        try:
            options = self._check(request)
        except UserError as error:
            error.args = (self.told(error),)
            raise
        size = working_size(request.picture.size, self.editor.settings.image_size, self.editor.parts.size_multiple)
        kind = (size, request.check, request.attention, *options.values())
        deadline = min(request.deadline or self.limits.deadline, self.limits.deadline)
        with self._changed:
            self.admit()
            job = Job(request, kind, options, deadline, listener)
            job.future.add_done_callback(self._count)
            self._jobs.append(job)
            self._changed.notify_all()
        return job

    def admit(self) -> None:
        """Busy, Draining: what a request would be told now, whatever it asks. Before one reads a picture, say."""
        with self._changed:
            if self._draining:
                raise Draining("the service is about to stop: ask again in a moment.", 5.0)
            self._jobs = [job for job in self._jobs if not job.over]
            if self.waiting >= self.limits.queue:
                raise Busy(f"{self.limits.queue} edits are waiting already: ask again later.", self.wait())

    def _check(self, request: Request) -> dict[str, Any]:
        parts, words, limits = self.editor.parts, request.words or Words(), self.limits
        text = check_instruction(request.instruction, parts)
        _check_number("the number of results", request.count, limits.count)
        seeds = [request.seed, request.seed + request.count - 1] if type(request.seed) is int else [request.seed]
        options = self.editor.check_options(
            request.steps, request.guidance_scale, request.image_guidance_scale, seeds
        )
        _check_number("steps", options["steps"], limits.steps)
        if request.deadline is not None and not request.deadline > 0:
            raise UserError(f"the deadline is {request.deadline!r}: give seconds above 0.")
        if request.check:
            check_words(text, words, parts)
            self.encoder()
        if self.check_prompt is not None:
            self.check_prompt(text, words.reverse, words.caption, words.edited_caption)
        return options

    def told(self, error: UserError) -> str:
        """Its text, without the folders of this machine."""
        return str(error).replace(str(self.parts.name), self.model)

    def wait(self) -> float:
        """Seconds until a new request would have its turn, as far as one can tell: at least 1."""
        left = sum(len(job.pending) for job in self._jobs) + len(self._working)
        return max(1.0, round(left * self._pace, 1))

    def ahead(self, job: Job) -> int | None:
        """How many jobs are before it, None once it is in work."""
        if job.started is not None:
            return None
        before = [other for other in self._jobs if other is not job and other.submitted <= job.submitted]
        working = {unit.job for unit in self._working}
        return len({other for other in before if not other.future.done()} | working)

    @property
    def waiting(self) -> int:
        """Jobs of which nothing is in work yet."""
        return sum(job.started is None for job in self._jobs)

    @property
    def working(self) -> int:
        """Pictures that are being made now."""
        return len(self._working)

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return not self._draining and self._worker.is_alive()

    @property
    def out_of_memory(self) -> int:
        """Batches that met it."""
        return self._maker.out_of_memory

    def _count(self, future: Any) -> None:
        """By whichever thread the job was answered."""
        error = future.exception()
        with self._changed:
            self.outcomes["ok" if error is None else getattr(error, "code", "bad_request")] += 1

    # ---- ending ----------------------------------------------------------------------------------

    def drain(self, seconds: float) -> bool:
        """Takes nothing more, finishes what it has taken, for at most so many seconds; then what is left is told to ask
        again. True: everything was finished."""
        ends = time.monotonic() + seconds
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            whole = self._changed.wait_for(lambda: self._first() is None and not self._working, seconds)
            if not whole:
                self._maker.abandoned = True
            left = [*self._jobs, *(unit.job for unit in self._working)]
        for job in left:
            job.fail(Draining("the service stops before this edit was done: ask again in a moment.", 5.0))
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._worker.join(max(0.5, ends - time.monotonic()))
        return whole

    # ---- the worker ------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._ended:
            self._take_turn()
            self._heap.give_back()

    def _take_turn(self) -> None:
        """One batch. Nothing of it, such as its pictures, is held while the next is waited for."""
        units = self._next()
        if not units:
            return  # those that were waiting have gone
        began = time.monotonic()
        self.batches[len(units)] += 1
        for unit in units:
            unit.job.batch = len(units)
        try:
            self._maker.make(units)
        except BaseException as error:  # a device that fails in how its faults are met, say: nobody shall wait for ever
            LOG.critical("a batch failed", exc_info=error, extra={"batch": len(units)})
            for unit in units:
                unit.job.fail(Failed("this edit failed by a fault of the service; its log says why."))
        finally:
            each = (time.monotonic() - began) / len(units)
            self._pace = each if not self._pace else 0.8 * self._pace + 0.2 * each
            with self._changed:
                self._working = ()
                self._changed.notify_all()

    def _next(self) -> tuple[Unit, ...]:
        """The first job's results that nobody makes yet, and what goes with them; none when the service has ended."""
        with self._changed:
            while (first := self._first()) is None:
                if self._ended:
                    return ()
                self._changed.wait()
            joins = time.monotonic() + self.limits.linger
            while self._fitting(first) < self._maker.most and not self._draining:
                if not self._changed.wait(max(0.0, joins - time.monotonic())):
                    break
            units: list[Unit] = []
            for job in self._jobs:
                if job.kind == first.kind and not job.over and len(units) < self._maker.most:
                    units += [Unit(job, which) for which in job.begin(self._maker.most - len(units))]
            self._jobs = [job for job in self._jobs if job.pending and not job.over]
            self._working = tuple(units)
            self._changed.notify_all()
            return self._working

    def _first(self) -> Job | None:
        return next((job for job in self._jobs if not job.over), None)

    def _fitting(self, first: Job) -> int:
        return sum(len(job.pending) for job in self._jobs if job.kind == first.kind)


def _check_number(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise UserError(f"{name} is {value!r}: this service takes 1 to {most}.")
