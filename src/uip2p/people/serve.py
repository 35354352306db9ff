"""The page as a server: Gradio around page.py, pictures from the study's folder, answers into SQLite."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.people import page
from uip2p.people.answers import RATER, Answers, fault
from uip2p.people.study import PICTURES, QUESTIONS, Item, Study

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: it is read there
try:
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles
except ImportError as error:
    raise UserError(f"the page needs Gradio ({error}). Install it: pip install 'uip2p[ui]'") from None

# The browser itself refuses whatever is not ours. Gradio evaluates the page's own script, hence the two `unsafe`.
HEADERS = {
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
# What Gradio offers besides and a study has no use for: uploads, files of the disk, fetching for others.
CLOSED = ("/gradio_api/upload", "/gradio_api/file", "/gradio_api/proxy", "/gradio_api/stream", "/monitoring", "/docs")


class Page:
    """The three things that happen: the page is opened, a rater starts, a rater answers."""

    def __init__(self, study: Study, answers: Answers):
        self.study, self.answers = study, answers
        self.items = {item.id: item for item in study.items}
        self.seen: dict[str, tuple[str, float]] = {}  # rater → the item they see, and since when (monotonic clock)

    def opened(self, rater: Any) -> str:
        """Whoever has answered goes on where they stopped; anybody else is welcomed."""
        return self.next(rater) if known(rater) and self.answers.answered(rater) else page.welcome(self.study)

    def begun(self, rater: Any) -> tuple[str, str]:
        """Only now does the browser get its number to keep."""
        rater = rater if known(rater) else secrets.token_hex(16)
        return self.next(rater), rater

    def answered(self, rater: Any, item_id: Any, choices: Any) -> str:
        """Stores the answer, and shows the next item; or the same one with what is wrong. Trusts no browser."""
        item = self.items.get(item_id) if isinstance(item_id, str) else None
        if item is None or not known(rater) or not _readable(choices):
            raise gr.Error("This page is not of this study. Please reload it.", print_exception=False)
        seen, since = self.seen.get(rater, ("", 0.0))
        seconds = round(time.monotonic() - since) if seen == item.id else None
        message = fault(item, choices)
        if not message:
            try:
                self.answers.add(rater, item, choices, seconds)
            except sqlite3.Error as error:
                print(f"an answer could not be stored: {error}", file=sys.stderr)
                message = "Your answer could not be stored. Please press Next again."
        if message:
            done = len(self.answers.answered(rater))
            return page.question(self.study, rater, item, done, choices, message)
        return self.next(rater)

    def next(self, rater: str) -> str:
        answered = self.answers.answered(rater)
        item: Item | None = next((item for item in self.study.order(rater) if item.id not in answered), None)
        if item is None:
            self.seen.pop(rater, None)
            return page.thanks(self.study)
        if self.seen.get(rater, ("",))[0] != item.id:  # a reload does not start the clock anew
            self.seen[rater] = item.id, time.monotonic()
        return page.question(self.study, rater, item, len(answered))


def known(rater: Any) -> bool:
    return isinstance(rater, str) and RATER.fullmatch(rater) is not None


def _readable(choices: Any) -> bool:
    return isinstance(choices, dict) and all(
        isinstance(choices.get(question), list) and all(isinstance(name, str) for name in choices[question])
        for question in QUESTIONS
    )


def application(study: Study, folder: Path, answers: Answers) -> Any:
    """The ASGI application."""
    asked = Page(study, answers)

    def answer(rater: Any, event: gr.EventData) -> str:
        data = event._data if isinstance(event._data, dict) else {}
        return asked.answered(rater, data.get("item"), data.get("choices"))

    with gr.Blocks(title="Which edits are best?", analytics_enabled=False) as blocks:
        rater = gr.BrowserState(None, storage_key=f"study-{study.id}", secret=study.id)
        view = gr.HTML(page.LOADING, js_on_load=page.SCRIPT, apply_default_css=False)
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        blocks.load(asked.opened, rater, view, **quiet)
        view.begin(asked.begun, rater, [view, rater], **quiet)
        view.answer(answer, rater, view, **quiet)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount(f"/{PICTURES}", StaticFiles(directory=folder / PICTURES))
    fonts = ["system-ui", "sans-serif"]
    gr.mount_gradio_app(
        app, blocks, path="/", head=f"<style>{page.STYLE}</style>", footer_links=[], run_history=False,
        show_error=False, ssr_mode=False, pwa=False, mcp_server=False, max_file_size=1,
        blocked_paths=[str(folder.resolve())], theme=gr.themes.Default(font=fonts, font_mono=["monospace"]),
    )  # fmt: skip
    return _guarded(app)


def _guarded(app: Any) -> Any:
    """The application with our headers on all that it sends, and without what a study has no use for."""

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        if scope["type"] == "http" and scope["path"].startswith(CLOSED):
            await send_with_headers({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send_with_headers)

    return guarded


def serve(study: Study, folder: Path, answers: Answers, host: str, port: int) -> None:
    """Serves until SIGTERM or Ctrl-C, then lets open requests end. UserError: the port is taken, no such host."""
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise UserError(f"--host {host} --port {port}: cannot listen there ({why}). Take another.") from None
    with listening:
        app = application(study, folder, answers)
        # No access log: it would have addresses.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]} asks {len(study.items)} items. Ctrl-C stops.", flush=True)
        for ending in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops by them, and then raises them once more
            signal.signal(ending, lambda *_: None)
        uvicorn.Server(config).run(sockets=[listening])
    print(f"Stopped. The answers are in {answers.path}.", flush=True)
