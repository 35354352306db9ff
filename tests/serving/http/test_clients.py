"""The HTTP API as its users call it: OpenAI's own client, the project's own, curl's kind."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import numpy as np
import openai
import pytest
from http_asking import HTTP, client, opened, png, same
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.evaluate.asking import Ask, Refused
from uip2p.evaluate.editors.endpoint import open_editor
from uip2p.safety.policy import load_policy
from uip2p.serving.http.server import Settings
from uip2p.serving.service import Service


@pytest.fixture(scope="module")
def mini():
    service = Service(Editor.from_pretrained("mini", "cpu"))
    yield service
    service.drain(0.0)


@pytest.fixture
def photo_64() -> Image.Image:
    y, x = np.mgrid[:64, :64]
    return Image.fromarray(np.stack([3 * x, 2 * y, 255 - x], -1).astype(np.uint8))


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
