"""`POST /v1/images/edits`: from a form to an answer, or to events on the way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from PIL import Image
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from uip2p.errors import UserError
from uip2p.serving.asking import Answer, Failed, Progress, Request
from uip2p.serving.http.errors import BadRequest, about, body
from uip2p.serving.http.figures import Figures
from uip2p.serving.http.forms import Fields, wanted_size
from uip2p.serving.job import Job

if TYPE_CHECKING:  # imported where they are used: a server listens before
    from uip2p.editing.editor import Edited
    from uip2p.provenance.made import Made
    from uip2p.serving.service import Service

LOG = logging.getLogger("uip2p.serving")
SEND_SECONDS = 60.0  # for a client to take one event
T = TypeVar("T")
NO_TOKENS = {
    "input_tokens": 0, "output_tokens": 0, "total_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
}  # fmt: skip


@dataclass(slots=True)
class Edit:
    """One request of this kind. source: the picture's file, whose signed history goes on in the results. size: (width,
    height) of the results."""

    service: Service
    fields: Fields
    source: bytes
    size: tuple[int, int]
    request: Request
    job: Job
    encoders: anyio.CapacityLimiter

    async def apart(self, function: Callable[..., T], *args: Any) -> T:
        """Not in the event loop, and with as many others at a time as there are encoders."""
        return await anyio.to_thread.run_sync(function, *args, limiter=self.encoders)

    @property
    def named_size(self) -> str:
        return f"{self.size[0]}x{self.size[1]}"

    def results(self, answer: Answer) -> list[Edited]:
        from uip2p.editing.reversibility import best

        return [best(answer.edits)] if self.fields.best_of > 1 else list(answer.edits)

    def encoded(self, picture: Image.Image, made: Made) -> str:
        """A file that says how it was made, in base64. Failed: it cannot be signed, which is no fault of who asks."""
        fields, writer = self.fields, self.service.writer
        format = fields.output_format.upper()
        try:
            content = writer.encode(picture, format, made, self.source, fields.output_compression)
        except UserError as error:
            LOG.error("a result could not be written", exc_info=error)
            raise Failed("the result could not be written, by a fault of the service; its log says why.") from None
        return base64.b64encode(content).decode()

    def preview(self, picture: Image.Image, seed: int) -> str:
        """A picture on its way says so, too."""
        from uip2p.provenance.made import Made

        scheduler = type(self.service.parts.scheduler).__name__
        return self.encoded(picture, Made(self.service.model, seed, **self.job.options, scheduler=scheduler))

    def item(self, edited: Edited) -> dict[str, Any]:
        """One result as the answer has it."""
        picture = edited.image
        if picture.size != self.size:
            picture = picture.resize(self.size, Image.Resampling.LANCZOS)
        made = self.service.writer.made(edited, self.service.model)
        item: dict[str, Any] = {"b64_json": self.encoded(picture, made), "seed": edited.seed}
        if (check := edited.check) is not None:
            item |= {
                "reversibility": check.reversibility, "direction": check.direction, "score": check.score,
                "likely_failed": check.likely_failed, "reverse_prompt": check.reverse_instruction,
            }  # fmt: skip
        return item


def begin(
    service: Service, fields: Fields, content: bytes, deadline: float | None, max_pixels: int, listener: Any,
    encoders: anyio.CapacityLimiter,
) -> Edit:
    """Decodes the picture and submits the edit: not in the event loop, as it takes its time. UserError, Declined."""
    from uip2p.editing.instructions import check_instruction
    from uip2p.editing.reversibility import Words
    from uip2p.serving.pictures import open_picture

    service.admit()  # the queue may have filled while the request came: no picture is decoded in vain
    try:
        picture = open_picture(content, max_pixels)
    except UserError as error:
        raise BadRequest(str(error), "image", code="invalid_image") from None
    try:
        check_instruction(fields.prompt, service.parts)
    except UserError as error:
        raise BadRequest(service.told(error), "prompt") from None
    size = wanted_size(fields.size, picture.size, max_pixels)
    steps = service.settings.steps if fields.steps is None else fields.steps
    request = Request(
        picture, fields.prompt, count=max(fields.n, fields.best_of), seed=fields.seed, steps=fields.steps,
        guidance_scale=fields.guidance_scale, image_guidance_scale=fields.image_guidance_scale,
        check=fields.check or fields.best_of > 1,
        words=Words(fields.reverse_prompt, fields.caption, fields.edited_caption),
        previews=-(-steps // (fields.partial_images + 1)) if fields.partial_images else 0, deadline=deadline,
    )  # fmt: skip
    return Edit(service, fields, content, size, request, service.submit(request, listener), encoders)


def read_deadline(http: HttpRequest) -> float | None:
    """The header X-Request-Timeout, in seconds. BadRequest."""
    text = http.headers.get("x-request-timeout")
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < 1e6:
            return seconds
    raise BadRequest(f"X-Request-Timeout is {text[:40]!r}: give seconds.", "X-Request-Timeout")


# ---- one answer ----------------------------------------------------------------------------------


async def whole_answer(http: HttpRequest, edit: Edit, figures: Figures) -> Response:
    answer = await _attended(http, edit.job)
    content = await edit.apart(_content, edit, answer)
    note(http, answer, figures)
    return Response(content, media_type="application/json")


def _content(edit: Edit, answer: Answer) -> bytes:
    said = {
        "created": int(time.time()), "background": "opaque", "output_format": edit.fields.output_format,
        "size": edit.named_size, "data": [edit.item(edited) for edited in edit.results(answer)],
    }  # fmt: skip
    return json.dumps(said).encode()


def note(http: HttpRequest, answer: Answer, figures: Figures) -> None:
    figures.answered(answer)
    http.state.visit.about |= {
        "queued": round(answer.queued, 4), "worked": round(answer.seconds, 4), "batch": answer.batch,
        "results": len(answer.edits),
    }  # fmt: skip


async def _attended(http: HttpRequest, job: Job) -> Answer:
    """Waits as long as the client does. Cancelled: it has gone, and so the job has been told to."""

    async def leave() -> None:
        while (await http.receive())["type"] != "http.disconnect":
            pass

    async def answer() -> Answer:
        return await job

    waiting, leaving = asyncio.ensure_future(answer()), asyncio.ensure_future(leave())
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            job.cancel()
        return await waiting
    finally:
        leaving.cancel()
        waiting.cancel()
        job.cancel()  # no effect on one that has its answer


# ---- events --------------------------------------------------------------------------------------


class Steps:
    """Progress, from the worker's thread to the event loop; None at the end."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[Progress | None] = asyncio.Queue()

    def __call__(self, progress: Progress | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody listens
            self.loop.call_soon_threadsafe(self.queue.put_nowait, progress)

    async def next(self, ends: float) -> Progress | None:
        """None at the end, or when it is `ends` by the monotonic clock: the job then says which."""
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self.queue.get(), max(0.0, ends - time.monotonic()))
        return None


