"""An OpenAI-compatible POST /v1/images/edits on loopback, whose every answer a test decides. It speaks HTTP as a real
one does, reads the form as one does, and knows nothing of the code under test."""

from __future__ import annotations

import base64
import email
import email.policy
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from endpoints import Answer, Handler, Server, running
from PIL import Image, ImageOps


class ImageServer(Server):
    """A request is a form, with its picture under "image". files: what GET gives, by path; fetched: its requests'
    headers."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer]):
        super().__init__(answer, FormHandler)
        self.files: dict[str, bytes] = {}
        self.fetched: list[dict[str, str]] = []


class FormHandler(Handler):
    server: ImageServer

    def read(self, body: bytes) -> dict[str, Any]:
        assert self.path == "/v1/images/edits"
        return read_form(self.headers["content-type"], body)

    def do_GET(self) -> None:
        self.server.fetched.append({name.lower(): value for name, value in self.headers.items()})
        content = self.server.files.get(self.path)
        self.reply(Answer(content or b"", 200 if content else 404, {"content-type": "image/png"}))


def read_form(kind: str, body: bytes) -> dict[str, Any]:
    """multipart/form-data → fields; a file's content as a picture."""
    message = email.message_from_bytes(b"content-type: " + kind.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    form: dict[str, Any] = {}
    for part in message.iter_parts():
        name, content = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        form[name] = Image.open(io.BytesIO(content)) if part.get_filename() else content.decode()
    return form


def serve(answer: Callable[[int, dict[str, Any]], Answer]) -> AbstractContextManager[ImageServer]:
    return running(ImageServer(answer))


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


def right(_: int, form: dict[str, Any]) -> Answer:
    return inside(edited(form))
