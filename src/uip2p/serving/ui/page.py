"""The page as a web application: Gradio's components around what desk.py does and views.py shows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.serving.ui import components, views
from uip2p.serving.ui.desk import MAX_BYTES, Asked, Desk, is_cancelled, read_upload, suggestions
from uip2p.serving.ui.session import Session, show
from uip2p.serving.web import gr, guarded, mount

LOG = logging.getLogger("uip2p.serving")
HERE = files(__package__)
HEADER = """<header class="u-header"><h1>UIP2P</h1><p>Say in words what to change in a picture.</p>
<button type="button" id="u-theme" aria-label="Light or dark">◐</button></header>"""
FAULT = "this failed by a fault of ours; the log of the server says why. Your pictures are still here."
GONE = "this page rested for so long that its pictures were let go: bring one again."


def application(desk: Desk, auth: Callable[[str, str], bool] | None = None, runs: Path | None = None) -> Any:
    """The ASGI application. auth: name and password → whether they are right; None lets everybody in. runs: a folder
    of training runs, for the second tab; None lets the tab say how to give one."""
    from fastapi import FastAPI, HTTPException, Response

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/download/{token}/{number}.{form}")
    def download(token: str, number: int, form: str) -> Response:
        try:
            content = desk.file(token, number, form)
        except KeyError:
            raise HTTPException(404, "This picture is no longer here.") from None
        name = f"edited-{number}.{'jpg' if form == 'jpeg' else form}"
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        return Response(content, media_type=f"image/{form}", headers=headers)

    style, script = (HERE.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    head = f"<style>{style}</style><script>{script}</script>"
    mount(app, blocks(desk, runs), head, max_file_size=MAX_BYTES, auth=auth)
    return guarded(app, forms="'self'" if auth else "'none'")


def blocks(desk: Desk, runs: Path | None = None) -> Any:
    """The page. A session's pictures go when its page does."""
    from uip2p.serving.runs.tab import browse

    with gr.Blocks(title="UIP2P", analytics_enabled=False, delete_cache=(300, 300), fill_width=False) as page:
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Tabs():
            with gr.Tab("Edit"):
                editing(desk)
            with gr.Tab("Training run"):
                browse(runs)

        def close(request: gr.Request) -> None:
            desk.sessions.close(request.session_hash)

        page.unload(close)
    return page


