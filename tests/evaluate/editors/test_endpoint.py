"""Editors behind POST /v1/images/edits, of a real server on loopback."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from asks import OTHER, TEXT, apart, furthest, picture, three_asks
from endpoints import Answer, refusal
from image_server import edited, inside, png, right, serve

from uip2p.editing.editor import Editor as Model
from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Refused, Sampling
from uip2p.evaluate.editors import Editor, open_editor, require
from uip2p.evaluate.editors.endpoint import Endpoint
from uip2p.images import load_image

pytest.importorskip("openai")
ASK = Ask("327/x", picture(1), TEXT, 11)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")


def quick(url: str, options: str = "") -> Endpoint:
    return replace(open_editor(f"endpoint:{url}#painter{options}", batch_size=4), pause=0.01)


def test_answers_come_in_order_whoever_is_asked_beside_and_however_slow_they_are():
    def slow(number, form):
        return replace(inside(edited(form)), delay=0.1 if number == 0 else 0)

    with serve(slow) as server:
        editor, asks = quick(server.base_url), three_asks()
        assert isinstance(editor, Editor)
        together = editor.edit(asks)
        assert furthest(together, [editor.edit([ask])[0] for ask in asks]) == 0
        expected = [{"image": ask.image, "prompt": ask.instruction, "seed": ask.seed} for ask in asks]
        assert furthest(together, [edited(form) for form in expected]) == 0
        assert apart(editor.edit([replace(ASK, seed=12)])[0], together[0]) > 0
        assert apart(editor.edit([replace(ASK, instruction=OTHER)])[0], together[0]) > 0
        assert all(headers["authorization"] == "Bearer secret-key" for headers in server.headers)


def test_the_shipped_editor_behind_an_endpoint():
    mini = Model.from_pretrained("mini", "cpu")

    def edit(_, form):
        return inside(mini(load_image(form["image"]), form["prompt"], seed=int(form["seed"]), steps=int(form["steps"])))

    with serve(edit) as server:
        made = quick(server.base_url, "?steps=2").edit([replace(ASK, instruction="make the car blue")])
    assert apart(made[0], mini(ASK.image, "make the car blue", seed=ASK.seed, steps=2)) <= 1


def test_what_its_moderation_stops_is_refused_and_the_rest_is_answered():
    def strict(number, form):
        stopped = form["prompt"] == OTHER
        return refusal(400, "not this", code="moderation_blocked") if stopped else inside(edited(form))

    with serve(strict) as server:
        asks = [ASK, replace(ASK, key="327/y", instruction=OTHER), replace(ASK, key="327/z", seed=2)]
        found = quick(server.base_url).edit(asks)
    assert isinstance(found[1], Refused) and "not this" in found[1].why
    expected = [edited({"image": ASK.image, "prompt": TEXT, "seed": seed}) for seed in (11, 2)]
    assert furthest([found[0], found[2]], expected) == 0


def test_a_request_has_what_the_options_say():
    both = threading.Barrier(2)

    def two_at_a_time(number, form):
        both.wait(30)
        return right(number, form)

    with serve(two_at_a_time) as server:
        editor = quick(server.base_url, "?size=1024x1024&quality=high&num_inference_steps=28&concurrency=2")
        editor.sampled(Sampling(size=16, steps=100, scheduler="ddim")).edit([ASK] * 6)
        assert server.most == 2
        form = server.requests[0]
        assert form.pop("image").size == (16, 16)
        assert form == {"model": "painter", "prompt": TEXT, "n": "1", "seed": "11", "size": "1024x1024",
                        "quality": "high", "num_inference_steps": "28"}  # fmt: skip
        assert editor.describe() == {
            "adapter": "endpoint", "url": server.base_url, "model": "painter", "seed": True,
            "request": {"size": "1024x1024", "quality": "high", "num_inference_steps": 28},
            "sampling": dict.fromkeys(("steps", "guidance_scale", "image_guidance_scale", "scheduler", "size")),
        }  # fmt: skip
        small = editor.sampled(Sampling(size=16, steps=100))
        assert small.describe()["sampling"] == editor.describe()["sampling"] | {"size": 16}
        json.dumps(small.describe())
        require(editor, "size")
        with pytest.raises(UserError, match="its steps cannot be set"):
            require(editor, "steps")
        assert editor.round_trip() is None


def test_a_picture_that_lies_elsewhere_is_fetched_without_the_key():
    with serve(lambda *_: Answer({"created": 0, "data": [{"url": "/files/a.png"}]})) as server:
        server.files["/files/a.png"] = png(picture(5))
        assert apart(quick(server.base_url).edit([ASK])[0], picture(5)) == 0
        assert "authorization" not in server.fetched[0]
    for url in ("file:///etc/hostname", "ftp://127.0.0.1/x"):
        away = Answer({"created": 0, "data": [{"url": url}]})
        with serve(lambda *_, away=away: away) as server, pytest.raises(UserError, match="no address on the web"):
            quick(server.base_url, "?tries=1").edit([ASK])


def test_faults_are_outlived():
    """Each question fails in another way at first: limits, a fault, a cut picture, no JSON, no picture at all."""
    faults = [
        refusal(429, "slow down", {"retry-after": "0.2"}), refusal(500, "oh"), refusal(503, "busy"),
        Answer({"created": 0, "data": [{"b64_json": inside(picture(1)).body["data"][0]["b64_json"][:80]}]}),
        Answer(b"<html>", 200), Answer({"created": 0, "data": []}), Answer({"created": 0, "data": [{"b64_json": "%"}]}),
    ]  # fmt: skip

    def failing(number, form):
        return faults[number] if number < len(faults) else right(number, form)

    with serve(failing) as server:
        editor = quick(server.base_url, "?concurrency=1&tries=8")
        made = editor.edit([ASK])
        assert apart(made[0], edited(server.requests[-1])) == 0
        assert len(server.requests) == len(faults) + 1
        assert server.times[1] - server.times[0] >= 0.2  # what the server asked for


def test_who_stays_silent_is_asked_again_and_then_named():
    with serve(lambda number, form: replace(right(number, form), delay=1.5 if number == 0 else 0)) as server:
        assert len(quick(server.base_url, "?timeout=1").edit([ASK])) == 1
        url = server.base_url
    with pytest.raises(UserError, match=r"327/x: no edit in 2 tries \(no connection"):
        quick(url, "?tries=2").edit([ASK])


@pytest.mark.parametrize("answer, message", [
    (refusal(401, "bad key secret-key"), r"does not let us in \(.*bad key ….*OPENAI_API_KEY"),
    (refusal(404, "no such model"), r"has no model 'painter' that edits"),
    (refusal(402, "pay"), "wants to be paid first"),
    (refusal(429, "quota", code="insufficient_quota"), "wants to be paid first"),
    (refusal(429, "later", {"retry-after": "9000"}), "asks to wait for 9000 s"),
    (refusal(400, "Unknown parameter: 'seed'"), "give the option seed=no"),
    (refusal(400, "a picture of too many pixels"), r"327/x: refused, HTTP 400: .*too many pixels"),
])  # fmt: skip
def test_what_no_other_try_would_change_is_said_at_once(answer, message):
    with serve(lambda *_: answer) as server:
        with pytest.raises(UserError, match=message) as said:
            quick(server.base_url, "?concurrency=1").edit([ASK, ASK, ASK])
        assert "secret-key" not in str(said.value)
        assert len(server.requests) == 1


def test_a_server_without_seeds():
    with serve(right) as server:
        editor = quick(server.base_url, "?seed=no")
        editor.edit([ASK])
        assert "seed" not in server.requests[0] and editor.describe()["seed"] is False


def test_a_local_server_needs_no_key_and_another_variable_may_hold_it(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("PAINTERS_KEY", "other")
    with serve(right) as server:
        assert np.asarray(quick(server.base_url).edit([ASK])[0]).std() > 0
        quick(server.base_url, "?key=PAINTERS_KEY").edit([ASK])
        assert [headers["authorization"] for headers in server.headers] == ["Bearer none", "Bearer other"]


@pytest.mark.parametrize("spec, message", [
    ("endpoint:localhost:8000#m", "give an address"), ("endpoint:http://h/v1", "give an address and a model"),
    ("endpoint:http://me:pass@h/v1#m", "holds a password"), ("endpoint:http://h/v1#m?n=4", "n is not an option"),
    ("endpoint:http://h/v1#m?seed=7", "give yes or no"), ("endpoint:http://h/v1#m?tries=none", "tries is 'none'"),
])  # fmt: skip
def test_a_bad_spec_is_named(spec, message):
    with pytest.raises(UserError, match=message):
        open_editor(spec)
