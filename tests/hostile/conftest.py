import sys
from pathlib import Path

import pytest

from uip2p.editing.editor import Editor
from uip2p.serving.asking import Limits
from uip2p.serving.service import Service

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # hostile.py, fuzz_pictures.py: what is sent


@pytest.fixture
def tiny_service(tiny_folder):
    """A tiny model with a queue of 8."""
    service = Service(Editor.from_pretrained(tiny_folder, "cpu"), Limits(queue=8, batch=8, deadline=30))
    yield service
    service.drain(0.0)
