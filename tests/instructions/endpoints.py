"""OpenAI-compatible servers on loopback: one whose every answer a test decides, and one that fails by a plan.

They speak HTTP as a real one does, keep every request, and know nothing of the code under test."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


@dataclass
class Answer:
    """status, headers, body: of HTTP. delay: seconds before it. body: what is sent, JSON where it is not bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class Server(ThreadingHTTPServer):
    """answer: (number of the call, request) → Answer. requests: all of them, in the order of their coming, and when
    they came, with which headers (their names in lower case)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer], handler: type[Handler] | None = None):
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.answer = answer
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.now = self.most = 0  # calls at a time

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or waited no longer, is none of the server's errors."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        request = self.read(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            number = len(server.requests)
            server.requests.append(request)
            server.times.append(time.monotonic())
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            answer = server.answer(number, request)
            time.sleep(answer.delay)
        finally:
            with server.lock:
                server.now -= 1
        self.reply(answer)

    def read(self, body: bytes) -> dict[str, Any]:
        return json.loads(body)

    def reply(self, answer: Answer) -> None:
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        usual = {"content-type": "application/json", "content-length": str(len(data))}
        for name, value in {**usual, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


S = TypeVar("S", bound=Server)


def serve(answer: Callable[[int, dict[str, Any]], Answer]) -> AbstractContextManager[Server]:
    return running(Server(answer))


@contextmanager
def running(server: S) -> Iterator[S]:
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(request: dict[str, Any]) -> dict[str, Any]:
    """The question of a request: the JSON object of its last message."""
    return json.loads(request["messages"][-1]["content"])


def completion(text: str, finish: str = "stop", tokens: tuple[int, int] = (100, 20), **message: Any) -> Answer:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    about = {"id": "c", "object": "chat.completion", "created": 0, "model": "m"}
    return Answer({**about, "choices": [choice], "usage": usage})


def refusal(status: int, message: str, headers: dict[str, str] | None = None, **error: Any) -> Answer:
    return Answer({"error": {"message": message, "type": "error", **error}}, status, headers or {})


# ---- a model that knows one trick ---------------------------------------------------------------------

COLORS = ("red", "blue", "green", "white", "black", "yellow", "brown", "gray", "orange", "purple")
THINGS = ("car", "boat", "bench", "door", "dress", "umbrella", "chair", "bicycle", "truck", "jacket")
PLACES = ("park", "street", "garden", "harbor", "forest", "kitchen", "station", "beach", "field", "yard")


def captions(count: int) -> list[str]:
    """Up to 1,000 different captions, each of which `recolor` can edit."""
    every = [f"A {color} {thing} in a {place}" for place in PLACES for thing in THINGS for color in COLORS]
    return every[:count]


def recolor(caption: str, which: int = 1) -> dict[str, str]:
    """A right edit of one of `captions`: another colour."""
    _, color, thing, *place = caption.split()
    other = COLORS[(COLORS.index(color) + which) % len(COLORS)]
    return {
        "kind": "color",
        "instruction": f"make the {color} {thing} {other}",
        "edited_caption": " ".join(["A", other, thing, *place]),
        "reverse_instruction": f"make the {other} {thing} {color}",
    }


def right(request: dict[str, Any]) -> Answer:
    question = asked(request)
    return completion(json.dumps({"edits": [recolor(question["caption"], 1 + n) for n in range(question["edits"])]}))


# ---- a server that fails by a plan --------------------------------------------------------------------

FAULTS = ("busy", "broken", "silent", "garbage", "prose", "cut", "schema", "duplicates")


@dataclass
class Plan:
    """Call k fails, or not, as the seed has it. silence: how long a silent call lasts. counts: what was answered."""

    seed: int
    share: float = 0.3
    silence: float = 1.0
    counts: Counter = field(default_factory=Counter)

    def fault(self, number: int) -> str:
        draw = random.Random(f"{self.seed} {number}")
        return draw.choice(FAULTS) if draw.random() < self.share else ""

    def __call__(self, number: int, request: dict[str, Any]) -> Answer:
        fault, answer = self.fault(number), right(request)
        self.counts[fault] += 1
        text = answer.body["choices"][0]["message"]["content"]
        match fault:
            case "":
                return answer
            case "busy":
                date = formatdate(time.time() + 1, usegmt=True)
                return refusal(429, "slow down", {"retry-after": "0.05" if number % 2 else date})
            case "broken":
                return refusal(500 + number % 4, "something broke")
            case "silent":
                answer.delay = self.silence
                return answer
            case "garbage":
                return Answer(b'{"choices": [{"index": 0, "mess', headers={"content-type": "application/json"})
            case "prose":
                return completion("Sure! I would make it blue.")
            case "cut":
                return completion(text[: text.index('"edited_caption"') + 24], finish="length")
            case "schema":
                return completion(text.replace("edited_caption", "caption").replace('"color"', "7"))
            case "duplicates":
                twice = json.loads(text)["edits"]
                return completion(json.dumps({"edits": twice + twice}))
        raise AssertionError(fault)
