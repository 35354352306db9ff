"""What happens on the page: a picture is brought, edited, undone, taken along. Without Gradio."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from uip2p.editing.attention import check_readable
from uip2p.editing.instructions import LISTED, UnknownWord, check_instruction
from uip2p.editing.reversibility import Words, check_words
from uip2p.errors import UserError
from uip2p.serving.asking import MAX_PIXELS, Answer, Cancelled, Progress, Request
from uip2p.serving.job import Job
from uip2p.serving.pictures import open_picture
from uip2p.serving.service import Service
from uip2p.serving.ui import views
from uip2p.serving.ui.examples import Example
from uip2p.serving.ui.session import Session, Sessions, show, take

MAX_BYTES = 20 << 20  # of a file that is brought
MAX_TEXT = 1000  # letters
PREVIEWS = 4  # pictures on the way to a result, where it takes TWICE as many steps at least
PACE = 0.1  # seconds between two looks at an edit that is on its way
FILES = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page's fields say. Numbers outside their ranges: `Service.submit` judges them."""

    instruction: str
    count: int = 1
    seed: int = 0
    any_seed: bool = False
    steps: int | None = None
    guidance_scale: float | None = None
    image_guidance_scale: float | None = None
    check: bool = True
    attention: bool = True
    reverse: str = ""
    caption: str = ""
    edited_caption: str = ""

    @classmethod
    def of(cls, values: Sequence[Any]) -> Asked:
        """What a browser sent, in this order. UserError: nothing that our page sends, or a text without end."""
        if len(values) != len(fields(cls)):
            raise UserError("this is not what the page asks: load it again.")
        given = {}
        for field, value in zip(fields(cls), values, strict=True):
            if field.type == "str":
                value = "" if value is None else value
                if not isinstance(value, str) or len(value) > MAX_TEXT:
                    raise UserError(f"this text is too long: {MAX_TEXT} letters at most.")
            elif field.type == "bool":
                value = bool(value)
            elif isinstance(value, float) and value.is_integer() and "int" in str(field.type):
                value = int(value)  # what sliders send
            given[field.name] = value
        return cls(**given)

    @property
    def words(self) -> Words:
        return Words(*(text.strip() or None for text in (self.reverse, self.caption, self.edited_caption)))


