"""The page as a web application: Gradio around page.py, pictures from the study's folder."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

from uip2p.errors import UserError
from uip2p.people import page
from uip2p.people.serve import Page, Stranger
from uip2p.people.study import PICTURES

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


def application(asked: Page, folder: Path) -> Any:
    """The ASGI application. folder: the study's."""
    study = asked.study

    def answer(rater: Any, event: gr.EventData) -> str:
        return answered(asked, rater, event._data)

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


def answered(asked: Page, rater: Any, sent: Any) -> str:
    """`Page.answered` of what a browser sent. gr.Error, which Gradio shows: nothing that our page sends."""
    data = sent if isinstance(sent, dict) else {}
    try:
        return asked.answered(rater, data.get("item"), data.get("choices"))
    except Stranger as error:
        raise gr.Error(str(error), print_exception=False) from None


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


def run(app: Any, listening: socket.socket) -> None:
    """Until SIGTERM or Ctrl-C; open requests may end."""
    # No access log: it would have addresses.
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=2, **quiet)
    for ending in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops by them, and then raises them once more
        signal.signal(ending, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
