"""The writer on vLLM, as far as it goes without vLLM and a GPU: what the engines are asked, and how answers are read."""

from __future__ import annotations

import json

import pytest

from uip2p.errors import UserError
from uip2p.instructions.answers import schema, write
from uip2p.instructions.vllm import BACK, VllmConfig, VllmWriter
from uip2p.instructions.writer import Edit
from uip2p.records import Caption

CAPTION = Caption("1.jpg", "1.jpg", "A red car on a street")
EDIT = Edit("color", "make the car blue", "A blue car on a street", "make the car red")


def answer(**changes) -> dict:
    values = (7, write([EDIT], "full"), 812, 60, "")
    return {**dict(zip(BACK, values, strict=True)), **changes}


def test_answers_are_read_as_those_of_the_other_writers():
    writer = VllmWriter(VllmConfig())
    written = writer.read(answer(), CAPTION, "full")
    assert written.row == 7 and written.edits == (EDIT,) and (written.tokens_in, written.tokens_out) == (812, 60)
    assert "no valid answer" in writer.read(answer(generated_text="Sure!"), CAPTION, "full").error
    assert "too long" in writer.read(answer(__inference_error__="prompt too long"), CAPTION, "full").error


@pytest.mark.parametrize("mode", ["full", "reverse"])
def test_the_engine_is_held_to_the_schema_of_the_answer(mode):
    sampling = VllmWriter(VllmConfig(temperature=0.3, max_tokens=99)).sampling(mode)
    assert sampling == {"temperature": 0.3, "max_tokens": 99, "structured_outputs": {"json": schema(mode)}}
    assert json.loads(json.dumps(sampling)) == sampling


def test_rays_own_classes_take_the_config():
    pytest.importorskip("ray.data.llm", reason="Ray's LLM part needs aiohttp", exc_type=ImportError)
    engines = VllmWriter(VllmConfig(model="owner/model", replicas=3, gpus=2, batch_size=16)).engines()
    assert engines.model_source == "owner/model" and engines.concurrency == 3 and engines.batch_size == 16
    assert engines.engine_kwargs["tensor_parallel_size"] == 2 and engines.should_continue_on_error


def test_wrong_numbers_are_refused():
    with pytest.raises(UserError, match="replicas is 0"):
        VllmConfig(replicas=0)
