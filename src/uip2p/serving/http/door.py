"""What holds for every HTTP request, whatever it asks: its number, its limits, its headers, its line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uip2p.errors import UserError
from uip2p.serving.asking import Busy, Failed
from uip2p.serving.http.errors import BadRequest, response
from uip2p.serving.http.figures import Figures

LOG = logging.getLogger("uip2p.serving.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
HELD = 25  # bodies of the largest size, whose bytes are held at a time, of all requests together
POLLED = ("/health", "/ready", "/metrics")  # every few seconds, by machines
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}  # fmt: skip


@dataclass(slots=True)
class Visit:
    """One request: `request.state.visit`. about: more for its line in the log."""

    id: str
    began: float
    status: int = 0
    about: dict[str, Any] = field(default_factory=dict)


class Door:
    """Pure ASGI, outside everything else. hosts: names in the Host header that are answered, empty for any. origins:
    web pages of which other sites may ask, "*" for all."""

    def __init__(
        self, app: ASGIApp, figures: Figures, max_body: int, body_seconds: float, hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
    ):  # fmt: skip
        self.app, self.figures, self.max_body, self.body_seconds = app, figures, max_body, body_seconds
        self.hosts, self.origins = hosts, origins
        self.held = Held(HELD * max_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        visit = Visit(given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8), time.monotonic())
        scope.setdefault("state", {})["visit"] = visit

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                ours = MutableHeaders(scope=message)
                for name, value in {**HEADERS, "X-Request-ID": visit.id}.items():
                    ours.setdefault(name, value)
            await send(message)

        body = Body(receive, self.held, self.max_body, self.body_seconds, headers.get("content-length", ""))
        try:
            self.check(headers)
            await self.app(scope, body.receive, answer)
        except UserError as error:
            await response(error, visit.id)(scope, receive, answer)
        except Exception as error:
            LOG.error("a request failed", exc_info=error, extra={"request_id": visit.id})
            if not visit.status:
                fault = Failed(f"a fault of the service; its log says why, at request {visit.id}.")
                await response(fault, visit.id)(scope, receive, answer)
        finally:
            self.held.bytes -= body.size
            self.note(scope, visit)

    def check(self, headers: Headers) -> None:
        """BadRequest: a name that is not ours (DNS rebinding leads a browser here by a stranger's name), or another
        site's page."""
        host = headers.get("host", "")
        if self.hosts and _split(f"//{host}")[0] not in self.hosts:
            raise BadRequest("this host name is not served here (see --allow-host).", None, 421, "unknown_host")
        origin = headers.get("origin")
        if origin and "*" not in self.origins and origin not in self.origins and _split(origin)[1] != host:
            raise BadRequest("pages of other sites may not ask this service (see --cors).", None, 403, "origin")

    def note(self, scope: Scope, visit: Visit) -> None:
        """One line, and the figures."""
        seconds = time.monotonic() - visit.began
        path = getattr(scope.get("route"), "path", None) or "other"
        status = visit.status or 499  # they had gone before an answer began
        self.figures.requests.labels(_method(scope["method"]), path, str(status)).inc()
        self.figures.seconds.labels(path).observe(seconds)
        level = logging.DEBUG if path in POLLED else logging.INFO
        LOG.log(level, "request", extra={
            "request_id": visit.id, "method": scope["method"], "path": scope["path"], "status": status,
            "seconds": round(seconds, 4), **visit.about,
        })  # fmt: skip


@dataclass(slots=True)
class Held:
    """Bytes of bodies that are held, of all requests that have no answer yet, and how many may be."""

    most: int
    bytes: int = 0


class Body:
    """The body of a request, on its way: so many bytes at most, within so many seconds."""

    def __init__(self, receive: Receive, held: Held, most: int, seconds: float, declared: str):
        self._receive, self.held, self.most, self.seconds = receive, held, most, seconds
        digits = declared[:20]  # Python does not read a number of thousands
        self.declared = int(digits) if digits.isascii() and digits.isdigit() else 0
        self.ends = time.monotonic() + seconds
        self.size, self.whole = 0, False

    async def receive(self) -> Message:
        """BadRequest: 413, 408. Busy: others have sent too much at the same time."""
        if self.whole:
            return await self._receive()
        self._check(self.declared)
        try:
            async with asyncio.timeout(max(0.0, self.ends - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise BadRequest(f"the request did not come within {self.seconds:g} seconds.", None, 408, "timeout",
                             {"Connection": "close"}) from None  # fmt: skip
        length = len(message.get("body", b""))
        self.size += length
        self.held.bytes += length
        self._check(self.size)
        if self.held.bytes > self.held.most:
            raise Busy("too many large requests at a time: ask again in a moment.", 2.0)
        self.whole = not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self.most:
            large = f"the request is larger than {self.most / 1e6:g} MB: send a smaller picture."
            raise BadRequest(large, "image", 413, "too_large")


def _split(url: str) -> tuple[str, str]:
    """The host's name, and with its port; empty for what is no address."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.netloc
    except ValueError:
        return "", ""


def _method(name: str) -> str:
    return name if name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"
