"""Addresses signed by a service whose signatures expire."""

import datetime as dt
import http.server
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from loopback import Quiet, in_thread

from escape_process import credentials, hrefs
from escape_process.errors import InvalidInputError, UpstreamError
from escape_process.settings import Settings

from .conftest import Canary

CONTENT = b"0123456789" * 100_000


class Storage(http.server.ThreadingHTTPServer):
    """Files that only a signature opens, and the service that gives signatures for some seconds."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.host = urlsplit(self.url).netloc
        self.life = 3600.0
        self.valid: dict[str, tuple[float, str | None]] = {}
        """When each signature ends, and the path that it is for; None: any."""
        self.asked: list[str] = []
        self.answers: list[int] = []
        """Status of each answer to a request for a file."""
        self.replies: list[tuple[int, bytes]] = []
        """What the service answers before it works."""

    def give(self, path: str | None) -> tuple[str, str]:
        """Return a new signature and when it expires."""
        signature = f"hush-{secrets.token_hex(4)}"
        self.valid[signature] = (time.time() + self.life, path)
        return f"sv=1&sig={signature}", dt.datetime.fromtimestamp(self.valid[signature][0], dt.UTC).isoformat()

    def opens(self, address: str) -> bool:
        """Tell whether an address is signed and the signature still good."""
        parts = urlsplit(address)
        end, path = self.valid.get(parse_qs(parts.query).get("sig", [""])[0], (0.0, None))
        return time.time() < end and path in (None, parts.path)


class _Handler(Quiet, http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Storage

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path not in ("/token", "/sign"):
            self._file()
            return
        self.server.asked.append(self.path)
        if self.server.replies:
            self._send(*self.server.replies.pop(0))
        elif asked.path == "/token":
            signature, expiry = self.server.give(None)
            self._send(200, json.dumps({"token": signature, "msft:expiry": expiry}).encode())
        else:
            href = parse_qs(asked.query)["href"][0]
            signature, expiry = self.server.give(urlsplit(href).path)
            signed = f"{href}{'&' if '?' in href else '?'}{signature}"
            self._send(200, json.dumps({"href": signed, "msft:expiry": expiry}).encode())

    def _file(self) -> None:
        status = 206 if self.server.opens(self.path) else 403
        self.server.answers.append(status)
        if status == 403:
            self._send(403, b"expired")
            return
        start, stop = (int(end) for end in self.headers["Range"].removeprefix("bytes=").split("-"))
        part = CONTENT[start : stop + 1]
        self._send(206, part, f"bytes {start}-{start + len(part) - 1}/{len(CONTENT)}")

    def _send(self, status: int, body: bytes, part: str | None = None) -> None:
        self.send_response(status)
        if part is not None:
            self.send_header("Content-Range", part)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setattr(credentials, "_kept", {})
    with in_thread(Storage()) as server:
        yield server


def settings_of(storage: Storage, service: str, **more: Any) -> Settings:
    """Return settings that sign the storage's addresses."""
    hosts = {storage.host: {"sign": f"{storage.url}{service}"}}
    return Settings.load({"hosts": hosts, "allowed_hosts": [storage.host], "http_attempts": 2, **more}, Path())


def start_of(address: str, settings: Settings) -> bytes:
    with hrefs.open_href(address, settings) as file:
        return file.read(10)


EACH = "/sign?href={href}"


def test_one_token_opens_all_files_of_the_host(storage: Storage) -> None:
    settings = settings_of(storage, "/token")
    for name in ("a.tif", "b.tif?version=2", "a.tif"):
        assert start_of(f"{storage.url}/{name}", settings) == CONTENT[:10]
    assert storage.asked == ["/token"]
    assert storage.answers == [206] * 3


def test_each_address_gets_a_signature_of_its_own(storage: Storage) -> None:
    settings = settings_of(storage, EACH)
    for name in ("a b.tif", "b.tif?version=2&x=%2F", "a b.tif", "b.tif?version=2&x=%2F"):
        assert start_of(f"{storage.url}/{name}", settings) == CONTENT[:10]
    assert [parse_qs(urlsplit(one).query)["href"] for one in storage.asked] == [
        [f"{storage.url}/a%20b.tif"],
        [f"{storage.url}/b.tif?version=2&x=%2F"],
    ]
    assert storage.answers == [206] * 4


@pytest.mark.parametrize("service", ["/token", EACH])
def test_a_signature_is_renewed_before_it_expires(
    storage: Storage, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "MARGIN", dt.timedelta(seconds=5))
    storage.life = 5.3
    settings = settings_of(storage, service)
    assert start_of(f"{storage.url}/a.tif", settings) == CONTENT[:10]
    threading.Event().wait(0.4)  # time.sleep is patched away
    assert start_of(f"{storage.url}/a.tif", settings) == CONTENT[:10]
    assert len(storage.asked) == 2
    assert storage.answers == [206, 206]