def editing(desk: Desk) -> None:
    """The editing tab: its parts, and what each does."""
    with gr.Row(elem_classes="u-columns"):
        with gr.Column(scale=3, min_width=320, elem_classes="u-main"):
            upload = components.upload()
            compare = components.compare()
            still = part("u-stage")
            caption = part("u-caption")
            with gr.Row(elem_classes="u-ask"):
                instruction = gr.Textbox(
                    label="What to change", placeholder="for example: make the bus red", lines=1, max_lines=1,
                    max_length=500, scale=5, min_width=200, elem_id="u-instruction",
                )  # fmt: skip
                edit = gr.Button("Edit", variant="primary", scale=1, min_width=96, elem_id="u-edit")
                cancel = gr.Button("Cancel", variant="stop", scale=1, min_width=96, visible=False, elem_id="u-cancel")
            message = part("u-message", "suggest")
            words = part("u-words", "word")
            candidates = part("u-candidates", "choose")
            with gr.Row(elem_classes="u-tools"):
                undo = gr.Button("Undo", size="sm", min_width=72, visible=False, elem_id="u-undo")
                redo = gr.Button("Redo", size="sm", min_width=72, visible=False, elem_id="u-redo")
                new = gr.Button("New picture", size="sm", min_width=110, visible=False, elem_id="u-new")
                downloads = part("u-down")
            strip = part("u-history", "go")
        with gr.Column(scale=2, min_width=300, elem_classes="u-side"):
            gallery = part("u-gallery", "example", value=views.gallery(desk.examples))
            asked = components.fields(desk)
            part("u-model", value=views.about(desk.parts, desk.shipped))

    def look(session: Session, said: str = "", bring: bool = False) -> dict[Any, Any]:
        """Every part as the session has it. bring: offer the upload, though there is a picture."""
        current, before = session.current, session.before
        shot = current.content if current else None
        word = session.word if shot is not None and shot.edited is not None else None
        over, named = overlaid(session) if word is not None else (None, "")
        pair = before is not None and over is None
        return {
            upload: gr.update(value=None, visible=True if shot is None or bring else "hidden"),
            compare: gr.update(
                value=(before.content.shown, shot.shown) if pair and before and shot else None, visible=pair,
            ),
            still: gr.update(value=views.still(shot, over, named) if shot and not pair else "", visible=not pair),
            caption: views.said(views.describe(shot.edited)) if shot and shot.edited else "",
            message: said, candidates: views.candidates(session), words: views.words(session),
            strip: views.strip(session), downloads: views.downloads(session),
            undo: gr.update(interactive=session.history.can_undo, visible=shot is not None),
            redo: gr.update(interactive=session.history.can_redo, visible=shot is not None),
            new: gr.update(visible=shot is not None and not bring),
            edit: gr.update(visible=True), cancel: gr.update(visible=False),
        }  # fmt: skip

    parts = [
        upload, compare, still, caption, message, candidates, words, strip, downloads, undo, redo, new, edit, cancel,
    ]  # fmt: skip

    def told(session: Session, change: Callable[[Session], Any]) -> dict[Any, Any]:
        try:
            with session.lock:
                change(session)
        except Exception as error:
            return look(session, failed(desk, error))
        return look(session)

    def step(change: Callable[[Session], Any]) -> Callable[..., dict[Any, Any]]:
        """A handler that changes a session and shows it, its errors in words."""

        def handler(request: gr.Request) -> dict[Any, Any]:
            return told(desk.sessions.get(request.session_hash), change)

        return handler

    def bring(path: Path | None, request: gr.Request) -> dict[Any, Any]:
        if path is None:
            return {upload: gr.skip()}  # it was emptied, as when someone turns to the camera
        session = desk.sessions.get(request.session_hash)
        return told(session, lambda one: desk.bring(one, read_upload(path)))

    def example(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        session, texts = desk.sessions.get(request.session_hash), list[str]()
        shown = told(session, lambda one: texts.append(desk.example(one, number(event))))
        return {**shown, instruction: texts[0]} if texts else shown

    def select(change: Callable[[Session, int], Any]) -> Callable[..., dict[Any, Any]]:
        def handler(event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
            session = desk.sessions.get(request.session_hash)
            return told(session, lambda one: change(one, number(event)))

        return handler

    def stop(request: gr.Request) -> None:
        desk.sessions.get(request.session_hash).cancel()

    def offer(request: gr.Request) -> dict[Any, Any]:
        return look(desk.sessions.get(request.session_hash), bring=True)

    def suggest(event: gr.EventData) -> str:
        return str(event._data["value"])

    async def make(request: gr.Request, *values: Any) -> AsyncIterator[dict[Any, Any]]:
        session = desk.sessions.get(request.session_hash)
        try:
            asks = Asked.of(values)
            async for progress in desk.edit(session, asks):
                yield {message: progress, edit: gr.update(visible=False), cancel: gr.update(visible=True)}
        except Exception as error:
            yield look(session, failed(desk, error, str(values[0])))
            return
        yield {**look(session, views.said(desk.remark(asks))), asked.seed: seed_of(session, asks)}

    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    upload.input(bring, upload, parts, **quiet)
    gr.on(
        [instruction.submit, edit.click], make, [instruction, *asked.inputs], [*parts, asked.seed],
        show_progress="hidden", api_visibility="private", concurrency_limit=None, trigger_mode="once",
    )  # fmt: skip
    cancel.click(stop, None, None, **quiet)
    undo.click(step(go(lambda history: history.undo())), None, parts, **quiet)
    redo.click(step(go(lambda history: history.redo())), None, parts, **quiet)
    new.click(offer, None, parts, **quiet)
    gallery.example(example, None, [*parts, instruction], **quiet)
    message.suggest(suggest, None, instruction, **quiet)
    candidates.choose(select(desk.choose), None, parts, **quiet)
    strip.go(select(lambda session, at: go(lambda history: history.go(at))(session)), None, parts, **quiet)
    words.word(select(toggle), None, parts, **quiet)


# ---- between the page and the desk -----------------------------------------------------------------


def part(name: str, *acts: str, value: str = "") -> Any:
    """HTML of our own. acts: what its buttons say, each an event of the part."""
    return gr.HTML(value, elem_id=name, js_on_load=views.script(*acts), apply_default_css=False)


def failed(desk: Desk, error: Exception, instruction: str = "") -> str:
    """A sentence for a person; what is a fault of ours goes into the log."""
    if isinstance(error, KeyError):
        return views.error(GONE)
    if not isinstance(error, UserError):
        LOG.error("the page failed", exc_info=error)
        return views.error(FAULT)
    if is_cancelled(error):
        return views.said("Cancelled: nothing has changed.")
    return views.error(desk.told(error), suggestions(error, instruction))


def number(event: Any) -> int:
    """KeyError: not a number, so not from our page."""
    try:
        return int(event._data["value"])
    except (TypeError, ValueError):
        raise KeyError("value") from None


def go(move: Callable[[Any], Any]) -> Callable[[Session], None]:
    def moved(session: Session) -> None:
        session.history, session.word = move(session.history), None

    return moved


def toggle(session: Session, word: int) -> None:
    session.word = None if session.word == word else word


def overlaid(session: Session) -> tuple[str | None, str]:
    """The picture before the edit under the chosen word's attention: a data URI, and the word."""
    from uip2p.editing.attention import overlay

    current, before = session.current, session.before
    maps = current.content.edited.attention if current and current.content.edited else ()
    if session.word is None or not 0 <= session.word < len(maps) or current is None:
        return None, ""
    one = maps[session.word]
    under = (before or current).content.picture.copy()
    under.thumbnail((512, 512))
    if max(under.size) < 384:
        times = -(-384 // max(under.size))
        under = under.resize((under.width * times, under.height * times), 0)
    return show(overlay(under, one)), one.word


def seed_of(session: Session, asked: Asked) -> Any:
    """The seed that was drawn, so that the same can be asked for again."""
    edited = session.current.content.edited if session.current else None
    return edited.seed if asked.any_seed and edited else gr.skip()
