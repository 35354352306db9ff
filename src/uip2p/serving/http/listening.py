"""uvicorn, with an orderly end, and patience that ends too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 15.0  # for a request's first lines, and for the rest of one that has been answered already
CONNECTIONS = 1000  # at a time; more are told 503


class Patient(H11Protocol):
    """A connection that sends its header by and by, or nothing at all, is closed; one that does not take its answer is
    cut off. By itself uvicorn waits for ever."""

    late: asyncio.TimerHandle | None = None
    untaken = 0  # bytes of an answer, at the last look

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.late = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        answered = self.cycle is not None and self.cycle.response_complete
        waiting = self.conn.their_state is h11.IDLE or (answered and self.conn.their_state is h11.SEND_BODY)
        if waiting and self.late is None:
            self.late = self.loop.call_later(HEADER_SECONDS, self.transport.close)
        elif not waiting and self.late is not None:
            self.late.cancel()
            self.late = None

    def timeout_keep_alive_handler(self) -> None:
        """After each `timeout_keep_alive` seconds without a new request."""
        left = self.transport.get_write_buffer_size()
        if left == 0:
            super().timeout_keep_alive_handler()
        elif left == self.untaken:
            self.transport.abort()
        else:  # it is being taken
            self.untaken = left
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        if self.late is not None:
            self.late.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT: `drain` in a thread, while what it lets finish is answered; then `run` returns. A second
    SIGINT does not wait."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Any]):
        super().__init__(config)
        self.drain = drain
        self._draining: threading.Thread | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = sig == signal.SIGINT
            return
        self.should_exit = True
        self._draining = threading.Thread(target=self.drain, name="drain", daemon=True)
        self._draining.start()

    def drained(self) -> None:
        """Waits for the end of `drain`, if it was begun."""
        if self._draining is not None:
            self._draining.join()


def configured(app: Any, host: str, port: int, grace: float) -> uvicorn.Config:
    """grace: seconds for what is in work at the end, before it is cut off."""
    return uvicorn.Config(
        app, host, port, http=Patient, ws="none", log_config=None, access_log=False, server_header=False,
        timeout_keep_alive=20, timeout_graceful_shutdown=int(grace) + 1, limit_concurrency=CONNECTIONS,
        proxy_headers=False, lifespan="off",
    )  # fmt: skip
