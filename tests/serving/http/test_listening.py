"""Connections that dawdle, and the end of the server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from http_asking import HTTP, png

from uip2p.serving.http import listening as patience
from uip2p.serving.http.server import Settings


def dial(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def test_who_never_finishes_a_header_is_hung_up_on(listen, start, monkeypatch):
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.3)
    address, _ = listen(start())
    began = time.monotonic()
    with dial(address) as silent, dial(address) as slow, dial(address) as later:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        later.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert later.recv(4096).startswith(b"HTTP/1.1 200")
        later.sendall(b"GET /hea")
        for connection in (silent, slow, later):
            while connection.recv(4096):
                pass
    assert 0.25 < time.monotonic() - began < 4
    assert HTTP.get(f"{address}/health").status_code == 200


def test_a_body_that_comes_too_slowly_is_answered_408(listen, start):
    address, _ = listen(start(), Settings(model="tiny", body_seconds=0.3))
    with dial(address) as connection:
        connection.sendall(
            b"POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=a\r\n\r\n--a\r\n"
        )
        answer = b""
        while piece := connection.recv(4096):  # and then it is closed
            answer += piece
    assert answer.startswith(b"HTTP/1.1 408") and b"within 0.3 seconds" in answer


def test_who_does_not_take_an_answer_is_cut_off():
    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(30_000_000)})

    config = patience.configured(large, "127.0.0.1", 0, 1)
    config.timeout_keep_alive = 0.2
    server = patience.Server(config, lambda: None)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    with dial(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}") as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: server.server_state.connections)
        until(lambda: not server.server_state.connections)
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(100_000):
                taken += len(piece)
    assert taken < 30_000_000
    server.should_exit = True
    thread.join(10)


@pytest.mark.parametrize("stream", ["false", "true"])
def test_the_end_answers_what_is_in_work(listen, start, gate, pictures, stream):
    service = start()
    address, server = listen(service)
    answers = []
    asked = {"data": {"prompt": "add a dog", "stream": stream}, "files": {"image": png(pictures[0])}}
    thread = threading.Thread(target=lambda: answers.append(HTTP.post(f"{address}/v1/images/edits", **asked)))
    thread.start()
    assert gate.entered.wait(10)
    server.handle_exit(signal.SIGTERM, None)
    time.sleep(1.2 if stream == "true" else 0.1)  # longer than it takes the stream's library to see the end
    assert not service.ready and thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        HTTP.get(f"{address}/health")
    gate.open.set()
    thread.join(10)
    assert answers[0].status_code == 200 and "b64_json" in answers[0].text


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_answers_and_exits_with_0(tmp_path, pictures, kind):
    log = tmp_path / "log"
    with open(log, "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "uip2p.cli", "serve", "--port", "0", "--device", "cpu"], stderr=stderr,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        address = until(lambda: log.read_text().partition("  (docs")[0])
        assert until(lambda: reached(f"{address}/health")) == 200  # long before the model is there
        assert reached(f"{address}/ready") == 503
        until(lambda: reached(f"{address}/ready") == 200)
        answers = []
        asked = {"data": {"prompt": "make it night", "steps": 100}, "files": {"image": png(pictures[0])}}
        thread = threading.Thread(target=lambda: answers.append(HTTP.post(f"{address}/v1/images/edits", **asked)))
        thread.start()
        until(lambda: "uip2p_in_work 1.0" in HTTP.get(f"{address}/metrics").text)
        began = time.monotonic()
        process.send_signal(kind)
        assert process.wait(12) == 0
        assert time.monotonic() - began < 10
        thread.join(5)
        assert answers[0].status_code in (200, 503)  # a slow machine may not have finished: it says so
        if answers[0].status_code == 503:
            assert answers[0].json()["error"]["code"] == "shutting_down"
    finally:
        process.kill()
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    assert {"ready", "request"} <= {line["message"] for line in lines}


def until(found, seconds: float = 120.0):
    ends = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return value


def reached(url: str) -> int:
    try:
        return HTTP.get(url).status_code
    except httpx.TransportError:
        return 0
