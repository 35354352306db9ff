"""Who has gone, who may come in, and what the server tells of itself."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import Future

import httpx
import openai
import pytest
from http_asking import HTTP, client, png

from uip2p.serving.asking import Limits
from uip2p.serving.http.keys import new_key, parse_keys
from uip2p.serving.http.server import Settings
from uip2p.serving.service import Service

# ---- who has gone --------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_client_that_goes_away_stops_its_edit(listen, start, gate, pictures, stream):
    service = start()
    address, _ = listen(service)
    request = httpx.Request("POST", f"{address}/v1/images/edits", files={"image": ("a.png", png(pictures[0]))},
                            data={"prompt": "add a dog", "steps": "50", "stream": stream})  # fmt: skip
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        connection.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.read())
        assert gate.entered.wait(10)
    ends = time.monotonic() + 10
    while service.outcomes["cancelled"] == 0 and time.monotonic() < ends:
        time.sleep(0.01)
    gate.open.set()
    while service.working and time.monotonic() < ends:
        time.sleep(0.01)
    assert service.outcomes == {"cancelled": 1} and gate.calls <= 2  # of 50


# ---- who may come in -----------------------------------------------------------------------------


def test_keys_and_their_rate(listen, start, pictures):
    (alice, line), (bob, other) = new_key("alice"), new_key("bob")
    keys = parse_keys(f"{line}\n{other}", "keys")
    address, _ = listen(start(), Settings(model="tiny", keys=keys, rate=1))
    said = set()
    for path in ("/v1/models", "/v1/models/tiny", "/metrics", "/v1/images/edits"):
        for header in (None, "Bearer x", alice, f"Basic {alice}"):
            method = "POST" if path.endswith("edits") else "GET"
            answer = HTTP.request(method, address + path, headers={"Authorization": header} if header else {})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            said.add(json.dumps({**answer.json()["error"], "request_id": ""}))
    assert len(said) == 1
    for path in ("/health", "/ready"):
        assert HTTP.get(address + path).status_code == 200
    assert [model.id for model in client(address, alice).models.list()] == ["tiny"]
    with pytest.raises(openai.AuthenticationError, match="give a key"):
        client(address, "wrong").models.list()
    for key, status in ((alice, 200), (alice, 429), (bob, 200)):
        answer = HTTP.post(f"{address}/v1/images/edits", files={"image": png(pictures[0])},
                           data={"prompt": "add a dog"}, headers={"Authorization": f"Bearer {key}"})  # fmt: skip
        assert answer.status_code == status, answer.text
        assert (status == 429) == ("retry-after" in answer.headers)


def test_strange_hosts_and_pages_of_other_sites(listen, start):
    settings = Settings(model="tiny", hosts=("localhost", "127.0.0.1", "::1"), origins=("https://good.example",))
    address, _ = listen(start(), settings)
    own = {"Origin": address}
    for headers, status in (
        ({}, 200), ({"Host": "evil.example"}, 421), ({"Host": "localhost:8000"}, 200), ({"Host": "[::1"}, 421),
        (own, 200), ({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403),
        ({"Origin": "https://good.example"}, 200),
    ):  # fmt: skip
        answer = HTTP.get(f"{address}/v1/models", headers=headers)
        assert answer.status_code == status, headers
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == ("https://good.example" if "good" in headers.get("Origin", "") else None)


# ---- states, figures, description ----------------------------------------------------------------


def test_it_listens_while_its_model_loads(listen, start, pictures):
    promise: Future[Service] = Future()
    address, _ = listen(promise, Settings(model="tiny"), limits=Limits())
    post = {"files": {"image": png(pictures[0])}, "data": {"prompt": "add a dog"}}
    assert [HTTP.get(address + path).status_code for path in ("/health", "/ready", "/metrics")] == [200, 503, 200]
    early = HTTP.post(f"{address}/v1/images/edits", **post)
    assert early.status_code == 503 and early.json()["error"]["code"] == "loading" and "retry-after" in early.headers
    service = start()
    promise.set_result(service)
    assert HTTP.get(f"{address}/ready").json() == {"status": "ready"}
    assert HTTP.post(f"{address}/v1/images/edits", **post).status_code == 200
    service.drain(1.0)
    assert HTTP.get(f"{address}/ready").json() == {"status": "stopping"}
    late = HTTP.post(f"{address}/v1/images/edits", **post)
    assert late.status_code == 503 and late.json()["error"]["code"] == "shutting_down"


def test_figures_and_log_tell_no_prompt(ask, caplog):
    caplog.set_level("INFO", "uip2p")
    assert ask({"n": "2"}).status_code == 200 and ask({"n": "0"}).status_code == 400
    figures = HTTP.get(f"{ask.address}/metrics").text
    for line in (
        'uip2p_requests_total{method="POST",path="/v1/images/edits",status="200"} 1.0',
        'uip2p_requests_total{method="POST",path="/v1/images/edits",status="400"} 1.0',
        'uip2p_edits_total{outcome="ok"} 1.0', 'uip2p_batches_total{size="2"} 1.0', "uip2p_pictures_total 2.0",
        "uip2p_queue_length 0.0", "uip2p_out_of_memory_total 0.0", "uip2p_edit_waiting_seconds_count 1.0",
        "uip2p_ready 1.0",
    ):  # fmt: skip
        assert line in figures.splitlines(), line
    lines = [record for record in caplog.records if record.message == "request"]
    assert [(line.status, line.path) for line in lines] == [(200, "/v1/images/edits"), (400, "/v1/images/edits")]
    assert (lines[0].batch, lines[0].results) == (2, 2) and lines[0].queued >= 0
    assert "dog" not in figures + "".join(str(vars(line)) for line in lines)


def test_the_description_and_its_page_need_nobody_else(ask):
    schema = HTTP.get(f"{ask.address}/openapi.json").json()
    edit = schema["paths"]["/v1/images/edits"]["post"]
    form = edit["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["image", "prompt"] and form["properties"]["n"]["maximum"] == 8
    assert edit["security"] and "422" not in edit["responses"] and {"400", "429", "503"} <= set(edit["responses"])
    page = HTTP.get(f"{ask.address}/docs").text
    assert "guidance_scale" in page and "/v1/images/edits" in page and "<script" not in page
    assert "http://" not in page and "https://" not in page
