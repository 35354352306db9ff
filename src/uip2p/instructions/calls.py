"""Many questions to one endpoint, side by side, each asked until it is answered or cannot be.

Calls run in an event loop of a thread of its own; questions are taken a few ahead, and what is answered is given out as
it is done. Every try is counted here: the client's own retries are off.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Generic, Literal, TypeVar

from uip2p.errors import UserError
from uip2p.instructions.answers import InvalidAnswer
from uip2p.instructions.connection import Connection, Declined, Question, Reply, Retry
from uip2p.instructions.endpoint_config import ChatConfig
from uip2p.learning.randomness import key

T = TypeVar("T")
Fault = Literal["", "refused", "unreadable", "failed"]


@dataclass(frozen=True)
class Asked(Generic[T]):
    """One of many questions. tag: the caller's own, handed back. name: decides its seeds. read: an answer's text → what
    is wanted of it; InvalidAnswer: ask again."""

    tag: Any
    name: str
    question: Question
    read: Callable[[str], T]


@dataclass(frozen=True)
class Answered(Generic[T]):
    """What came of a question. value: None where `error` says why. fault: "refused" (by the model, or a filter around
    it), "unreadable" (no answer could be read), "failed" (the endpoint). calls, tokens_in, tokens_out: what it took;
    calls that failed count too."""

    tag: Any
    value: T | None
    error: str = ""
    fault: Fault = ""
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


def ask_all(
    connection: Connection, example: Question, questions: Iterable[Asked[T]], seed: int = 0
) -> Iterator[Answered[T]]:
    """Answers, each question's once, in whatever order they are done. example: asked first, once for a connection, to
    learn what the server takes; not at all where there is no question. UserError: nothing can go on (no such model, a
    cap is reached, nobody answers); what was yielded before stands."""
    rest = iter(questions)
    first = list(islice(rest, 1))
    if not first:
        return  # without asking an example for nothing
    rest = chain(first, rest)
    pending: set[Future] = set()
    with EventLoop() as loop:
        run = _Run(connection, seed)
        try:
            loop.submit(run.open(example)).result()
            while True:
                if run.stopped is None:  # twice as many as calls at a time, since some of them wait for their retry
                    for asked in islice(rest, 2 * connection.config.concurrency - len(pending)):
                        pending.add(loop.submit(run.answer(asked)))
                if not pending:
                    break
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    if not isinstance(future.exception(), UserError):
                        yield future.result()
        finally:
            loop.submit(run.close()).result()
        if run.stopped is not None:
            raise run.stopped


class _Run:
    """What one `ask_all` shares among its questions, all of it in the event loop. stopped: why nothing can go on."""

    def __init__(self, connection: Connection, seed: int):
        self.config: ChatConfig = connection.config
        self.connection, self.seed = connection, seed
        self.stopped: UserError | None = None
        self.answers = 0

    async def open(self, example: Question) -> None:
        self.stop = asyncio.Event()
        self.slots = asyncio.Semaphore(self.config.concurrency)
        self.connection.open()
        try:
            await self.patiently(lambda: self.connection.learn(example), "example")
        except Retry as failure:
            raise UserError(f"{self.config.base_url or 'the endpoint'} does not answer: {failure}.") from None

    async def close(self) -> None:
        """The questions that nobody waits for any more are given up."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.connection.close()

    async def answer(self, asked: Asked[T]) -> Answered[T]:
        """UserError: nothing can go on; it is kept in `stopped` too, and no other question begins a call after it."""
        try:
            return await self._answer(asked)
        except UserError as error:
            self.stopped = self.stopped or error
            self.stop.set()
            raise

    async def _answer(self, asked: Asked[T]) -> Answered[T]:
        calls = tokens_in = tokens_out = invalid = 0

        async def ask() -> Reply:
            nonlocal calls
            async with self.slots:
                if self.stopped is not None:
                    raise self.stopped
                calls += 1
                seed = key(self.seed, asked.name, invalid) % 2**31  # of an answer asked for again: another
                return await self.connection.ask(asked.question, seed)

        while True:
            fault: Fault
            try:
                reply = await self.patiently(ask, asked.name)
                self.answers += 1
                tokens_in, tokens_out = tokens_in + reply.tokens_in, tokens_out + reply.tokens_out
                if not reply.refused:
                    value = asked.read(reply.text)
                    return Answered(asked.tag, value, "", "", calls, tokens_in, tokens_out)
                error, fault = f"refused: {reply.refused}", "refused"
            except InvalidAnswer as failure:
                invalid += 1
                if invalid < self.config.invalid_tries:
                    continue
                error, fault = f"no valid answer in {invalid}: {failure}", "unreadable"
            except (Declined, Retry) as failure:
                error, fault = str(failure), "failed"
            return Answered(asked.tag, None, error, fault, calls, tokens_in, tokens_out)

    async def patiently(self, ask: Callable[[], Coroutine[Any, Any, Any]], name: str) -> Any:
        """The result of `ask`, tried `tries` times. Between them: what the server asks for, and full jitter, a random
        part of a pause that doubles; so those that failed together do not come again together.

        Retry: the last try failed too. UserError: so it did, and the endpoint has answered nobody meanwhile."""
        answers, draw = self.answers, random.Random(key(self.seed, name, "pause"))
        for failed in range(1, self.config.tries + 1):
            try:
                return await ask()
            except Retry as failure:
                if failed == self.config.tries:
                    if failure.away and self.answers == answers and self.stopped is None:
                        raise UserError(
                            f"{self.config.base_url or 'the endpoint'} has not answered in {failed} tries ({failure}): "
                            "start it, or wait, then go on with the same command."
                        ) from None
                    raise
                pause = draw.uniform(0, min(self.config.longest_pause, self.config.pause * 2.0 ** (failed - 1)))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), failure.after + pause)
                if self.stopped is not None:
                    raise self.stopped from None
        raise AssertionError("tries is at least 1")


class EventLoop:
    """An event loop in a thread of its own: it works on while the caller does something else, and the caller may have
    one that runs already."""

    def __enter__(self) -> EventLoop:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="endpoint", daemon=True)
        self.thread.start()
        return self

    def submit(self, work: Coroutine[Any, Any, Any]) -> Future:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
