"""The page in a real browser, on a real server with the sample catalogue; a watch on all that it asks and says."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from serving import Server, serve

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1360, "height": 860}
AREA = {"west": "-5.46", "east": "-5.43", "south": "41.24", "north": "41.27"}
"""Three dates of the sample catalogue lie here."""
INPUTS = {"catalog": "sample", "bbox": [float(AREA[corner]) for corner in ("west", "south", "east", "north")]}
SECONDS = 60
"""For which the page is waited for; it may share two cores."""


class Watched:
    """A tab whose every request and every word on the console is kept."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.hosts: set[str] = set()
        self.said: list[str] = []
        context.on("request", lambda request: self.hosts.add("/".join(request.url.split("/")[:3])))
        self.page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def _listen(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def open(self, path: str = "") -> Page:
        """Open an address below the server's root and wait until the page is at work."""
        self.page.goto(f"{self.url}/{path}")
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def check_quiet(self, *, refusals: int = 0) -> None:
        """Check that nothing but this server was asked, and nothing went wrong but answers that are errors."""
        assert {host for host in self.hosts if not host.startswith(("blob:", "data:"))} == {self.url}
        failed = [words for words in self.said if words.startswith("Failed to load resource")]
        assert len(failed) == refusals, self.said
        assert [words for words in self.said if words not in failed] == []


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve the sample catalogue."""
    with serve(tmp_path_factory.mktemp("page")) as running:
        yield running


@pytest.fixture(scope="package")
def result(server: Server) -> list[dict[str, Any]]:
    """Return the items of three dates, made once: the same request is then answered from the catalogue."""
    answer = server.execute(INPUTS)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]["features"]
    return sorted(items, key=lambda item: str(item["properties"]["datetime"]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on the path (Debian: apt install chromium)")
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield started
        started.close()


@contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """Open a tab, with options of a browser context such as a phone's."""
    context = browser.new_context(**{"viewport": DESKTOP, **options})
    try:
        yield Watched(context, url)
    finally:
        context.close()


@pytest.fixture
def tab(browser: Browser, server: Server) -> Iterator[Watched]:
    """Return a tab of a desktop's size."""
    with watched(browser, server.url) as one:
        yield one


def fill_area(page: Page, **corners: str) -> None:
    """Type an area."""
    for name, text in {**AREA, **corners}.items():
        page.fill(f"#{name}", text)


def place_of(page: Page) -> tuple[float, float]:
    """Return the longitude and latitude that the page last read values at."""
    return float(page.input_value("#lon")), float(page.input_value("#lat"))


def file_of(server: Server, item: dict[str, Any], layer: str) -> Path:
    """Return a layer's file in the data folder of the server."""
    path = item["assets"][layer]["href"].removeprefix(f"{server.url}/")
    return server.data / path
