"""What the project's Gradio pages share: our headers on all that is sent, and few open doors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from uip2p.errors import UserError

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import: it is read there
try:
    import gradio as gr
    from gradio import component_meta  # noqa: F401
except ImportError as error:
    raise UserError(f"the page needs Gradio ({error}). Install it: pip install 'uip2p[ui]'") from None

# The browser itself refuses whatever is not ours. Gradio evaluates the page's own script, hence the two `unsafe`.
HEADERS = {
    "content-security-policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action {forms}; "
    "frame-ancestors 'none'; base-uri 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
# What Gradio offers besides and no page of ours has a use for: files of the disk, fetching for others, its own pages.
CLOSED = (
    "/gradio_api/file", "/gradio_api/proxy", "/gradio_api/stream", "/gradio_api/process_recording", "/gradio_api/runs",
    "/gradio_api/run-history", "/gradio_api/deep_link", "/gradio_api/vibe", "/gradio_api/openapi", "/monitoring",
    "/docs", "/dev", "/openapi.json",
)  # fmt: skip


def mount(app: Any, blocks: Any, head: str, **options: Any) -> Any:
    """The page at the root of a FastAPI application, without what Gradio adds. options: of `mount_gradio_app`."""
    theme = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"])
    theme.set(  # darker than Gradio's own, on which white text is too faint
        button_primary_background_fill="*primary_700", button_primary_background_fill_hover="*primary_800",
        button_cancel_background_fill="#b91c1c", button_cancel_background_fill_hover="#991b1b",
        button_cancel_text_color="white",
    )  # fmt: skip
    return gr.mount_gradio_app(
        app, blocks, path="/", head=head, footer_links=[], run_history=False, show_error=False, ssr_mode=False,
        pwa=False, mcp_server=False, theme=theme, **options,
    )  # fmt: skip


def guarded(app: Any, closed: Sequence[str] = CLOSED, forms: str = "'none'") -> Any:
    """The application with our headers on all that it sends, and without the paths that begin as `closed` do. forms:
    where a form may be sent, as a content security policy has it."""
    headers = [(name.encode(), value.format(forms=forms).encode()) for name, value in HEADERS.items()]

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        if scope["type"] == "http" and scope["path"].startswith(tuple(closed)):
            await send_with_headers({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send_with_headers)

    return guard
