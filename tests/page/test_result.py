"""A result on the page: its colours and values are those of the files; layers, dates, series, tokens, phones, rules."""

import io
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import rasterio
from axe_playwright_python.sync_playwright import Axe
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from rasterio.warp import transform
from serving import Server, serve

from .conftest import INPUTS, Watched, file_of, fill_area, place_of, watched

Items = list[dict[str, Any]]
TOKEN = "the-token-of-this-test-alone"
COLOURS = {
    "soil_moisture": ("viridis_r", 0.5),
    "soil_moisture_uncertainty": ("magma", 0.15),
    "rms_height": ("cividis", 4.0),
}
"""Colour map and upper end of its range, from 0, by layer."""


def value_at(path: Path, lon: float, lat: float) -> float:
    """Read one pixel of a file by its own grid."""
    with rasterio.open(path) as file:
        (x,), (y,) = transform("OGC:CRS84", file.crs, [lon], [lat])
        return float(next(file.sample([(x, y)]))[0])


def picture_of(page: Page) -> NDArray[np.uint8]:
    """Return what the tab shows, (y, x, 3)."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def show_opaque(page: Page, layer: str) -> None:
    """Choose a layer, without anything below shining through, and wait for its tiles."""
    page.locator("#opacity").evaluate("slider => { slider.value = 100; slider.dispatchEvent(new Event('input')); }")
    page.locator(f"input[value={layer}]").check()
    expect(page.locator("#map")).to_have_attribute("aria-busy", "false")


def read_at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Click the map and return the longitude and latitude of what was read there."""
    page.fill("#lon", "")
    page.mouse.click(x, y)
    expect(page.locator("#lon")).not_to_have_value("")
    expect(page.locator(".tip")).not_to_be_empty()
    return place_of(page)


def test_colours_and_values_are_those_of_the_files(tab: Watched, server: Server, result: Items) -> None:
    page = tab.open(f"?item={result[1]['id']}")
    page.wait_for_selector("#legend:visible")
    pictures = {}
    for layer in COLOURS:
        show_opaque(page, layer)
        pictures[layer] = picture_of(page)
    box = page.locator("#map").bounding_box()
    assert box is not None
    left, top = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
    compared = 0
    shown = set()
    for x, y in [(left + 53 * across, top + 47 * down) for across in range(-4, 5) for down in range(-4, 2)]:
        around = {layer: picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) for layer, picture in pictures.items()}
        if any((colours != colours[0]).any() for colours in around.values()):
            continue  # on the edge of a pixel of the file
        place = read_at(page, x, y)
        for layer, (colormap, high) in COLOURS.items():
            value = value_at(file_of(server, result[1], layer), *place)
            expected = np.array(mpl.colormaps[colormap](int(min(value / high, 1) * 255))[:3]) * 255
            np.testing.assert_allclose(around[layer][0], expected, atol=2, err_msg=f"{layer} = {value} at {place}")
            shown.add(tuple(around[layer][0]))
        mean = value_at(file_of(server, result[1], "soil_moisture"), *place)
        expect(page.locator(".figure span")).to_contain_text(f"{mean:.3f} ± ")
        compared += 1
        if compared == 4:
            break
    assert compared == 4
    assert len(shown) > 8
    tab.check_quiet()


