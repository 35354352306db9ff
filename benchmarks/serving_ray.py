"""serving.py's part `ray`: two replicas of recipes/serve_ray.py, one killed under load."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hostile
import httpx
import openai
import psutil
from served import Server, server, wait_until

RECIPE = Path(__file__).parents[1] / "recipes" / "serve_ray.py"


class Counted(httpx.HTTPTransport):
    """Counts each try by its status, or by what broke it; `bodies` keeps what a 5xx says."""

    def __init__(self) -> None:
        super().__init__()
        self.tries: Counter[str] = Counter()
        self.bodies: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = super().handle_request(request)
            if answer.status_code >= 500:
                self.bodies.add(answer.read().decode(errors="replace")[:300])
        except httpx.TransportError as error:
            self.tries[type(error).__name__] += 1
            raise
        self.tries[str(answer.status_code)] += 1
        return answer


def replicas(running: Server) -> list[psutil.Process]:
    """Their processes: Ray names them."""
    found = []
    for process in running.children():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and "ServeReplica" in "".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def ray(requests: int = 30, clients: int = 6, steps: int = 100) -> dict[str, Any]:
    """`clients` of OpenAI's, which ask again as they do by themselves (but up to 8 times), until `requests` are
    answered. With a third of them answered, a replica is killed. Then SIGTERM during a job."""
    transport, content = Counted(), hostile.picture()
    outcomes, seconds = list[str](), list[float]()
    options = ("--min-replicas", "2", "--cpus", "0.5", "--device", "cpu")
    with server(*options, program=(str(RECIPE),), patience=300) as running:
        at_first = replicas(running)
        api = openai.OpenAI(
            base_url=f"{running.url}/v1", api_key=running.key, max_retries=8, timeout=120,
            http_client=httpx.Client(transport=transport, timeout=120),
        )  # fmt: skip

        def one(number: int) -> None:
            began = time.monotonic()
            try:
                more = {"seed": number, "steps": steps}
                answer = api.images.edit(image=content, prompt="make it night", extra_body=more)
                outcomes.append("200" if answer.data else "empty")
            except openai.APIStatusError as error:
                outcomes.append(str(error.status_code))
            except openai.APIError as error:
                outcomes.append(type(error).__name__)
            seconds.append(time.monotonic() - began)

        with ThreadPoolExecutor(clients) as several:
            asked = [several.submit(one, number) for number in range(requests)]
            wait_until(lambda: len(outcomes) >= requests // 3, 300, running.log)
            at_first[0].kill()
            killed = time.monotonic()
            done_by_then = len(outcomes)
            wait_until(lambda: len({each.pid for each in replicas(running)} - {at_first[0].pid}) == 2, 120, running.log)
            replaced = time.monotonic()
            for each in asked:
                each.result(600)
        found = {
            "requests": requests, "clients": clients, "replicas": len(at_first), "answered_at_the_kill": done_by_then,
            "outcomes": dict(Counter(outcomes)), "tries": dict(sorted(transport.tries.items())),
            "5xx_say": sorted(transport.bodies), "replaced_s": replaced - killed,
            "longest_s": max(seconds),
        }  # fmt: skip
        return found | {"sigterm": _ended(running, content, steps)}


def _ended(running: Server, content: bytes, steps: int) -> dict[str, Any]:
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(running.edit(content, steps=steps, n=4)))
    before = sum(each.cpu_times().user for each in replicas(running))
    asking.start()
    wait_until(lambda: sum(each.cpu_times().user for each in replicas(running)) > before + 0.5, 60, running.log)
    running.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    left = running.children()
    code = running.process.wait(120)
    seconds = time.monotonic() - began
    asking.join(5)
    _, alive = psutil.wait_procs(left, 10)
    for each in alive:
        each.kill()
    return {"status": answers[0].status_code if answers else None, "exit_code": code, "exit_s": seconds,
            "processes_left": len(alive)}  # fmt: skip
