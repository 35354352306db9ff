"""What holds for every request, in front of any ASGI server, also one that lets through what uvicorn would not."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from uip2p.serving.http.server import Settings, application


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_length_of_thousands_of_digits_is_too_large(start, digits):
    """Of 5000, Python reads no number."""
    app = application(start(), Settings())

    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
            form = {"Content-Type": "multipart/form-data; boundary=a", "Content-Length": "9" * digits}
            return await http.request(method, path, headers=form)

    assert asyncio.run(ask("GET", "/health")).status_code == 200  # it reads no body
    answer = asyncio.run(ask("POST", "/v1/images/edits"))
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"
