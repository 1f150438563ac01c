"""No client, item or redirect leads this server into its own network."""

import socket
import ssl
from pathlib import Path
from typing import Any

import httpcore
import pytest

from escape_process import guard, hrefs, remote
from escape_process.catalogue.search import find_scenes
from escape_process.errors import EscapeError, InvalidInputError, UpstreamError
from escape_process.guard import RefusedAddressError, check_public_url, guarded_client, is_public
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

from .conftest import Canary, Names

SETTINGS = Settings(http_timeout=2.0, http_attempts=2)

NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "nonsense",
]
PUBLIC = ["8.8.8.8", "93.184.215.14", "172.32.0.1", "2606:2800:220:1::1", "2a00:1450:4001:830::200e"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address: str) -> None:
    assert is_public(address)


def is_one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and "Error" not in text


LOOPBACK = [
    "http://127.0.0.1:{port}/catalog.json",
    "http://localhost:{port}/catalog.json",
    "http://2130706433:{port}/catalog.json",
    "http://0x7f.1:{port}/catalog.json",
    "http://127.1:{port}/catalog.json",
    "http://0.0.0.0:{port}/catalog.json",
    "http://[::]:{port}/catalog.json",
    "http://[::ffff:127.0.0.1]:{port}/catalog.json",
    "http://[::1]:{port}/catalog.json",
]
OTHERS = [
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/catalog.json",
    "https://192.168.0.1/catalog.json",
    "http://[fd00::1]/catalog.json",
    "http://[64:ff9b::a00:1]/catalog.json",
]


@pytest.mark.parametrize("address", LOOPBACK + OTHERS)
def test_a_catalogue_that_is_not_public(canary: Canary, address: str) -> None:
    request = RetrievalRequest.from_inputs({"ids": ["x"], "catalog": address.format(port=canary.port)})
    with pytest.raises(InvalidInputError, match="is not a public one") as caught:
        find_scenes(request, SETTINGS)
    assert is_one_sentence(str(caught.value))
    assert caught.value.http_status == 400
    assert canary.hits == []


@pytest.mark.parametrize("address", LOOPBACK + OTHERS)
def test_an_asset_that_is_not_public(canary: Canary, address: str) -> None:
    href = address.format(port=canary.port)
    for read in (hrefs.open_href, hrefs.read_json):
        with pytest.raises(RefusedAddressError, match="is not a public one") as caught:
            read(href, SETTINGS)
        assert is_one_sentence(str(caught.value))
    with pytest.raises(RefusedAddressError), hrefs.open_raster(href, SETTINGS):
        pass
    assert canary.hits == []


@pytest.mark.parametrize("address", LOOPBACK + OTHERS)
def test_a_subscriber_that_is_not_public(canary: Canary, address: str) -> None:
    url = address.format(port=canary.port)
    with pytest.raises(InvalidInputError, match="is not a public one") as caught:
        check_public_url(url, SETTINGS)
    assert is_one_sentence(str(caught.value))
    with guarded_client(SETTINGS) as client, pytest.raises(RefusedAddressError):
        client.post(url, json={})
    assert canary.hits == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/a", "/etc/passwd", "http:///a", ""])
def test_a_subscriber_that_is_no_address(url: str) -> None:
    with pytest.raises(InvalidInputError, match="give an http or https address") as caught:
        check_public_url(url, SETTINGS)
    assert is_one_sentence(str(caught.value))


@pytest.mark.parametrize("href", ["file:///etc/passwd", "FILE:/etc/passwd", "/vsicurl/http://127.0.0.1:{port}/a.tif"])
def test_an_href_that_is_no_address(canary: Canary, href: str) -> None:
    with pytest.raises(EscapeError) as caught:
        hrefs.open_href(href.format(port=canary.port), SETTINGS)
    assert is_one_sentence(str(caught.value))
    assert "passwd" in str(caught.value) or "a.tif" in str(caught.value)
    assert canary.hits == []


def test_credentials_are_refused_and_not_repeated(names: Names) -> None:
    names["example.com"] = [["93.184.215.14"]]
    address = "https://user:secret@example.com/catalog.json"
    with pytest.raises(InvalidInputError, match=r"example\.com holds credentials") as caught:
        check_public_url(address, SETTINGS)
    assert "secret" not in str(caught.value)
    with pytest.raises(RefusedAddressError, match=r"example\.com holds credentials") as refused:
        hrefs.read_json(address, SETTINGS)
    assert "secret" not in str(refused.value)


def test_a_name_that_leads_inside(canary: Canary, names: Names) -> None:
    names["inside.example"] = [["127.0.0.1"]]
    names["both.example"] = [["93.184.215.14", "127.0.0.1"]]  # every address counts
    names["mapped.example"] = [["::ffff:127.0.0.1"]]
    names["metadata.example"] = [["169.254.169.254"]]
    for host in names:
        for read in (hrefs.read_json, check_public_url, hrefs.open_href):
            with pytest.raises(EscapeError, match=f"The host {host} is not a public one") as caught:
                read(f"http://{host}:{canary.port}/a.json", SETTINGS)
            assert "127.0.0.1" not in str(caught.value)
    assert canary.hits == []


