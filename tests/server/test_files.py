"""The catalogue's files over HTTP: byte for byte, in ranges, with their media types, and nothing beside them."""

from pathlib import Path

import httpx
import pytest

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ASSET = "/catalog/scenes/scene-0/hh.tif"


def test_the_tree_is_served_as_it_was_written(client: httpx.Client, folder: Path) -> None:
    root = folder / "data" / "catalog"
    files = [path for path in root.rglob("*") if path.is_file() and "/." not in f"/{path.relative_to(root)}"]
    assert len(files) > 10
    for file in files:
        answer = client.get(f"/catalog/{file.relative_to(root).as_posix()}")
        assert answer.status_code == 200
        assert answer.content == file.read_bytes()


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/catalog/catalog.json", "application/json"),
        ("/catalog/scenes/collection.json", "application/json"),
        ("/catalog/scenes/scene-0/scene-0.json", "application/geo+json"),
        ("/catalog/scenes/scene-0/look.png", "image/png"),
        (ASSET, COG),
        ("/unpublished/item-1/item-1.json", "application/geo+json"),
    ],
)
def test_media_type_and_any_origin(client: httpx.Client, path: str, media_type: str) -> None:
    for answer in (client.get(path), client.head(path)):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert int(answer.headers["Content-Length"]) > 0
    assert client.head(path).content == b""


def test_ranges(client: httpx.Client, folder: Path) -> None:
    data = (folder / "data" / "catalog" / "scenes" / "scene-0" / "hh.tif").read_bytes()
    part = client.get(ASSET, headers={"Range": "bytes=100-299"})
    assert part.status_code == 206
    assert part.content == data[100:300]
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(data)}"
    assert client.get(ASSET, headers={"Range": "bytes=-16"}).content == data[-16:]
    assert client.head(ASSET).headers["Accept-Ranges"] == "bytes"
    beyond = client.get(ASSET, headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    unchanged = client.get(ASSET, headers={"If-None-Match": client.get(ASSET).headers["ETag"]})
    assert unchanged.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/catalog/nothing.json",
        "/catalog/scenes",
        "/catalog/scenes/",
        "/catalog/",
        "/catalog/.hidden",
        "/catalog/.parts/item.json",
        "/catalog/scenes/../.hidden",
        "/catalog/../jobs.sqlite",
        "/catalog/%2e%2e/jobs.sqlite",
        "/catalog/..%2fjobs.sqlite",
        "/catalog/..%5cjobs.sqlite",
        "/catalog/scenes/%2e%2e/%2e%2e/jobs.sqlite",
        "/catalog//etc/passwd",
        "/catalog/%2fetc%2fpasswd",
        "/catalog/scene%00s",
        "/catalog/outside/config.yml",
        "/unpublished/",
        "/unpublished/item-1",
        "/unpublished/%2e%2e/server.lock",
    ],
)
def test_nothing_else_is_served(client: httpx.Client, url: str, folder: Path, path: str) -> None:
    link = folder / "data" / "catalog" / "outside"
    if not link.is_symlink():
        link.symlink_to(folder)
    raw = httpx.URL(url).copy_with(raw_path=path.encode())  # as written: no client tidies it
    answer = client.get(raw, follow_redirects=True)  # doubled slashes are tidied by a redirect
    assert answer.status_code in (400, 404)
    assert answer.json()["status"] == answer.status_code


def test_only_reading(client: httpx.Client) -> None:
    for method in ("PUT", "POST", "DELETE"):
        assert client.request(method, ASSET).status_code == 405
    asked = client.options(ASSET, headers={"Access-Control-Request-Headers": "Range"})
    assert asked.headers["Access-Control-Allow-Headers"] == "Range"
