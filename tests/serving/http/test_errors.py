"""What cannot be taken is said, in one shape, and what is a fault of ours is not."""

from __future__ import annotations

import asyncio

import httpx
import openai
import pytest
from http_asking import HTTP, client, png
from PIL import Image

from uip2p.provenance.signer import Signer
from uip2p.provenance.writer import Writer
from uip2p.serving.http.server import Settings


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
    from uip2p.serving.http import edits

    def broken(*_):
        raise RuntimeError("a secret of the log")

    monkeypatch.setattr(edits, "begin", broken)
    answer = ask()
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    assert answer.json()["error"]["request_id"] in answer.json()["error"]["message"]
    assert "secret" in caplog.text


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_signature_that_cannot_be_made_is_no_fault_of_who_asks(listen, start, pictures, caplog, stream):
    broken = Writer(signer=Signer(b"no certificate", b"no key"))
    address, _ = listen(start(options={"writer": broken}), Settings(model="tiny"))
    answer = HTTP.post(f"{address}/v1/images/edits", files={"image": png(pictures[0])},
                       data={"prompt": "add a dog", "stream": stream})  # fmt: skip
    assert answer.status_code == (200 if stream == "true" else 500)  # a stream has begun
    assert '"internal_error"' in answer.text and "certificate" not in answer.text and "b64_json" not in answer.text
    assert "check the certificate" in caplog.text


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
