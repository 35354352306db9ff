"""The API's description: what OpenAPI says of answers and errors, and a page of it that needs no other server."""

from __future__ import annotations

import html
import json
from typing import Any

from pydantic import BaseModel

from uip2p.pages import style


class Error(BaseModel):
    message: str
    type: str
    param: str | None
    code: str
    request_id: str


class ErrorBody(BaseModel):
    """What every error answers."""

    error: Error


class Item(BaseModel):
    """One result. The figures are there with a check."""

    b64_json: str
    seed: int
    reversibility: float | None = None
    direction: float | None = None
    score: float | None = None
    likely_failed: bool | None = None
    reverse_prompt: str | None = None


class Images(BaseModel):
    created: int
    background: str
    output_format: str
    size: str
    data: list[Item]


WHEN = {
    400: "A field or the picture is not as it must be; or the prompt is refused",
    401: "No key, or a wrong one", 403: "A page of another site asks", 404: "No such path, or no such model",
    405: "No such method here", 408: "The request came too slowly", 413: "The request is too large",
    415: "No multipart/form-data", 421: "A host name that is not served",
    429: "The queue is full, or the key has asked too often: Retry-After says when",
    500: "A fault of the service", 503: "Loading, stopping, or out of memory: Retry-After says when",
    504: "Not done before the deadline",
}  # fmt: skip


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": WHEN[status]} for status in statuses}


ERRORS = errors(403, 405, 421, 500)  # of every path
KEYED = errors(401)


def answers() -> dict[int | str, dict[str, Any]]:
    """Of an edit."""
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    whole = {"model": Images, "description": "The results, or with stream=true the events", "content": events}
    return {200: whole, **errors(400, 401, 404, 408, 413, 415, 429, 503, 504)}


def page(schema: dict[str, Any]) -> str:
    """An OpenAPI description -> HTML, without script, picture or font from anywhere."""
    parts = [
        f"<h1>{html.escape(schema['info']['title'])} {html.escape(schema['info']['version'])}</h1>",
        "<p>The API is OpenAI's <code>images.edit</code>. As data: <a href='openapi.json'>openapi.json</a>.</p>",
    ]
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{html.escape(about['summary'])}.</p>")
            form = about.get("requestBody", {}).get("content", {}).get("multipart/form-data", {}).get("schema")
            if form:
                parts.append(_fields(form))
            own = {status: answer["description"] for status, answer in sorted(about["responses"].items())
                   if int(status) not in ERRORS}  # fmt: skip
            parts.append(_statuses(own))
    parts.append("<h2>Any of them</h2>")
    parts.append(_statuses({str(status): str(answer["description"]) for status, answer in ERRORS.items()}))
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>UIP2P: API</title><style>{style()} td, th {{ text-align: left !important; vertical-align: top }}"
        " h2 { margin-top: 2rem }</style>"
        f"<main>{''.join(parts)}</main></html>"
    )


def _statuses(when: dict[str, str]) -> str:
    rows = "".join(f"<tr><td>{status}</td><td>{html.escape(text)}</td></tr>" for status, text in when.items())
    return f"<table><tr><th>Status</th><th>When</th></tr>{rows}</table>"


def _fields(form: dict[str, Any]) -> str:
    rows = []
    for name, field in form["properties"].items():
        kind = " | ".join(field["enum"]) if "enum" in field else field.get("const", field.get("type", ""))
        limits = [f"{word} {field[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in field]
        default = "required" if name in form["required"] else json.dumps(field["default"]) if "default" in field else ""
        cells = (f"<code>{html.escape(name)}</code>", html.escape(" ".join([str(kind), *limits])), html.escape(default),
                 html.escape(field.get("description", "")))  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><tr><th>Field</th><th>Values</th><th>Default</th><th></th></tr>{''.join(rows)}</table>"
