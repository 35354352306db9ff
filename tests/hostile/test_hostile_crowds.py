"""More clients than there is room for, more requests than one would count, and keys that are guessed."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections import Counter

import hostile
import httpx
import torch
from PIL import Image

from uip2p.provenance.writer import Writer
from uip2p.serving.http.door import Door
from uip2p.serving.http.keys import new_key, parse_keys
from uip2p.serving.http.server import Settings, application
from uip2p.serving.job import Job

EDITS = "/v1/images/edits"


def asking(app) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=30)


async def edit(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await client.post(EDITS, files={"image": content}, data={"prompt": "make the car blue", "steps": 1})


def test_of_sixty_clients_each_is_answered_or_told_when_to_come_back(tiny_service):
    app, let_go = application(tiny_service, Settings()), threading.Event()
    hold = tiny_service.editor.parts.unet.register_forward_pre_hook(lambda *_: let_go.wait(20) and None)
    content, answers = hostile.picture(size=(32, 32)), list[httpx.Response]()

    async def one(client: httpx.AsyncClient) -> None:
        answers.append(await edit(client, content))
        if sum(answer.status_code == 429 for answer in answers) >= 60 - 8 - 8:  # all but a batch and the queue
            let_go.set()

    async def crowd() -> httpx.Response:
        async with asking(app) as client:
            await asyncio.wait_for(asyncio.gather(*(one(client) for _ in range(60))), 30)
            return await edit(client, content)

    after = asyncio.run(crowd())
    hold.remove()
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {200, 429} and statuses.total() == 60 and 8 < statuses[200] <= 16
    told = [answer for answer in answers if answer.status_code == 429]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in told)
    assert {answer.json()["error"]["code"] for answer in told} == {"queue_full"}
    assert after.status_code == 200 and tiny_service.waiting == 0 == tiny_service.working


def test_a_crowd_of_large_bodies_is_not_held_all_at_once(tiny_service):
    app, most = application(tiny_service, Settings(max_body=200_000)), 25 * 200_000
    door = next(layer for layer in layers(app) if isinstance(layer, Door))
    held, together = list[int](), asyncio.Event()

    async def slowly():
        """A form that stays open until everybody has sent as much as they may."""
        yield b'--a\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + bytes(150_000)
        held.append(door.held.bytes)
        await together.wait()
        yield b"\r\n--a--\r\n"

    async def one(client: httpx.AsyncClient) -> httpx.Response:
        form = {"Content-Type": "multipart/form-data; boundary=a"}
        answer = await client.post(EDITS, content=slowly(), headers=form)
        together.set()  # the first that is told to come back
        return answer

    async def crowd() -> list[httpx.Response]:
        async with asking(app) as client:
            return await asyncio.wait_for(asyncio.gather(*(one(client) for _ in range(60))), 30)

    answers = asyncio.run(crowd())
    assert Counter(answer.status_code for answer in answers).keys() == {400, 429}  # there is no prompt
    assert max(held) <= most + 200_000 and door.held.bytes == 0


def test_answers_are_written_two_at_a_time(tiny_service, monkeypatch):
    """A crowd's pictures, each of which takes much memory to write."""
    at_once, most, encode = [0], [0], Writer.encode

    def counted(*args, **more):
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        try:
            return encode(*args, **more)
        finally:
            at_once[0] -= 1

    monkeypatch.setattr(Writer, "encode", counted)
    app, content = application(tiny_service, Settings()), hostile.picture(size=(32, 32))

    async def several() -> list[httpx.Response]:
        async with asking(app) as client:
            return await asyncio.gather(*(edit(client, content) for _ in range(6)))

    assert {answer.status_code for answer in asyncio.run(several())} == {200} and most[0] == 2


def layers(app):
    """From the outermost in."""
    layer = app.middleware_stack or app.build_middleware_stack()
    app.middleware_stack = layer
    while layer is not None:
        yield layer
        layer = getattr(layer, "app", None)


def test_many_requests_leave_nothing_behind(tiny_service):
    """What thirty pictures of all sizes, good and bad, leave alive. Resident memory is for
    benchmarks/serving.py memory."""
    app, rng = application(tiny_service, Settings()), random.Random(0)
    contents = [hostile.picture(rng.choice(["PNG", "JPEG", "WEBP"]), (rng.randint(12, 96), rng.randint(12, 96)))
                for _ in range(30)]  # fmt: skip
    contents += [hostile.MAKERS["truncated.png"](), hostile.MAKERS["1x1.png"]()]
    statuses = Counter[int]()

    async def several(count: int) -> None:
        async with asking(app) as client:
            for start in range(0, count, 5):
                answers = await asyncio.gather(*(edit(client, contents[(start + i) % len(contents)]) for i in range(5)))
                statuses.update(answer.status_code for answer in answers)

    asyncio.run(several(10))
    before = settled({})
    asyncio.run(several(30))
    assert statuses.keys() == {200, 400} and statuses[200] > 30
    assert settled(before) == before and before["Job"] == 0


def settled(wanted: dict[str, int]) -> dict[str, int]:
    """What is alive once it is what is wanted; else after two seconds, when the worker has put its last batch away."""
    ends = time.monotonic() + 2
    while (found := alive()) != wanted and time.monotonic() < ends:
        time.sleep(0.05)
    return found


def alive() -> dict[str, int]:
    gc.collect()
    found = gc.get_objects()
    kinds = (Job, torch.Tensor, Image.Image)
    return {kind.__name__: sum(issubclass(type(each), kind) for each in found) for kind in kinds}


def test_no_answer_tells_how_right_a_key_was(tiny_service):
    key, line = new_key("alice")
    _, other = new_key("bob")
    app = application(tiny_service, Settings(keys=parse_keys(f"{line}\n{other}", "keys")))
    guesses = [None, "", "Bearer", "Bearer ", "Basic YTpi", f"bearer{key}", *(
        f"Bearer {guess}" for guess in ("x", key[:-1], key + "A", key.swapcase(), key[::-1], line, "é", "x" * 5000)
    )]  # fmt: skip

    async def ask() -> list[httpx.Response]:
        async with asking(app) as client:
            paths = [("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/v1/models/none"), ("POST", EDITS)]
            return [
                await client.request(method, path, headers=[] if guess is None else [("Authorization", guess.encode())])
                for guess in guesses for method, path in paths
            ]  # fmt: skip

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {401}
    said = set()
    for answer in answers:
        number = answer.headers.pop("x-request-id")
        said.add((answer.text.replace(number, "-"), tuple(sorted(answer.headers.items()))))
    assert len(said) == 1

    async def right() -> httpx.Response:
        async with asking(app) as client:
            return await client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})

    assert asyncio.run(right()).status_code == 200
