"""The pictures of the user's guide; `ESCAPE_PICTURES=1 ./run test --all tests/page/test_pictures.py` takes new ones."""

import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from serving import SAMPLE_INPUTS, Server

from .conftest import watched

IMAGES = Path(__file__).parents[2] / "docs" / "images"
"""Written to only where ESCAPE_PICTURES is set."""
MOST_BYTES = 300_000
NAMES = ("page_request", "page_result", "page_phone")


def take(page: Page, path: Path) -> None:
    """Save what the tab shows."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.screenshot(path=path)


@pytest.mark.slow
def test_take_pictures(browser: Browser, server: Server, tmp_path: Path) -> None:
    folder = IMAGES if "ESCAPE_PICTURES" in os.environ else tmp_path
    bbox = SAMPLE_INPUTS["bbox"]
    items: list[dict[str, Any]] = server.execute({"catalog": "sample", "bbox": bbox}).json()["items"]["features"]
    assert len(items) == 3
    jobs = server.client.get("/jobs", params={"status": "successful"}).json()["jobs"]
    with watched(browser, server.url) as tab:
        page = tab.open()
        page.click("#example")
        page.click("#check")
        page.wait_for_selector(".scenes")
        page.locator("#panel").evaluate("panel => { panel.scrollTop = panel.scrollHeight; }")
        take(page, folder / "page_request.png")
        page = tab.open(f"?job={jobs[0]['jobID']}")
        page.wait_for_selector("#legend:visible")
        page.get_by_label("18 May 2024").check()
        page.locator("text=Map centre").click()
        page.wait_for_selector(".series")
        page.locator(".reading").evaluate("one => one.scrollIntoView()")
        take(page, folder / "page_result.png")
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
    with watched(browser, server.url, **phone) as tab:
        page = tab.open(f"?job={jobs[0]['jobID']}")
        page.wait_for_selector("#legend:visible")
        page.locator("#map").tap()
        page.wait_for_selector(".series")
        page.locator(".figure").evaluate("one => one.scrollIntoView()")
        take(page, folder / "page_phone.png")
    for name in NAMES:
        with Image.open(folder / f"{name}.png") as new, Image.open(IMAGES / f"{name}.png") as kept:
            assert new.size == kept.size


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_small(name: str) -> None:
    assert (IMAGES / f"{name}.png").stat().st_size < MOST_BYTES
