"""A tiny editor behind a service, a gate that holds its model still, and a real server on a free port."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.serving.asking import Limits
from uip2p.serving.http.listening import Server, configured
from uip2p.serving.http.server import Settings, application
from uip2p.serving.service import Service


@pytest.fixture(scope="session")
def tiny_editor(tiny_folder) -> Editor:
    return Editor.from_pretrained(tiny_folder, "cpu")


@pytest.fixture
def start(tiny_editor):
    """start(…Limits) -> a service over the tiny editor. It ends with the test."""
    started = []

    def one(editor=None, options=None, **limits) -> Service:
        started.append(Service(editor or tiny_editor, Limits(**{"deadline": 20, **limits}), **(options or {})))
        return started[-1]

    yield one
    for service in started:
        service.drain(0.0)


@pytest.fixture
def gate(tiny_editor):
    gate = Gate(tiny_editor)
    yield gate
    gate.remove()


class Gate:
    """The real UNet, which waits at every step until it is let go. calls: the batches that it was given."""

    def __init__(self, editor: Editor):
        self.entered, self.open, self.calls = threading.Event(), threading.Event(), 0
        self.hook = editor.parts.unet.register_forward_pre_hook(self._wait)

    def _wait(self, *_) -> None:
        self.calls += 1
        self.entered.set()
        assert self.open.wait(20)

    def remove(self) -> None:
        self.open.set()
        self.hook.remove()


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Three of the model's size, of one colour each; a long one; a black one."""
    colours = ["orange", "navy", "olive"]
    return [*(Image.new("RGB", (32, 32), colour) for colour in colours), Image.new("RGB", (64, 16), "red"),
            Image.new("RGB", (32, 32), "black")]  # fmt: skip


@contextlib.contextmanager
def listening(service, settings: Settings | None = None, limits=None):
    """service: or the promise of one. The address of a real server of it, and the server."""
    settings = settings or Settings(model="tiny")
    config = configured(application(service, settings, limits), "127.0.0.1", 0, settings.grace)
    server = Server(config, lambda: service.drain(settings.grace))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(1000):
        if server.started:
            break
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


@pytest.fixture
def listen():
    """listen(service, settings): see `listening`."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **more: stack.enter_context(listening(*args, **more))
