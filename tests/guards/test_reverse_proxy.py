"""TLS as docs/operators-guide.md has it: its nginx configuration, run, between a client and the server."""

import datetime as dt
import ipaddress
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from documented import ROOT, blocks
from postgresql_server import listens
from serving import PROCESS, SAMPLE_INPUTS
from waiting import wait_for

from escape_process.jobs.serve import background, free_port

HOST = "soil.example.org"
PUBLIC = f"https://{HOST}"


def _certificate(folder: Path) -> None:
    """Write a certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    names = [x509.DNSName(HOST), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{HOST}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{HOST}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))


@pytest.fixture(scope="module", params=["", "/soil"], ids=["root", "path"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve behind the documented proxy, at its root or below a path; give a client that speaks TLS to it."""
    path = request.param
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("proxy")
    _certificate(folder)
    (site,) = (one.text for one in blocks(ROOT / "docs" / "operators-guide.md") if one.runner == Path(__file__))
    environment = {"ESCAPE_URL": PUBLIC + path, "ESCAPE_DATA_DIR": str(folder / "data")}
    with (
        (folder / "server.log").open("wb") as log,
        background(ROOT / "pygeoapi-config.yml", environment=environment, log=log) as url,
    ):
        port = free_port()
        for said, here in {
            "127.0.0.1:5000": url.removeprefix("http://"),
            **({"location / {": f"location {path}/ {{", "http://escape;": "http://escape/;"} if path else {}),
            "listen 443": f"listen 127.0.0.1:{port}",
            f"/etc/ssl/certs/{HOST}.pem": str(folder / f"{HOST}.pem"),
            f"/etc/ssl/private/{HOST}.key": str(folder / f"{HOST}.key"),
        }.items():
            assert said in site
            site = site.replace(said, here)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = " ".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
        main = "user root; " if os.getuid() == 0 else ""  # tests' folders are closed to others
        main += f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        (folder / "nginx.conf").write_text(f"{main} http {{ access_log off; {paths}\n{site}\n}}")
        with subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")]) as proxy:
            try:
                wait_for(lambda: listens(port) or proxy.poll() is not None, 30)
                assert proxy.poll() is None
                trusted = ssl.create_default_context(cafile=str(folder / f"{HOST}.pem"))
                base = f"https://127.0.0.1:{port}{path}"
                with httpx.Client(base_url=base, verify=trusted, timeout=120, trust_env=False) as client:
                    client.headers["Host"] = HOST
                    yield client
            finally:
                proxy.terminate()
                proxy.wait(30)


def _public(client: httpx.Client) -> str:
    return PUBLIC + client.base_url.path.rstrip("/")


@pytest.mark.parametrize("path", ["/", "/processes", f"/processes/{PROCESS}", "/stac-api", "/stac-api/collections"])
def test_links_have_the_public_address(client: httpx.Client, path: str) -> None:
    document = client.get(path, params={"f": "json"} if "stac" not in path else {}).raise_for_status().json()
    hrefs = [link["href"] for link in document["links"] if link["rel"] not in ("about", "license", "service-doc")]
    assert hrefs
    assert [href for href in hrefs if not href.startswith(_public(client))] == []


def test_a_job_is_at_the_public_address_and_its_results_too(client: httpx.Client) -> None:
    body = {"inputs": {**SAMPLE_INPUTS, "dry_run": True}, "response": "document"}
    answer = client.post(f"/processes/{PROCESS}/execution", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["report"]["scenes"]
    answer = client.post(f"/processes/{PROCESS}/execution", json=body, headers={"Prefer": "respond-async"})
    assert answer.status_code == 201
    assert answer.headers["Location"].startswith(f"{_public(client)}/jobs/")


def test_a_body_that_is_too_large_is_answered_by_the_server(client: httpx.Client) -> None:
    answer = client.post(f"/processes/{PROCESS}/execution", json={"inputs": {"ids": ["x" * 1_500_000]}})
    assert answer.status_code == 413
    assert answer.json()["status"] == 413
