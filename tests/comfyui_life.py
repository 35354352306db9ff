"""A ComfyUI that is there, started for a test: $COMFYUI is its folder, $COMFYUI_PYTHON the Python with its packages."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACK = ROOT / "integrations" / "comfyui"
WORKFLOWS = PACK / "api_workflows"
FOLDER, PYTHON = os.environ.get("COMFYUI", ""), os.environ.get("COMFYUI_PYTHON", sys.executable)
needs_comfyui = pytest.mark.skipif(
    not FOLDER, reason="COMFYUI names no folder: docs/integrations.md says how to get ComfyUI and run this"
)


class ComfyUI:
    def __init__(self, address: str):
        self.address = address

    def call(self, path: str, given: Any = None) -> Any:
        data = None if given is None else json.dumps(given).encode()
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self.address + path, data, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        return json.loads(text or "null")

    def queue(self, workflow: dict[str, Any]) -> str:
        answer = self.call("/prompt", {"prompt": workflow})
        assert answer.get("node_errors") == {}, answer
        return answer["prompt_id"]

    def result(self, job: str, seconds: float = 300) -> dict[str, Any]:
        """{"status", "outputs", "error": what the page shows}"""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.call(f"/history/{job}").get(job):
                status = found["status"]
                ends = ("execution_error", "execution_interrupted")
                said = [body for name, body in status["messages"] if name in ends]
                return {"status": status["status_str"], "outputs": found["outputs"], "said": said}
            time.sleep(0.1)
        raise TimeoutError(job)


@contextlib.contextmanager
def running(base: Path) -> Iterator[ComfyUI]:
    """With our nodes, and with what lies in `base`: input/, models/checkpoints/."""
    for name in ("custom_nodes", "input", "output", "models/checkpoints"):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "custom_nodes" / "uip2p").symlink_to(PACK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PYTHON, "main.py", "--cpu", "--force-fp32", "--listen", "127.0.0.1", "--port", str(port),
               "--base-directory", str(base), "--database-url", "sqlite:///:memory:",
               "--disable-api-nodes"]  # fmt: skip
    with (base / "log.txt").open("w") as log:
        env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        server = subprocess.Popen(command, cwd=FOLDER, env=env, stdout=log, stderr=subprocess.STDOUT)
        comfyui = ComfyUI(f"http://127.0.0.1:{port}")
        try:
            for _ in range(300):
                with contextlib.suppress(OSError):
                    comfyui.call("/queue")
                    break
                assert server.poll() is None, (base / "log.txt").read_text()[-2000:]
                time.sleep(0.5)
            yield comfyui
        finally:
            server.terminate()
            server.wait(30)
