"""The end of a process while a step of a slow model is being computed."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Ends as `uip2p ui` and `uip2p serve` do. The products stand for a step that takes longer than anybody waits.
SCRIPT = """
import sys, time
import torch
from PIL import Image
from uip2p.editing.editor import Editor
from uip2p.serving.asking import Request
from uip2p.serving.ports import leave
from uip2p.serving.service import Service

editor = Editor.from_pretrained(sys.argv[1], "cpu")
large, entered = torch.ones(2000, 2000), []

def slowly(*_):
    entered.append(1)
    for _ in range(100):
        large @ large

editor.parts.unet.register_forward_pre_hook(slowly)
service = Service(editor)
service.submit(Request(Image.new("RGB", (32, 32)), "make the car blue"))
while not entered:
    time.sleep(0.01)
print(service.drain(0.0))
leave()
"""


@pytest.mark.slow
def test_a_process_ends_well_in_the_midst_of_a_step(tiny_folder):
    """Without `leave` the interpreter aborts: SIGABRT."""
    asks = [sys.executable, "-c", SCRIPT, str(tiny_folder)]
    ended = subprocess.run(asks, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "False\n"), ended.stderr
