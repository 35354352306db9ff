"""A server of a tiny editor, and what asks it for edits."""

from __future__ import annotations

import pytest
from http_asking import HTTP, png

from uip2p.serving.http.server import Settings


@pytest.fixture
def ask(listen, start, pictures):
    """ask(fields, …) -> the answer to an edit of the first picture."""
    service = start()
    address, _ = listen(service, Settings(model="tiny", max_body=100_000, max_pixels=4096))

    def one(data=None, files=None, headers=None):
        files = {"image": ("a.png", png(pictures[0]))} if files is None else files
        return HTTP.post(f"{address}/v1/images/edits", data={"prompt": "add a dog", **(data or {})}, files=files,
                         headers=headers)  # fmt: skip

    one.address, one.service = address, service
    return one