def test_a_name_that_changes_its_mind(canary: Canary, names: Names) -> None:
    """The connection asks again and must check what it is told, whatever an earlier check was told."""
    names["rebinding.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    check_public_url(f"http://rebinding.example:{canary.port}/", SETTINGS)
    with pytest.raises(RefusedAddressError):
        hrefs.read_json(f"http://rebinding.example:{canary.port}/", SETTINGS)
    assert canary.hits == []


def test_the_connection_goes_to_the_address_that_was_checked(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    names["example.com"] = [["93.184.215.14", "2606:2800:220:1::1"]]
    tried: list[str] = []

    def connect(self: object, host: str, port: int, *rest: object) -> Any:
        tried.append(host)
        raise httpcore.ConnectError("no network here")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(UpstreamError, match="cannot be reached"):
        hrefs.read_json("http://example.com/a.json", Settings(http_attempts=1))
    assert tried == ["93.184.215.14", "2606:2800:220:1::1"]


def test_tls_and_host_header_keep_the_name(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pinned address must not weaken what TLS checks: the certificate is asked for by name."""
    names["example.com"] = [["93.184.215.14"]]
    asked: list[str | None] = []

    class Stream(httpcore.NetworkStream):
        def start_tls(
            self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
        ) -> httpcore.NetworkStream:
            assert ssl_context.verify_mode == ssl.CERT_REQUIRED
            assert ssl_context.check_hostname
            asked.append(server_hostname)
            raise httpcore.ConnectError("enough")

        def close(self) -> None:
            pass

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", lambda self, *arguments: Stream())
    with pytest.raises(UpstreamError):
        hrefs.read_json("https://example.com/a.json", Settings(http_attempts=1))
    assert asked == ["example.com"]


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/a", "http://169.254.169.254/", "http://inside.example:{port}/", "//10.0.0.1/"]
)
def test_a_redirect_inside(canary: Canary, other: Canary, names: Names, target: str) -> None:
    names["inside.example"] = [["127.0.0.1"]]
    canary.redirects["/a.json"] = target.format(port=other.port)
    settings = SETTINGS.model_copy(update={"allowed_hosts": (f"127.0.0.1:{canary.port}",)})
    with pytest.raises(RefusedAddressError) as caught:
        hrefs.read_json(f"{canary.url}/a.json", settings)
    assert is_one_sentence(str(caught.value))
    assert other.hits == []
    assert canary.hits == ["/a.json"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.com/", "gopher://127.0.0.1:{port}/"])
def test_a_redirect_to_another_scheme(canary: Canary, other: Canary, target: str) -> None:
    canary.redirects["/a.json"] = target.format(port=other.port)
    settings = SETTINGS.model_copy(update={"allowed_hosts": ("127.0.0.1",)})
    with pytest.raises(UpstreamError, match=r"a\.json at 127\.0\.0\.1") as caught:
        hrefs.read_json(f"{canary.url}/a.json", settings)
    assert is_one_sentence(str(caught.value))
    assert "root:" not in str(caught.value)
    assert other.hits == []


def test_redirects_are_followed_but_not_for_ever(canary: Canary) -> None:
    settings = SETTINGS.model_copy(update={"allowed_hosts": ("127.0.0.1",)})
    for step in range(remote.MOST_REDIRECTS):
        canary.redirects[f"/{step}"] = f"/{step + 1}"
    assert hrefs.read_json(f"{canary.url}/0", settings) == {}
    canary.redirects[f"/{remote.MOST_REDIRECTS}"] = "/0"
    with pytest.raises(UpstreamError, match="redirects more than 5 times"):
        hrefs.read_json(f"{canary.url}/0", settings)


def test_hosts_that_the_operator_names(canary: Canary, other: Canary) -> None:
    assert hrefs.read_json(f"{canary.url}/a", Settings(allowed_hosts=("127.0.0.1",))) == {}
    assert hrefs.read_json(f"{canary.url}/a", Settings(allowed_hosts=(f"127.0.0.1:{canary.port}",))) == {}
    catalogue = Settings(catalogs={"sample": f"{canary.url}/catalog.json"})
    assert hrefs.read_json(f"{canary.url}/a", catalogue) == {}
    with pytest.raises(RefusedAddressError):  # another service of that host is not meant
        hrefs.read_json(f"{other.url}/a", catalogue)
    check_public_url(f"{canary.url}/a", catalogue)
    assert hrefs.read_json(f"{other.url}/a", SETTINGS.allowing(f"{other.url}/catalog.json")) == {}


def test_connections_of_other_settings_are_not_shared(canary: Canary) -> None:
    assert hrefs.read_json(f"{canary.url}/a", Settings(allowed_hosts=("127.0.0.1",))) == {}
    with pytest.raises(RefusedAddressError):
        hrefs.read_json(f"{canary.url}/a", SETTINGS)


@pytest.mark.parametrize("entry", ["http://host", "host/path", "user@host", "", "host:port", "host:0"])
def test_a_wrong_entry_of_allowed_hosts(entry: str) -> None:
    with pytest.raises(InvalidInputError, match="allowed_hosts"):
        Settings.load({"allowed_hosts": [entry]}, Path())


def test_a_host_without_an_address(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(guard, "resolve", nothing)
    with pytest.raises(UpstreamError, match=r"The host nowhere\.example cannot be found"):
        check_public_url("http://nowhere.example/", SETTINGS)
    with pytest.raises(UpstreamError, match=r"a\.json at nowhere\.example cannot be reached"):
        hrefs.read_json("http://nowhere.example/a.json", SETTINGS)


def test_proxies_of_the_environment_are_not_used(
    canary: Canary, other: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)
    assert hrefs.read_json(f"{canary.url}/a", Settings(allowed_hosts=("127.0.0.1",))) == {}
    assert other.hits == []
