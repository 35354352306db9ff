"""The HTTP API as its users call it: OpenAI's own client, the project's own, curl's kind."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import time
from concurrent.futures import Future

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.evaluate.asking import Ask, Refused
from uip2p.evaluate.editors.endpoint import open_editor
from uip2p.safety.policy import load_policy
from uip2p.serving.asking import Limits
from uip2p.serving.keys import new_key, parse_keys
from uip2p.serving.server import Settings
from uip2p.serving.service import Service

HTTP = httpx.Client(verify=False, timeout=30)  # nothing here is encrypted, and certificates take time to read


def png(picture: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **({"lossless": True} if format == "WEBP" else {}))
    return file.getvalue()


def opened(b64: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def same(one: Image.Image, other: Image.Image) -> bool:
    return int(np.abs(np.asarray(one.convert("RGB")).astype(int) - np.asarray(other)).max()) <= 1


@pytest.fixture(scope="module")
def mini():
    service = Service(Editor.from_pretrained("mini", "cpu"))
    yield service
    service.drain(0.0)


@pytest.fixture
def photo_64() -> Image.Image:
    y, x = np.mgrid[:64, :64]
    return Image.fromarray(np.stack([3 * x, 2 * y, 255 - x], -1).astype(np.uint8))


def client(address: str, key: str = "none", kind=openai.OpenAI):
    return kind(base_url=f"{address}/v1", api_key=key, max_retries=0)


# ---- clients -------------------------------------------------------------------------------------


def test_openais_client_edits(listen, mini, photo_64):
    address, _ = listen(mini, Settings())
    with client(address) as api:
        assert [model.id for model in api.models.list()] == ["mini"] and api.models.retrieve("mini").id == "mini"
        answer = api.images.edit(
            model="mini", image=("in.png", png(photo_64), "image/png"), prompt="make it night", n=2, size="auto",
            response_format="b64_json", user="me", extra_body={"seed": 3, "steps": 2, "check": True},
        )  # fmt: skip
        own = mini.editor.edit(photo_64, "make it night", seed=[3, 4], steps=2, check=True)
        assert answer.size == "64x64" and answer.output_format == "png" and abs(answer.created - time.time()) < 60
        for item, edited in zip(answer.data, own, strict=True):
            assert same(opened(item.b64_json), edited.image)
            assert (item.seed, item.reverse_prompt) == (edited.seed, edited.check.reverse_instruction)
            assert item.score == pytest.approx(edited.check.score, abs=1e-3)
        one = api.images.edit(image=[png(photo_64)], prompt="make it night", output_format="jpeg", size="128x128",
                              output_compression=80, extra_body={"best_of": 2, "seed": 3, "steps": 2})  # fmt: skip
        picture = opened(one.data[0].b64_json)
        assert (picture.format, picture.size, one.size) == ("JPEG", (128, 128), "128x128")
        assert one.data[0].score == pytest.approx(max(edited.check.score for edited in own), abs=1e-3)


def test_openais_client_streams(listen, mini, photo_64):
    address, _ = listen(mini, Settings())

    async def ask():
        async with client(address, kind=openai.AsyncOpenAI) as api:
            events = await api.images.edit(
                image=png(photo_64, "WEBP"), prompt="make it night", stream=True, partial_images=2,
                extra_body={"steps": 6, "seed": 1, "progress": True},
            )  # fmt: skip
            return [event async for event in events]

    events = asyncio.run(ask())
    kinds = [event.type.removeprefix("image_edit.") for event in events]
    progress, partial = "progress", "partial_image"
    assert kinds == [progress, partial, progress, progress, partial, *[progress] * 3, "completed"]
    partials = [event for event in events if event.type == "image_edit.partial_image"]
    assert [event.partial_image_index for event in partials] == [0, 1]
    assert [opened(event.b64_json).size for event in partials] == [(64, 64)] * 2
    assert same(opened(events[-1].b64_json), mini.editor(photo_64, "make it night", seed=1, steps=6))
    assert events[-1].usage.total_tokens == 0 and events[-2].step == events[-2].steps == 6

    with client(address) as api:
        plain = list(api.images.edit(image=png(photo_64), prompt="make it night", stream=True, n=2,
                                     extra_body={"steps": 2, "seed": 5}))  # fmt: skip
        assert [(event.type, event.seed) for event in plain] == [("image_edit.completed", seed) for seed in (5, 6)]


def test_our_own_adapter_of_endpoints(listen, start, tiny_editor, pictures):
    address, _ = listen(start(), Settings(model="tiny"))
    editor = open_editor(f"{address}/v1#tiny?image_guidance_scale=2", "ours", None, "fp32", 2)
    made = editor.edit([Ask("a", pictures[0], "add a dog", 4), Ask("b", pictures[1], "add a car", 5)])
    assert same(made[0], tiny_editor(pictures[0], "add a dog", seed=4, image_guidance_scale=2.0))
    assert same(made[1], tiny_editor(pictures[1], "add a car", seed=5, image_guidance_scale=2.0))


def test_what_is_answered_says_that_it_was_edited(listen, start, pictures):
    address, _ = listen(start(), Settings(model="tiny"))
    asked = {"files": {"image": png(pictures[0])}, "data": {"prompt": "add a dog", "stream": "true",
             "partial_images": "1", "output_format": "jpeg", "output_compression": "30"}}  # fmt: skip
    lines = HTTP.post(f"{address}/v1/images/edits", **asked).text.splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [event["type"] for event in events] == ["image_edit.partial_image", "image_edit.completed"]
    files = [base64.b64decode(event["b64_json"]) for event in events]
    for content in files:
        assert opened(base64.b64encode(content)).format == "JPEG"
        assert b"compositeWithTrainedAlgorithmicMedia" in content and b"c2pa" in content and b"a dog" not in content
    finer = {**asked["data"], "stream": "false", "partial_images": "0", "output_compression": "95"}
    fine = HTTP.post(f"{address}/v1/images/edits", files=asked["files"], data=finer)
    assert len(base64.b64decode(fine.json()["data"][0]["b64_json"])) > len(files[1])


def test_what_the_policy_refuses_is_said_to_each_client(listen, start, pictures, tmp_path, caplog):
    caplog.set_level("INFO", "uip2p")
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "dogs"\nanswer = "No dogs here."\nany = ["dog"]\n')
    service = start(options={"check_prompt": load_policy(rules).check})
    address, _ = listen(service, Settings(model="tiny"))
    with pytest.raises(openai.BadRequestError, match="No dogs here") as refused:
        client(address).images.edit(image=png(pictures[0]), prompt="add a dog")
    assert refused.value.code == "content_policy_violation"
    (line,) = [record for record in caplog.records if record.message == "request"]
    assert (line.error, line.rule) == ("content_policy_violation", "dogs")
    ours = open_editor(f"{address}/v1#tiny", "ours", None, "fp32", 2)
    made = ours.edit([Ask("a", pictures[0], "add a dog", 4), Ask("b", pictures[1], "add a car", 5)])
    assert isinstance(made[0], Refused) and made[1].size == (32, 32)


# ---- what is wrong is said -----------------------------------------------------------------------


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


def test_fields_that_cannot_be_taken(ask, pictures):
    for fields, param, said in (
        ({"prompt": ""}, "prompt", "the instruction is empty"), ({"prompt": "x" * 3000}, "prompt", "at most 2000"),
        ({"n": "0"}, "n", "greater than or equal to 1"), ({"n": "99"}, None, "takes 1 to 8"),
        ({"seed": "x"}, "seed", "valid integer"), ({"seed": str(2**63)}, "seed", "less than"),
        ({"guidance_scale": "nan"}, "guidance_scale", ""), ({"steps": "1e9"}, "steps", ""),
        ({"nonsense": "1"}, "nonsense", "there is no field 'nonsense'"), ({"size": "32"}, "size", "match pattern"),
        ({"size": "64x32"}, "size", "keeps the picture's proportions"), ({"size": "99x99"}, "size", "megapixels"),
        ({"response_format": "url"}, "response_format", "Take b64_json"), ({"quality": "high"}, "quality", "'auto'"),
        ({"background": "transparent"}, "background", "'opaque'"), ({"output_format": "gif"}, "output_format", "webp"),
        ({"partial_images": "2"}, "partial_images", "give stream=true"), ({"caption": "a"}, "caption", "check=true"),
        ({"best_of": "2", "n": "2"}, "best_of", "leave n at 1"), ({"mask": "x"}, "mask", "takes no mask"),
        ({"seed": ["1", "2"]}, "seed", "there twice"), ({"check": "true"}, None, ""),
    ):  # fmt: skip
        answer = ask(fields)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, param), (fields, error)
        assert said in error["message"] and error["type"] == "invalid_request_error", error
        assert error["request_id"] == answer.headers["x-request-id"]
    answer = ask({"model": "../../etc"})
    assert answer.status_code == 404 and answer.json()["error"]["code"] == "model_not_found"
    for value in ("0", "x", "nan", "1e9"):
        assert "X-Request-Timeout" in ask(headers={"X-Request-Timeout": value}).json()["error"]["message"]
    assert ask.service.outcomes == {} and ask.service.working == 0


def test_no_answer_tells_a_folder_of_this_machine(ask, tiny_folder):
    """`tiny` is the last name of the model's folder."""
    for fields in ({"prompt": "a " * 900}, {"check": "true"}, {"check": "true", "reverse_prompt": "a " * 900}):
        said = ask(fields).json()["error"]["message"]
        assert "the model 'tiny'" in said and str(tiny_folder.parent) not in said


