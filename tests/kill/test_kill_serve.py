"""A server that is told to stop during a job: the job is answered, and the process ends by itself."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
from PIL import Image


def test_a_job_is_answered_and_the_process_ends(tiny_folder, tmp_path):
    log, answers = tmp_path / "log", list[httpx.Response]()
    options = ["--port", "0", "--device", "cpu", "--model", str(tiny_folder)]
    command = [sys.executable, "-m", "uip2p.cli", "serve", *options]
    with open(log, "wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        address = until(lambda: re.match(r"http://[\d.:]+", log.read_text()), process)[0]
        with httpx.Client(base_url=address, timeout=60) as client:
            until(lambda: client.get("/ready").status_code == 200, process)
            asked = {"files": {"image": png(Image.new("RGB", (32, 32)))},
                     "data": {"prompt": "make the car blue", "steps": 60}}  # fmt: skip
            asking = threading.Thread(target=lambda: answers.append(httpx.post(f"{address}/v1/images/edits", **asked,
                                                                               timeout=60)))  # fmt: skip
            asking.start()
            until(lambda: "uip2p_in_work 1.0" in client.get("/metrics").text, process)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            assert time.monotonic() - began < 10
            asking.join(5)
    finally:
        process.kill()
    assert answers[0].status_code == 200, answers[0].text


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def until(found, process, seconds: float = 120.0):
    ends = time.monotonic() + seconds
    while not (value := found()):
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.02)
    return value
