"""The page and its files: who gets it, what it may load, and that it finds its files wherever it lies."""

import http.server
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from loopback import Quiet, in_thread
from serving import PROCESS
from stand_in_server import serve_stand_in

from escape_process.jobs.serve import free_port
from escape_process.layers import FLAGS, LAYER

from .conftest import ALICE, get_as_written, settings_in, write_result

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
"""What browsers send."""


@pytest.fixture(scope="module")
def job(client_of_module: httpx.Client) -> str:
    """Return the id of a job."""
    body = {"inputs": {"ids": ["x"]}, "response": "document"}
    path = f"/processes/{PROCESS}/execution"
    answer = client_of_module.post(path, json=body, headers={"Prefer": "respond-async"})
    return str(answer.json()["jobID"])


@pytest.fixture(scope="module")
def client_of_module(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        yield client


def test_a_browser_gets_the_page_and_a_program_json(client: httpx.Client, job: str) -> None:
    for path, base in (("/", "./"), (f"/processes/{PROCESS}", "../"), ("/jobs", "./"), (f"/jobs/{job}", "../")):
        for asked in ({"headers": HTML}, {"headers": {"Accept": "text/html"}}, {"params": {"f": "html"}}):
            page = client.get(path, **asked)
            assert page.status_code == 200
            assert page.headers["Content-Type"] == "text/html; charset=utf-8"
            assert page.text.count("<base ") == 1
            assert f'<base href="{base}">' in page.text
            assert "Accept" in page.headers["Vary"]
        wishes = ({}, {"headers": {"Accept": "application/json"}}, {"headers": HTML, "params": {"f": "json"}})
        for asked in wishes:
            answer = client.get(path, **asked)
            assert answer.headers["Content-Type"] == "application/json"
            assert "Accept" in answer.headers["Vary"]
            assert isinstance(answer.json(), dict)


def test_other_pages_stay_as_they_are(client: httpx.Client) -> None:
    for path in ("/processes", "/conformance", "/openapi"):
        page = client.get(path, headers={"Accept": "text/html"})
        assert page.headers["Content-Type"].startswith("text/html")
        assert "<base " not in page.text
    assert client.get("/jobs/none", headers=HTML).status_code == 404
    assert client.get("/", params={"f": "xml"}).status_code == 400


def test_the_page_may_load_nothing_from_elsewhere(client: httpx.Client, job: str) -> None:
    for path in ("/", f"/processes/{PROCESS}", f"/jobs/{job}"):
        headers = client.get(path, headers=HTML).headers
        (policy,) = headers.get_list("Content-Security-Policy")
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == "'self'"
        assert rules["frame-ancestors"] == "'none'"
        assert rules["base-uri"] == "'self'"
        assert rules["object-src"] == "'none'"
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


def addresses_in(page: str) -> list[str]:
    """Return what a page loads at once, relative to its base."""
    found = re.findall(r'<(?:script|link|img)\b[^>]*?\b(?:src|href)="([^"]+)"', page)
    assert found
    return found


def test_the_pages_files(client: httpx.Client, job: str) -> None:
    known = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for path in ("/", f"/processes/{PROCESS}", f"/jobs/{job}/"):
        page = client.get(path, headers=HTML)
        (base,) = re.findall(r'<base href="([^"]+)">', page.text)
        for address in addresses_in(page.text):
            answer = client.get(urljoin(urljoin(str(page.url), base), address))
            assert answer.status_code == 200, address
            assert answer.headers["Content-Type"].partition(";")[0] == known[Path(address).suffix]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            again = client.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/vendor",
        "/page/index.html",
        "/page/none.js",
        "/page/../routes.py",
        "/page/%2e%2e/routes.py",
        "/page/..%2froutes.py",
        "/page/vendor/%2e%2e/%2e%2e/routes.py",
        "/page/..%5croutes.py",
        "/page/%2fetc%2fpasswd",
        "/page//etc/passwd",
        "/page/page.js%00.css",
        "/page/.hidden.js",
    ],
)
def test_no_other_file(client: httpx.Client, path: str) -> None:
    answer = get_as_written(client, path)
    assert answer.status_code == 404, answer.text
    assert answer.json()["status"] == 404


def test_settings(client: httpx.Client) -> None:
    told = client.get("/page/settings.json").json()
    assert told["process"] == PROCESS == told["results_collection"]
    assert told["catalogs"] == ["sample"]
    assert told["default_catalog"] == "sample"
    assert told["needs_token"] is False
    assert [layer["name"] for layer in told["layers"]] == list(LAYER)
    for layer in told["layers"]:
        assert set(layer) == {"name", "title", "description", "unit", "rescale", "dtype"}
    assert [flag["bit"] for flag in told["flags"]] == [flag.bit for flag in FLAGS]
    assert [flag["name"] for flag in told["flags"] if flag["advisory"]] == ["encoding_assumed", "not_terrain_corrected"]


@contextmanager
def proxy(prefix: str, port: int, target: str) -> Iterator[None]:
    """Serve what lies at `target` under a path, as an operator's reverse proxy does; a browser sees nothing else."""

    class Handler(Quiet, http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            headers = {name: value for name, value in self.headers.items() if name in ("Accept", "Authorization")}
            answer = httpx.get(target + self.path.removeprefix(prefix), headers=headers, trust_env=False, timeout=60)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    with in_thread(http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)):
        yield


def test_under_a_path_and_with_a_closed_catalogue(tmp_path: Path) -> None:
    write_result("one", tmp_path, settings_in(tmp_path))
    port = free_port()
    address = f"http://127.0.0.1:{port}/soil/moisture"
    auth = {"token": {"alice": ALICE}, "catalog": True}
    with (
        serve_stand_in(tmp_path, {"ESCAPE_URL": address}, auth=auth) as inner,
        proxy("/soil/moisture", port, inner),
        httpx.Client(trust_env=False, timeout=60) as client,
    ):
        for path in ("/", f"/processes/{PROCESS}", "/jobs/whichever"):
            page = client.get(address + path, headers=HTML)
            assert page.status_code == 200
            (base,) = re.findall(r'<base href="([^"]+)">', page.text)
            for loaded in addresses_in(page.text):
                assert client.get(urljoin(urljoin(address + path, base), loaded)).status_code == 200, loaded
        assert client.get(f"{address}/page/settings.json").json()["needs_token"] is True
        assert client.get(f"{address}/maps/one").status_code == 401
        assert client.get(f"{address}/maps/one/soil_moisture/0/0/0.png").status_code == 401
        client.headers["Authorization"] = f"Bearer {ALICE}"
        told = client.get(f"{address}/maps/one")
        tiles = told.json()["tiles"]
        assert tiles.startswith(f"{address}/maps/one/")
        tile = client.get(tiles.format(layer="soil_moisture", z=9, x=250, y=192))
        assert tile.content.startswith(b"\x89PNG")
        assert client.get(told.json()["item"]).json()["id"] == "one"
        kept = httpx.get(f"{inner}/maps/one", headers=client.headers, trust_env=False).headers["Cache-Control"]
        assert kept == "private, no-cache"