def test_values_at_a_place_and_their_series(tab: Watched, server: Server, result: Items) -> None:
    page = tab.open()
    fill_area(page)
    page.click("#launch")  # answered from the catalogue
    expect(page.locator(".dates label")).to_have_text(["4 May 2024", "18 May 2024", "1 Jun 2024"])
    lon, lat = -5.4471, 41.2573
    page.fill("#lon", str(lon))
    page.fill("#lat", str(lat))
    page.click("text=Read")
    rows = page.locator(".series tbody tr")
    expect(rows).to_have_count(3)
    for row, item in zip(rows.all(), result, strict=True):
        files = {name: file_of(server, item, f"soil_moisture{name}") for name in ("", "_uncertainty", "_p05", "_p95")}
        mean, sigma, low, high = (value_at(path, lon, lat) for path in files.values())
        cells = row.locator("td").all_inner_texts()
        assert cells[:3] == [f"{mean:.3f}", f"{sigma:.3f}", f"{low:.3f} to {high:.3f}"]
    first, second = (value_at(file_of(server, item, "soil_moisture"), lon, lat) for item in result[:2])
    expect(page.locator(".figure span")).to_contain_text(f"{first:.3f} ± ")
    expect(page.locator(".figure small")).to_contain_text("simulated")
    page.get_by_label("18 May 2024").check()
    expect(page.locator(".figure span")).to_contain_text(f"{second:.3f} ± ")
    expect(page.locator(".tip")).to_contain_text(f"{second:.3f} ± ")
    expect(page.locator(".chart .point")).to_have_count(3)
    bars = page.locator(".chart .range")
    heights = [float(bar.get_attribute("y1") or 0) - float(bar.get_attribute("y2") or 0) for bar in bars.all()]
    widths = [
        value_at(file_of(server, item, "soil_moisture_p95"), lon, lat)
        - value_at(file_of(server, item, "soil_moisture_p05"), lon, lat)
        for item in result
    ]
    np.testing.assert_allclose(np.array(heights) / heights[0], np.array(widths) / widths[0], rtol=1e-3)
    tab.check_quiet()


def test_flags_are_explained_and_what_has_no_value_says_so(tab: Watched, server: Server, result: Items) -> None:
    with rasterio.open(file_of(server, result[0], "flags")) as file:
        flags = file.read(1)
        row, column = np.argwhere((flags & 2) != 0)[0]
        x, y = file.transform @ (column + 0.5, row + 0.5)
        (lon,), (lat,) = transform(file.crs, "OGC:CRS84", [x], [y])
    page = tab.open(f"?item={result[0]['id']}")
    page.fill("#lon", str(lon))
    page.fill("#lat", str(lat))
    page.click("text=Read")
    expect(page.locator(".flags")).to_contain_text("lies outside the range on which the model was fitted")
    expect(page.locator("#values .warning")).to_be_visible()
    page.fill("#lon", "100")
    page.click("text=Read")
    expect(page.locator("#values")).to_have_text("The place lies outside the map.")
    show_opaque(page, "flags")
    expect(page.locator("#legend .classes")).to_contain_text("open water")
    tab.check_quiet()


def test_deep_links_downloads_and_simulated_marks(tab: Watched, server: Server, result: Items) -> None:
    item = result[0]
    page = tab.open(f"?item={item['id']}")
    expect(page.locator("#simulated")).to_be_visible()
    expect(page.locator("#legend")).to_contain_text("simulated")
    expect(page.locator("#job-code pre").first).to_contain_text('"catalog": "sample"')
    hrefs = [link.get_attribute("href") for link in page.locator(".downloads a").all()]
    assert {asset["href"] for asset in item["assets"].values()} < set(hrefs)
    with page.expect_download() as download:
        page.click(".downloads a >> nth=0")
    assert Path(download.value.path()).read_bytes() == file_of(server, item, "soil_moisture").read_bytes()
    again = server.execute(INPUTS)  # answered from the catalogue
    page = tab.open(again.links["monitor"]["url"].removeprefix(f"{tab.url}/") + "?f=html")
    expect(page.locator("#result")).to_be_visible()
    page.click("#job-code summary")
    expect(page.locator("#job-code pre").first).to_contain_text('"members": 10')
    expect(page.locator("#job-code pre").first).to_contain_text('"catalog": "sample"')
    page.click("#show-request")
    expect(page).to_have_url(f"{tab.url}/")
    expect(page.locator("#legend")).to_be_hidden()
    tab.check_quiet()


