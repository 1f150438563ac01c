"""schemathesis: hundreds of requests made from the OpenAPI document, and every answer held against that document."""

import collections
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from echo_server import ASYNC, Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
EXECUTIONS = 8
"""Valid executions of a process: each of them starts a process of the server's."""
CASES = 30
"""Cases of anything else."""
LONGEST_PAUSE = 0.1
"""Seconds; longer ones are cut, or the test would mostly wait."""
LONGEST_ANSWER = 60
"""Seconds; schemathesis's own ten are few where other work keeps the processors busy."""

Counts = collections.Counter[tuple[str, int]]


def cases(operation: Any, client: Client) -> Iterator[tuple[Any, int]]:
    """Return strategies for an operation, right and wrong requests, and how many of each to make."""
    right, wrong = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    is_execution = operation.path.endswith("/execution")
    yield operation.as_strategy(generation_mode=right), EXECUTIONS if is_execution else CASES
    if operation.query or operation.body:  # a path alone is right whatever it is
        yield operation.as_strategy(generation_mode=wrong), CASES
    if "{jobId}" in operation.path:  # and of a job that is there
        accepted = client.execute({"message": "x"}, ASYNC)
        client.finished(accepted)
        known = {"jobId": accepted.json()["jobID"], "outputId": "message"}
        yield operation.as_strategy(generation_mode=right, path_parameters=known), CASES


def tame(body: Any) -> None:
    """Let no execution wait long or speak to other hosts."""
    if not isinstance(body, dict):
        return
    body.pop("subscriber", None)
    inputs = body.get("inputs")
    if isinstance(inputs, dict):
        for name, value in list(inputs.items()):
            pause = value.get("value") if isinstance(value, Mapping) else value
            if name == "pause" and isinstance(pause, int | float):
                inputs[name] = min(pause, LONGEST_PAUSE)


def ask(strategy: Any, most: int, seen: Counts) -> None:
    """Make requests and check the answers."""

    @settings(
        max_examples=most,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a failure is told as found: to shrink it takes many more executions
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def make(case: schemathesis.Case) -> None:
        tame(case.body)
        answer = case.call(timeout=LONGEST_ANSWER)
        seen[case.operation.label, answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    make()


@pytest.fixture(scope="module")
def seen() -> Iterator[Counts]:
    """Return the counts of answers by operation and status, of all tests together."""
    counts: Counts = collections.Counter()
    yield counts
    for (label, status), count in sorted(counts.items()):
        print(f"{count:4d} x {status} {label}")


def test_every_answer_is_as_the_document_says(url: str, client: Client, seen: Counts) -> None:
    schema = schemathesis.openapi.from_dict(httpx.get(f"{url}/openapi", trust_env=False).json())
    schema.config.update(base_url=url)
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        for strategy, most in cases(operation, client):
            ask(strategy, most, seen)
    assert {label for label, _ in seen} == {operation.label for operation in operations}
    assert sum(seen.values()) >= 500, seen
