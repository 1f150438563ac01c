"""An S3 server on loopback, as a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from postgresql_server import listens
from waiting import wait_for

from escape_process.jobs.serve import free_port

KEY_ID, SECRET = "key-of-tests", "secret-of-tests"
BUCKET = "maps"


class S3Server:
    """A server with buckets, and a client that sees everything."""

    def __init__(self, url: str) -> None:
        self.url = url
        # moto asks for a signature, but holds it against nothing
        credential = f"Credential={KEY_ID}/20240601/us-east-1/s3/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0"}
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False, headers=headers)

    def bucket(self, url: str = f"s3://{BUCKET}", **options: Any) -> dict[str, Any]:
        """Return the settings of a bucket or a part of it."""
        return {"url": url, "endpoint": self.url, "key_id": KEY_ID, "secret": SECRET, **options}

    def put(self, key: str, content: bytes, bucket: str = BUCKET) -> None:
        """Store an object."""
        self.client.put(f"/{bucket}/{key}", content=content).raise_for_status()

    def get(self, key: str) -> bytes:
        """Return an object."""
        return self.client.get(f"/{BUCKET}/{key}").raise_for_status().content

    def stored(self, bucket: str = BUCKET) -> list[str]:
        """Return the keys of all objects."""
        listing = self.client.get(f"/{bucket}", params={"list-type": "2", "max-keys": "1000"}).raise_for_status().text
        return [part.partition("</Key>")[0] for part in listing.split("<Key>")[1:]]

    def clear(self) -> None:
        """Empty all, and make the bucket of tests."""
        self.client.post("/moto-api/reset").raise_for_status()
        self.client.put(f"/{BUCKET}").raise_for_status()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Run moto's server."""
    pytest.importorskip("moto", reason="moto is not installed", exc_type=ImportError)
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(port) or server.poll() is not None, 90)
        assert server.poll() is None
        running = S3Server(f"http://127.0.0.1:{port}")
        with running.client:
            yield running
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def s3(s3_server: S3Server) -> S3Server:
    """Return a server whose only bucket is empty."""
    s3_server.clear()
    return s3_server
