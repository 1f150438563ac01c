"""The image of the Dockerfile, built once; what was measured stands in the summary."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from containers import SAFE, STAND_IN, Image, build, container, wait_ready, why_not

from escape_process.jobs.serve import free_port

MEASURED: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("container")
        for line in MEASURED:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def image() -> Image:
    """Build the image for the CPU, twice: the second time everything is there."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    MEASURED.append(f"base: {STAND_IN}")
    built = build("localhost/escape:test")
    MEASURED.append(
        f"image: {built.megabytes:.0f} MB, built in {built.seconds:.0f} s (kept layers counted as they are)"
    )
    return built


@dataclass
class Running:
    """A container that serves."""

    name: str
    url: str
    client: httpx.Client


@pytest.fixture(scope="module")
def running(image: Image) -> Iterator[Running]:
    """Serve as the README says, with nothing that can be taken away."""
    port = free_port()
    url = f"http://localhost:{port}"
    options = (*SAFE, "--publish", f"127.0.0.1:{port}:5000", "--env", f"ESCAPE_URL={url}")
    with container(image.name, *options) as name:
        MEASURED.append(f"ready for jobs after {wait_ready(url, name):.1f} s")
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            yield Running(name, url, client)
