"""The API's own description turned against it: requests right and wrong, with pictures good and bad."""

from __future__ import annotations

from collections import Counter

import fuzz_pictures  # noqa: F401  (teaches schemathesis what a picture is)
import hypothesis
import pytest
import schemathesis

from uip2p.serving.http.server import Settings, application


@pytest.mark.parametrize("examples", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_no_request_of_the_schema_is_a_fault(tiny_service, examples):
    schema = schemathesis.openapi.from_asgi("/openapi.json", application(tiny_service, Settings(model="tiny")))
    statuses = {operation.ok().label: fuzz(operation.ok(), examples) for operation in schema.get_all_operations()}
    assert {"POST /v1/images/edits", "GET /v1/models", "GET /metrics"} <= statuses.keys()
    assert not [label for label, counted in statuses.items() if any(status >= 500 for status in counted)], statuses
    assert {200, 400} <= statuses["POST /v1/images/edits"].keys(), statuses  # past the decoder, and not


def fuzz(operation, examples: int) -> Counter[int]:
    """The statuses of so many requests, half of them wrong by intention."""
    statuses = Counter[int]()

    @hypothesis.settings(max_examples=examples, deadline=None, database=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    @hypothesis.given(case=operation.as_strategy() | operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
    def ask(case):
        statuses[case.call().status_code] += 1

    ask()
    return statuses