def test_files_that_cannot_be_taken(ask, pictures):
    one = png(pictures[0])
    for files, status, said in (
        ({"image": ("a.png", b"")}, 400, "not a picture"), ({"image": ("a.png", one[:60])}, 400, "damaged"),
        ({"image": ("a.png", png(pictures[0], "GIF"))}, 400, "Give a PNG, JPEG or WEBP"),
        ({"image": ("a.png", png(Image.new("RGB", (65, 64))))}, 400, "65×64 pixels"),
        ({"image": ("a.png", b"x" * 100_001)}, 413, "larger than 0.1 MB"),
        ({"image": (None, "text")}, 400, "as a file"),
        ({"nothing": ("a.png", one)}, 400, "nothing"), ({"prompt": ("a.png", one)}, 400, "this is a file"),
        ([("image[]", ("a.png", one)), ("image[]", ("b.png", one))], 400, "there are 2 images"),
        ([("image", ("a.png", one))] * 5, 400, "Too many files"),
    ):  # fmt: skip
        answer = ask(files=files)
        assert answer.status_code == status and said in answer.json()["error"]["message"], answer.text
    url = f"{ask.address}/v1/images/edits"
    assert HTTP.post(url, json={"prompt": "add a dog"}).status_code == 415
    assert "missing" in HTTP.post(url, files={"prompt": (None, "add a dog")}).json()["error"]["message"]
    for kind in ("multipart/form-data", "multipart/form-data; boundary=a"):
        broken = HTTP.post(url, content=b"--b\r\nx", headers={"Content-Type": kind})
        assert broken.status_code == 400 and broken.json()["error"]["type"] == "invalid_request_error"
    part = b'--a\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    endless = (part if i == 0 else b"x" * 1000 for i in range(200))
    chunks = HTTP.post(url, content=endless, headers={"Content-Type": kind})
    assert chunks.status_code == 413  # with no Content-Length to tell
    assert ask().status_code == 200


