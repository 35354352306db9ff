"""recipes/serve_ray.py: the app of a replica; and two replicas, one of which is killed."""

from __future__ import annotations

import argparse
import asyncio
import io

import httpx
import pytest
import serve_ray
from PIL import Image

from uip2p.errors import UserError
from uip2p.serving.http import command, logs
from uip2p.serving.http.keys import new_key


def test_a_replica_serves_what_the_options_say(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "set_up", lambda: None)  # the log of the test run stays as it is
    key, line = new_key("alice")
    (tmp_path / "keys").write_text(line)
    args = serve_ray.parse(["--model", str(tiny_folder), "--device", "cpu", "--keys", str(tmp_path / "keys"),
                            "--host", "0.0.0.0", "--max-steps", "3", "--min-replicas", "2"])  # fmt: skip
    app = serve_ray.builder(args, serve_ray.check(args))()
    picture = io.BytesIO()
    Image.new("RGB", (40, 32), "orange").save(picture, "PNG")

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a.example") as client:
            asked = {"url": "/v1/images/edits", "files": {"image": picture.getvalue()}}
            edit = {"prompt": "make the car blue", "steps": 2}
            let_in = {"Authorization": f"Bearer {key}"}
            return [
                await client.get("/ready"), await client.post(**asked, data=edit),
                await client.post(**asked, data=edit, headers=let_in),
                await client.post(**asked, data={**edit, "steps": 4}, headers=let_in),
                await client.post(**asked, data={**edit, "prompt": "make her naked"}, headers=let_in),
            ]  # fmt: skip

    try:
        ready, stranger, edited, too_much, refused = asyncio.run(ask())
    finally:
        app.state.service.drain(0.0)
    assert (ready.status_code, stranger.status_code, edited.status_code) == (200, 401, 200)
    assert edited.json()["size"] == "40x32" and edited.json()["data"][0]["b64_json"]
    assert too_much.status_code == 400 and "1 to 3" in too_much.json()["error"]["message"]
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_policy_violation")
    assert (args.max_replicas, serve_ray.drain_seconds(args)) == (2, 125.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--min-replicas", "3", "--max-replicas", "2"], "--min-replicas 3, --max-replicas 2"),
        (["--min-replicas", "0"], "give at least 1"), (["--cpus", "-1"], "--cpus"), (["--port", "0"], "--port 0"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0 is for others"), (["--queue", "0"], "--queue is 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_ray_starts(options, said, monkeypatch):
    monkeypatch.delenv("UIP2P_API_KEYS", raising=False)
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        serve_ray.run(serve_ray.parse(options))


def test_its_options_are_those_of_the_verb():
    verb = argparse.ArgumentParser()
    command.add_arguments(verb)
    options = set(vars(verb.parse_args([]))) - {"new_key"}
    assert options < set(vars(serve_ray.parse([])))


@pytest.mark.slow
def test_no_request_is_lost_with_a_replica():
    import serving_ray

    found = serving_ray.ray(requests=30, clients=6, steps=30)
    assert found["replicas"] == 2 and found["answered_at_the_kill"] < 30
    assert found["outcomes"] == {"200": 30} and found["tries"]["200"] == 30
    assert set(found["tries"]) <= {"200", "500", "503"}  # a dead replica's requests are told so, not left hanging
    assert not any("Traceback" in each for each in found["5xx_say"])
    assert found["sigterm"]["status"] == 200 and found["sigterm"]["exit_code"] == 0
    assert found["sigterm"]["processes_left"] == 0
