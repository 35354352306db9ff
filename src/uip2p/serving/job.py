"""One request on its way: answered once, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from uip2p.errors import UserError
from uip2p.serving.asking import Answer, Cancelled, Expired, Listener, Progress, Request

if TYPE_CHECKING:
    from PIL import Image

    from uip2p.editing.editor import Edited

LOG = logging.getLogger("uip2p.serving")


class Job:
    """future: the `Answer`, or the UserError that is the answer. Wait with `result`, or `await job`.

    kind: jobs of one kind go into one batch. options: of `Editor.edit`, the model's defaults filled in. deadline:
    seconds. listener: see `asking.Listener`.
    """

    def __init__(
        self, request: Request, kind: tuple[Any, ...], options: dict[str, Any], deadline: float,
        listener: Listener | None = None,
    ):  # fmt: skip
        self.request, self.kind, self.options, self.deadline, self.listener = request, kind, options, deadline, listener
        self.future: Future[Answer] = Future()
        self.submitted = time.monotonic()
        self.started: float | None = None
        self.batch = 0
        self.total = request.count * options["steps"] * (2 if request.check else 1)
        self.steps_done = 0
        self.edits: list[Edited | None] = [None] * request.count
        self.pending = list(range(request.count))  # results that no batch has taken yet

    # ---- for whoever asked -----------------------------------------------------------------------

    def result(self) -> Answer:
        """Waits until its deadline. UserError, Declined."""
        try:
            return self.future.result(max(0.0, self.expires - time.monotonic()))
        except TimeoutError:
            self.expire()
            return self.future.result()

    def __await__(self) -> Generator[Any, None, Answer]:
        return self._wait().__await__()

    async def _wait(self) -> Answer:
        """As `result`, in an event loop. A task that is cancelled while it waits cancels the job."""
        waiting = asyncio.wrap_future(self.future)
        try:
            await asyncio.wait({waiting}, timeout=max(0.0, self.expires - time.monotonic()))
        except asyncio.CancelledError:
            self.cancel()
            waiting.cancel()
            raise
        self.expire()
        return await waiting

    def cancel(self) -> None:
        """Nobody waits for it any more: what has not been made will not be."""
        self.fail(Cancelled("this edit was cancelled."))

    @property
    def over(self) -> bool:
        """Whether it has its answer. A deadline that has passed is one."""
        if not self.future.done() and time.monotonic() >= self.expires:
            self.expire()
        return self.future.done()

    # ---- for the service -------------------------------------------------------------------------

    @property
    def expires(self) -> float:
        return self.submitted + self.deadline

    def expire(self) -> None:
        where = "while it waited" if self.started is None else f"after {self.steps_done} of {self.total} steps"
        self.fail(Expired(f"this edit was not done within {self.deadline:g} seconds ({where}). Try again later, or ask "
                          "for fewer results or steps."))  # fmt: skip

    def begin(self, most: int) -> list[int]:
        """Takes up to `most` results to be made."""
        if self.started is None:
            self.started = time.monotonic()
        taken, self.pending = self.pending[:most], self.pending[most:]
        return taken

    def step(self, previews: dict[int, Image.Image]) -> None:
        """Tells the listener of `steps_done`, and of pictures on the way by their seeds. One that raises hears no more:
        the batch is other askers', too."""
        if self.listener is None or self.over:
            return
        try:
            self.listener(Progress(min(self.steps_done, self.total), self.total, previews))
        except Exception as error:
            LOG.error("a listener failed", exc_info=error)
            self.listener = None

    def made(self, index: int, edited: Edited) -> None:
        self.edits[index] = edited
        if all(edit is not None for edit in self.edits):
            started, now = self.started or self.submitted, time.monotonic()
            edits = tuple(edit for edit in self.edits if edit is not None)
            self._answer(Answer(edits, started - self.submitted, now - started, self.batch))

    def fail(self, error: UserError) -> None:
        self.pending = []
        with contextlib.suppress(InvalidStateError):  # it has been answered
            self.future.set_exception(error)

    def _answer(self, answer: Answer) -> None:
        with contextlib.suppress(InvalidStateError):
            self.future.set_result(answer)