@pytest.mark.parametrize("service", ["/token", EACH])
def test_a_signature_that_is_refused_is_renewed_once(storage: Storage, service: str) -> None:
    settings = settings_of(storage, service)
    with hrefs.open_href(f"{storage.url}/a.tif", settings) as file:  # while a file is open, too
        assert file.read(10) == CONTENT[:10]
        storage.valid.clear()
        file.seek(-10, 2)
        assert file.read() == CONTENT[-10:]
    assert storage.answers == [206, 403, 206]
    assert len(storage.asked) == 2

    storage.life = -1.0  # nothing that it gives is good any more
    storage.valid.clear()
    with pytest.raises(UpstreamError, match=r"a\.tif at 127\.0\.0\.1 may not be read with the operator's credentials"):
        start_of(f"{storage.url}/a.tif", settings)
    assert storage.answers[3:] == [403, 403]
    assert len(storage.asked) == 3


def test_an_address_that_is_signed_stays_as_it_is(storage: Storage) -> None:
    signature, _ = storage.give(None)
    assert start_of(f"{storage.url}/a.tif?{signature}", settings_of(storage, "/token")) == CONTENT[:10]
    assert storage.answers == [206]


def test_the_service_gets_the_headers_of_its_host(storage: Storage, canary: Canary) -> None:
    signature, expiry = storage.give(None)
    canary.bodies["/token"] = json.dumps({"token": f"?{signature}", "msft:expiry": expiry}).encode()
    hosts = {
        storage.host: {"sign": f"{canary.url}/token"},
        f"127.0.0.1:{canary.port}": {"headers": {"X-Api-Key": "hush"}, "sign": f"{canary.url}/token"},
    }
    settings = Settings.load({"hosts": hosts, "allowed_hosts": [storage.host]}, Path())
    assert start_of(f"{storage.url}/a.tif", settings) == CONTENT[:10]
    assert canary.hits == ["/token"]
    assert canary.headers[0]["x-api-key"] == "hush"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"", r"token at 127\.0\.0\.1 does not exist"),
        (200, b"<html>", r"signing service at 127\.0\.0\.1 answered with neither"),
        (200, b"[]", "answered with neither"),
        (200, b'{"token": 3}', "answered with neither"),
        (200, b'{"token": "a=1", "msft:expiry": "soon"}', "answered with neither"),
        (200, b'{"href": 7}', "answered with neither"),
        (200, b'{"token": "' + b"x" * 10_000 + b'"}', "answered with neither"),
    ],
)
def test_a_service_that_gives_none_is_named(storage: Storage, status: int, body: bytes, said: str) -> None:
    storage.replies = [(status, body)]
    settings = settings_of(storage, "/token")
    with pytest.raises(UpstreamError, match=said) as caught:
        start_of(f"{storage.url}/a.tif", settings)
    assert not isinstance(caught.value, hrefs.StatusError)  # the file itself may well be there
    assert storage.answers == []
    assert start_of(f"{storage.url}/a.tif", settings) == CONTENT[:10]


def test_a_service_that_fails_for_a_moment_is_asked_again(storage: Storage) -> None:
    storage.replies = [(503, b"")]
    assert start_of(f"{storage.url}/a.tif", settings_of(storage, "/token")) == CONTENT[:10]
    assert len(storage.asked) == 2


def test_no_other_host_and_no_log_gets_a_signature(
    storage: Storage, canary: Canary, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = settings_of(storage, "/token", allowed_hosts=["127.0.0.1"])
    hrefs.read_json(f"{canary.url}/a.json", settings)
    start_of(f"{storage.url}/a.tif", settings)
    storage.valid.clear()
    storage.life = -1.0
    with pytest.raises(UpstreamError) as caught:
        start_of(f"{storage.url}/a.tif", settings)
    assert canary.hits == ["/a.json"]
    assert "hush" not in f"{caught.value}{settings!r}{caplog.text}"


@pytest.mark.parametrize("sign", ["token", "file:///token", "https://host/{other}", "https://host/${KEY}", "https://"])
def test_a_wrong_address_of_a_service_is_named(sign: str) -> None:
    with pytest.raises(InvalidInputError, match=r"hosts\.data\.example\.com\.sign: .* is not an http\(s\) address"):
        Settings.load({"hosts": {"data.example.com": {"sign": sign}}}, Path())


def test_a_host_has_one_way_of_signing() -> None:
    access = {"sign": "https://host/token", "query": "a=1"}
    with pytest.raises(InvalidInputError, match="takes query or sign, not both"):
        Settings.load({"hosts": {"data.example.com": access}}, Path())