def test_keys_alone_read_a_result(tab: Watched, server: Server, result: Items) -> None:
    page = tab.open(f"?item={result[0]['id']}")
    page.wait_for_selector("#legend:visible")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#map")).to_be_focused()
    expect(page.locator("#crosshair")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".figure")).to_be_visible()
    lon, lat = place_of(page)
    mean = value_at(file_of(server, result[0], "soil_moisture"), lon, lat)
    expect(page.locator(".figure span")).to_contain_text(f"{mean:.3f} ± ")
    page.locator("input[value=soil_moisture]").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#legend")).to_contain_text("Soil moisture uncertainty")
    tab.check_quiet()


def test_a_phone(browser: Browser, server: Server, result: Items) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
    with watched(browser, server.url, **phone) as tab:
        page = tab.open()
        for view in ("", f"?item={result[0]['id']}"):
            tab.open(view)
            assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.wait_for_selector("#legend:visible")
        page.locator("#map").tap()
        expect(page.locator(".figure")).to_be_attached()
        page.locator(".figure").scroll_into_view_if_needed()
        expect(page.locator("#map")).to_be_in_viewport(ratio=0.8)
        tab.check_quiet()


def test_no_serious_fault_of_accessibility(browser: Browser, server: Server, result: Items) -> None:
    with watched(browser, server.url) as tab:
        page = tab.open()
        fill_area(page)
        for details in page.locator("#request-view details").all():
            details.evaluate("one => { one.open = true; }")
        page.click("#check")
        page.wait_for_selector(".scenes")
        check_rules(page)
        page.click("#launch")
        page.wait_for_selector("#legend:visible")
        page.locator(".reading button:text('Map centre')").click()
        page.wait_for_selector(".series")
        for details in page.locator("#job-view details").all():
            details.evaluate("one => { one.open = true; }")
        check_rules(page)
        page.click("#show-jobs")
        page.wait_for_selector("#jobs li")
        check_rules(page)


def check_rules(page: Page) -> None:
    """Hold what the page shows against axe-core's rules, and its dark colours against that of contrast."""
    page.emulate_media(color_scheme="light")
    light = Axe().run(page).response
    page.emulate_media(color_scheme="dark")
    dark = Axe().run(page, options={"runOnly": ["color-contrast"]}).response
    assert all(any(one["id"] == "color-contrast" for one in told["passes"]) for told in (light, dark))
    found = [*light["violations"], *dark["violations"]]
    bad = {
        one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in ("serious", "critical")
    }
    assert bad == {}


def test_a_token_is_asked_for_and_sent_with_everything(
    browser: Browser, server: Server, result: Items, tmp_path: Path
) -> None:
    shutil.copytree(server.data / "catalog", tmp_path / "data" / "catalog")
    auth = {"token": TOKEN, "catalog": True}
    with serve(tmp_path, auth=auth) as closed, watched(browser, closed.url) as tab:
        page = tab.open(f"?item={result[0]['id']}")
        expect(page.locator("#token")).to_be_visible()
        expect(page.locator("#token-value")).to_be_focused()
        page.fill("#token-value", "wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#token-why")).to_have_text("The server does not accept that token.")
        page.fill("#token-value", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#legend:visible")
        show_opaque(page, "soil_moisture")
        box = page.locator("#map").bounding_box()
        assert box is not None
        x, y = int(box["x"] + box["width"] / 2), int(box["y"] + box["height"] / 2)
        assert len(np.unique(picture_of(page)[y - 100 : y + 100, x - 100 : x + 100].reshape(-1, 3), axis=0)) > 20
        with page.expect_download() as download:
            page.click(".downloads a >> nth=0")
        assert Path(download.value.path()).read_bytes()[:2] == b"II"
        assert page.evaluate("localStorage.length") == 0
        page.reload()
        page.wait_for_selector("#legend:visible")
        refused = sum(words.startswith("Failed to load resource") for words in tab.said)
        assert refused == 2  # without a token and with the wrong one
        tab.check_quiet(refusals=refused)