class Desk:
    """One for all pages. no_check, no_attention: why this model's edits have none, None where they have."""

    def __init__(
        self, service: Service, sessions: Sessions, examples: list[Example], *, shipped: bool,
        max_pixels: int = MAX_PIXELS,
    ):  # fmt: skip
        self.service, self.sessions, self.examples, self.shipped = service, sessions, examples, shipped
        self.max_pixels = max_pixels
        self.parts, self.settings = service.parts, service.settings
        self.no_check = self.why_not(service.encoder)
        self.no_attention = self.why_not(lambda: check_readable(self.parts))

    # ---- pictures --------------------------------------------------------------------------------

    def bring(self, session: Session, content: bytes) -> None:
        """A picture file, as it came. UserError: not one, too large."""
        if len(content) > MAX_BYTES:
            raise UserError(f"this file has {len(content) / 1e6:.0f} MB, and the limit is {MAX_BYTES / 1e6:.0f}.")
        self.begin(session, open_picture(content, self.max_pixels), content)

    def example(self, session: Session, index: int) -> str:
        """Takes that example's picture; its instruction."""
        chosen = self.examples[index]
        self.begin(session, chosen.picture)
        return chosen.instruction

    def begin(self, session: Session, picture: Image.Image, source: bytes | None = None) -> None:
        session.history = session.history.add(take(picture, source=source))
        session.word = None
        self.sessions.keep(session)

    # ---- edits -----------------------------------------------------------------------------------

    async def edit(self, session: Session, asked: Asked) -> AsyncIterator[str]:
        """Makes the next state of the history; on the way, HTML that says how far it is. UserError: what cannot be
        done, with the history as it was. Whoever stops to listen cancels it."""
        state = session.current
        if state is None:
            raise UserError("there is no picture yet: upload one, paste one, or take an example.")
        if session.job is not None and not session.job.over:
            raise UserError("one edit is on its way: wait for it, or cancel it.")
        request = self.request(state.content.picture, asked)
        progress, news = Latest(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def listen(step: Progress) -> None:
            progress.hear(step)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(news.set)

        job = session.job = await asyncio.to_thread(self.service.submit, request, listen)
        answer = asyncio.ensure_future(_answer(job))
        try:
            while not answer.done():
                ahead = self.service.ahead(job)
                yield views.working(progress.step, ahead, job.total, progress.preview(request))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), 1.0)
                news.clear()
                await asyncio.wait({answer}, timeout=PACE)
            await asyncio.to_thread(self._keep, session, state.number, answer.result())
        finally:
            job.cancel()
            answer.cancel()
            if session.job is job:
                session.job = None

    def request(self, picture: Image.Image, asked: Asked) -> Request:
        """UserError: words for a check that do not go together."""
        seed = secrets.randbelow(2**31) if asked.any_seed else asked.seed
        steps = self.settings.steps if asked.steps is None else asked.steps
        checked = asked.check and self.no_check is None and self.unchecked(asked) is None
        previews = steps // PREVIEWS if steps >= 2 * PREVIEWS else 0
        return Request(
            picture, asked.instruction, asked.count, seed, steps, asked.guidance_scale, asked.image_guidance_scale,
            check=checked, words=asked.words if checked else Words(), previews=previews,
            attention=asked.attention and self.no_attention is None,
        )  # fmt: skip

    def unchecked(self, asked: Asked) -> str | None:
        """Why the edit that is asked for cannot be checked, None where it can. What is wrong with the words that were
        given for it is raised."""
        try:
            text = check_instruction(asked.instruction, self.parts)
        except UserError:
            return None  # the edit itself will say so
        if asked.words != Words():
            check_words(text, asked.words, self.parts)
            return None
        return self.why_not(lambda: check_words(text, Words(), self.parts))

    def remark(self, asked: Asked) -> str:
        """What is to be said beside a result."""
        if self.no_check is not None and asked.count == 1:
            return ""  # the settings say it; among several, a person misses the scores
        if self.no_check is None and not asked.check:
            return ""
        why = self.no_check or self.unchecked(asked)
        return f"Not checked: {why}" if why else ""

    def _keep(self, session: Session, parent: int, answer: Answer) -> None:
        shots = tuple(take(edited.image, edited) for edited in answer.edits)
        checks = [edited.check for edited in answer.edits]
        scores = [(check.score, check.direction) if check else (0.0, 0.0) for check in checks]
        with session.lock:
            session.candidates, session.candidates_of, session.chosen, session.word = shots, parent, {}, None
            self.choose(session, scores.index(max(scores)))

    def choose(self, session: Session, index: int) -> None:
        """Goes on from that candidate. Another one that was chosen before stays in the history."""
        number = session.chosen.get(index)
        if number is not None:
            session.history = session.history.go(number)
        else:
            session.history = session.history.add(session.candidates[index], session.candidates_of)
            session.chosen[index] = session.history.made - 1
        session.word = None
        self.sessions.keep(session)

    def told(self, error: UserError) -> str:
        """Its text, for whoever has only the page before them."""
        return self.service.told(error).replace(LISTED, "Its words are listed on this page.")

    def why_not(self, try_it: Callable[[], Any]) -> str | None:
        """What it complains of, None where it does not."""
        try:
            try_it()
        except UserError as error:
            return self.told(error)
        return None

    # ---- what a page may take along --------------------------------------------------------------

    def file(self, token: str, number: int, form: str) -> bytes:
        """A state as a picture file that says, turn by turn, how it was edited. KeyError: no such page, state, form."""
        session = self.sessions.find(token)
        if session is None or number not in session.history:
            raise KeyError(number)
        shots = [state.content for state in session.history.path(number)]
        if shots[-1].edited is None:
            raise KeyError(number)
        writer, model, content = self.service.writer, self.service.model, shots[0].source
        for shot in shots:
            if shot.edited is not None:
                content = writer.encode(shot.picture, FILES[form], writer.made(shot.edited, model), content)
        assert content is not None
        return content


class Latest:
    """The last step that was heard of, and the last picture. Heard of by the worker's thread."""

    def __init__(self) -> None:
        self.step: Progress | None = None
        self._picture: Image.Image | None = None

    def hear(self, step: Progress) -> None:
        self.step = step
        if step.previews:
            self._picture = next(iter(step.previews.values()))

    def preview(self, request: Request) -> str | None:
        """A data URI. None while a check goes back: it would show the picture before the edit."""
        step = self.step
        back = request.check and step is not None and step.done > step.total / 2
        return show(self._picture, (192, 256)) if self._picture is not None and not back else None


def suggestions(error: UserError, instruction: str) -> list[str]:
    """Instructions that would do, where a word was not known."""
    if not isinstance(error, UnknownWord):
        return []
    words = instruction.split()
    return [" ".join(near if error.word in word.lower() else word for word in words) for near in error.near]


def is_cancelled(error: UserError) -> bool:
    return isinstance(error, Cancelled)


def read_upload(path: Path) -> bytes:
    """What Gradio has put on the disk, which is then deleted: from here on it is only in memory."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError:
        raise UserError("the upload was lost on its way: bring the picture again.") from None
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
            path.parent.rmdir()


async def _answer(job: Job) -> Answer:
    return await job
