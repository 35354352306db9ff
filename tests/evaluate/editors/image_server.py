"""An OpenAI-compatible POST /v1/images/edits on loopback, whose every answer a test decides. It speaks HTTP as a real
one does, reads the form as one does, and knows nothing of the code under test."""

from __future__ import annotations

import base64
import email
import email.policy
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image, ImageOps


@dataclass
class Answer:
    """body: JSON where it is not bytes. delay: seconds before it."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class Server(ThreadingHTTPServer):
    """answer: (number of the call, form with its picture under "image") → Answer. files: what GET gives, by path."""

    daemon_threads = True

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.forms: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.files: dict[str, bytes] = {}
        self.fetched: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.now = self.most = 0  # calls at a time

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that waited no longer is none of the server's errors."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body, server = self.rfile.read(int(self.headers["content-length"])), self.server
        form = read_form(self.headers["content-type"], body)
        with server.lock:
            number = len(server.forms)
            server.forms.append(form)
            server.times.append(time.monotonic())
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            assert self.path == "/v1/images/edits"
            answer = server.answer(number, form)
            time.sleep(answer.delay)
        finally:
            with server.lock:
                server.now -= 1
        self.reply(answer)

    def do_GET(self) -> None:
        self.server.fetched.append({name.lower(): value for name, value in self.headers.items()})
        content = self.server.files.get(self.path)
        self.reply(Answer(content or b"", 200 if content else 404, {"content-type": "image/png"}))

    def reply(self, answer: Answer) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        usual = {"content-type": "application/json", "content-length": str(len(data))}
        for name, value in {**usual, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def read_form(kind: str, body: bytes) -> dict[str, Any]:
    """multipart/form-data → fields; a file's content as a picture."""
    message = email.message_from_bytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    form: dict[str, Any] = {}
    for part in message.iter_parts():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        form[name] = Image.open(io.BytesIO(content)) if part.get_filename() else content.decode()
    return form


@contextmanager
def serve(answer: Callable[[int, dict[str, Any]], Answer]) -> Iterator[Server]:
    server = Server(answer)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def edited(form: dict[str, Any]) -> Image.Image:
    """An editor that anybody can work out: inverted, with some noise of the seed, tinted by the instruction."""
    picture = np.asarray(ImageOps.invert(form["image"].convert("RGB"))).astype(int)
    noise = np.random.default_rng(int(form.get("seed", 0))).integers(0, 30, picture.shape)
    tint = np.array([sum(form["prompt"].encode()) % 50, 0, 0])
    return Image.fromarray((picture + noise + tint).clip(0, 255).astype(np.uint8))


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def inside(picture: Image.Image) -> Answer:
    return Answer({"created": 0, "data": [{"b64_json": base64.b64encode(png(picture)).decode()}]})


def refusal(status: int, message: str, headers: dict[str, str] | None = None, **error: Any) -> Answer:
    return Answer({"error": {"message": message, "type": "error", **error}}, status, headers or {})


def right(_: int, form: dict[str, Any]) -> Answer:
    return inside(edited(form))