def test_errors_are_of_one_shape_on_every_path(ask):
    for method, path, status in (
        ("GET", "/nothing", 404), ("GET", "/v1/models/none", 404), ("GET", "/v1/images/edits", 405),
        ("DELETE", "/health", 405), ("POST", "/v1/images/generations", 404),
    ):  # fmt: skip
        answer = HTTP.request(method, ask.address + path, headers={"X-Request-ID": "my.id-1"})
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code", "request_id"}
        assert answer.headers["x-request-id"] == "my.id-1" and answer.headers["x-content-type-options"] == "nosniff"
    strange = HTTP.get(f"{ask.address}/health", headers={"X-Request-ID": "a b<c>"})
    assert strange.json() == {"status": "ok"} and strange.headers["x-request-id"] not in ("", "a b<c>")


def test_a_fault_is_in_the_log_and_not_in_the_answer(ask, monkeypatch, caplog):
    from uip2p.serving import edits

    def broken(*_):
        raise RuntimeError("a secret of the log")

    monkeypatch.setattr(edits, "begin", broken)
    answer = ask()
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    assert answer.json()["error"]["request_id"] in answer.json()["error"]["message"]
    assert "secret" in caplog.text


def test_a_full_queue_and_a_deadline(listen, start, gate, pictures):
    service = start(queue=1)
    address, _ = listen(service)
    files = {"image": ("a.png", png(pictures[0]))}

    async def ask():
        async with httpx.AsyncClient(base_url=f"{address}/v1", timeout=30, verify=False) as http:
            def post(**more):
                asked = http.post("/images/edits", data={"prompt": "add a dog"}, files=files, **more)
                return asyncio.create_task(asked)

            first = post(headers={"X-Request-Timeout": "1.5"})
            while not service.working:
                await asyncio.sleep(0.01)
            second = post()
            while not service.waiting:
                await asyncio.sleep(0.01)
            full = await post()
            late = await first
            gate.open.set()
            return full, late, await second

    full, late, second = asyncio.run(ask())
    assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
    assert int(full.headers["retry-after"]) >= 1
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline")
    assert second.status_code == 200


def test_a_stream_that_is_late_says_so(listen, start, gate, pictures):
    address, _ = listen(start())
    with client(address) as api, pytest.raises(openai.APIError, match="not done within"):
        list(api.images.edit(image=png(pictures[0]), prompt="add a dog", stream=True,
                             extra_headers={"X-Request-Timeout": "0.3"}))  # fmt: skip
    gate.open.set()


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
