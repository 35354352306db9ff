"""Edits written by an LLM behind any OpenAI-compatible endpoint: Gemini's, vLLM, SGLang, Ollama, llama.cpp, a proxy.

Calls run side by side in an event loop of a thread of its own; captions are taken a few ahead, and what is written is
given out as it is done. Every try is counted here: the client's own retries are off.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from uip2p.errors import UserError
from uip2p.instructions.answers import InvalidAnswer, parse
from uip2p.instructions.connection import Budget, Connection, Declined, EndpointConfig, Reply, Retry
from uip2p.instructions.prompts import load_prompts, question, version
from uip2p.instructions.writer import Mode, Written
from uip2p.learning.randomness import key
from uip2p.records import Caption


class EndpointWriter:
    """See writer.Writer. Its caps hold over all that it writes.

    budget: what was spent already, where a run goes on. UserError: no key where one is needed, no such prompt.
    """

    name = "endpoint"

    def __init__(self, config: EndpointConfig, seed: int = 0, budget: Budget | None = None):
        self.config, self.seed, self.model = config, seed, config.model
        self.prompts = load_prompts(config.prompts)
        self.prompt = version(self.prompts)
        self.budget = budget or Budget(config)
        self.connection = Connection(config, self.budget)

    def write(self, captions: Iterable[tuple[int, Caption]], mode: Mode = "full") -> Iterator[Written]:
        numbered = iter(captions)
        first = list(islice(numbered, 1))
        if not first:
            return  # without asking an example for nothing
        numbered = chain(first, numbered)
        pending: set[Future] = set()
        with EventLoop() as loop:
            run = _Run(self, mode)
            try:
                loop.submit(run.open()).result()
                while True:
                    if run.stopped is None:  # twice as many as calls at a time, since some of them wait for their retry
                        for row, caption in islice(numbered, 2 * self.config.concurrency - len(pending)):
                            pending.add(loop.submit(run.caption(row, caption)))
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
    """What one `write` shares among its captions, all of it in the event loop. stopped: why nothing can go on."""

    def __init__(self, writer: EndpointWriter, mode: Mode):
        self.config, self.seed, self.connection = writer.config, writer.seed, writer.connection
        self.prompt, self.mode = writer.prompts[mode], mode
        self.stopped: UserError | None = None
        self.answers = 0

    async def open(self) -> None:
        self.stop = asyncio.Event()
        self.slots = asyncio.Semaphore(self.config.concurrency)
        self.connection.open()
        try:
            await self.patiently(lambda: self.connection.learn(self.prompt, self.mode), "example")
        except Retry as failure:
            raise UserError(f"{self.config.base_url or 'the endpoint'} does not answer: {failure}.") from None

    async def close(self) -> None:
        """The captions that nobody waits for any more are given up."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.connection.close()

    async def caption(self, row: int, caption: Caption) -> Written:
        """UserError: nothing can go on; it is kept in `stopped` too, and no other caption begins a call after it."""
        try:
            return await self._caption(row, caption)
        except UserError as error:
            self.stopped = self.stopped or error
            self.stop.set()
            raise

    async def _caption(self, row: int, caption: Caption) -> Written:
        asked = question(caption, self.mode, self.config.edits)
        if not asked:
            return Written(row, error="the caption has no text")
        calls = tokens_in = tokens_out = invalid = 0

        async def ask() -> Reply:
            nonlocal calls
            async with self.slots:
                if self.stopped is not None:
                    raise self.stopped
                calls += 1
                seed = key(self.seed, caption.id, invalid) % 2**31  # of an answer asked for again: another
                return await self.connection.ask(self.prompt, asked, self.mode, seed)

        while True:
            try:
                reply = await self.patiently(ask, caption.id)
                self.answers += 1
                tokens_in, tokens_out = tokens_in + reply.tokens_in, tokens_out + reply.tokens_out
                if reply.refused:
                    raise Declined(f"refused: {reply.refused}")
                edits = parse(reply.text, self.mode, caption, self.config.edits)
                return Written(row, edits, "", calls, tokens_in, tokens_out)
            except InvalidAnswer as fault:
                invalid += 1
                if invalid < self.config.invalid_tries:
                    continue
                error = f"no valid answer in {invalid}: {fault}"
            except (Declined, Retry) as fault:
                error = str(fault)
            return Written(row, (), error, calls, tokens_in, tokens_out)

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