def stream(http: HttpRequest, edit: Edit, steps: Steps, figures: Figures, grace: float) -> Response:
    """grace: seconds that a server which is about to stop gives its streams."""
    edit.job.future.add_done_callback(lambda _: steps(None))
    return EventSourceResponse(
        _events(http, edit, steps, figures), shutdown_event=anyio.Event(), shutdown_grace_period=grace,
        send_timeout=SEND_SECONDS, sep="\n",
    )  # fmt: skip


async def _events(http: HttpRequest, edit: Edit, steps: Steps, figures: Figures) -> AsyncIterator[ServerSentEvent]:
    common = {
        "created_at": int(time.time()), "background": "opaque", "output_format": edit.fields.output_format,
        "quality": "auto", "size": edit.named_size,
    }  # fmt: skip
    shown = 0
    try:
        while (progress := await steps.next(edit.job.expires)) is not None:
            for seed, picture in progress.previews.items():
                content = await edit.apart(edit.preview, picture, seed)
                said = {"b64_json": content, "partial_image_index": shown}
                size = f"{picture.width}x{picture.height}"
                yield _event("image_edit.partial_image", {**said, "seed": seed, **common, "size": size})
                shown += 1
            if edit.fields.progress:
                yield _event("image_edit.progress", {"step": progress.done, "steps": progress.total})
        answer = await edit.job
        for edited in edit.results(answer):
            item = await edit.apart(edit.item, edited)
            yield _event("image_edit.completed", {**item, **common, "usage": NO_TOKENS})
        note(http, answer, figures)
    except UserError as error:
        http.state.visit.about |= about(error)
        yield _event("error", body(error, http.state.visit.id))
    finally:
        edit.job.cancel()


def _event(kind: str, said: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(event=kind, data=json.dumps({"type": kind, **said}))
