"""A result as the pipeline makes it, and a gate in front of a STAC API that can fail in every way."""

import contextlib
import http.server
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback import Quiet, in_thread
from made_results import GRID, made_arrays, made_pass, made_scene, made_tiles
from stac_servers import Pgstac

from escape_process.catalogue.items import result_item
from escape_process.product import write_product
from escape_process.publishing import results_folder
from escape_process.records import Grid
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

PUBLIC = "https://maps.example.org"
REQUEST = RetrievalRequest(ids=["scene"])
SMALL = Grid(GRID.crs, GRID.transform, 30, 20)


def settings_in(folder: Path, **options: Any) -> Settings:
    """Return settings without a seed."""
    return Settings(data_dir=folder / "data", **{"catalog_seed": None, "public_url": PUBLIC, **options})


def write_result(id: str, folder: Path, settings: Settings, request: RetrievalRequest = REQUEST) -> dict[str, Any]:
    """Write the files of a result where the pipeline writes them; return its item."""
    tiles = made_tiles(folder / "tiles", SMALL, made_arrays(SMALL))
    product = write_product(results_folder(request, settings), id, SMALL, tiles, date_index=0, report={}, title=id)
    scenes = made_pass([made_scene("ALOS2014555550-140829")])
    return result_item(product, scenes, request, settings, report={}, created=datetime.now(UTC))


class Gate:
    """A server in front of another that passes requests on, or fails as it is told."""

    def __init__(self, target: str) -> None:
        gate = self
        self.target = target
        self.fault: str | None = None
        """"400" and the like: the answer to what is written; "nothing": no answer; "lost": passed on, answer lost."""
        self.seen: list[tuple[str, str, str | None]] = []
        """Method, path and Authorization of each request."""

        class Handler(Quiet, http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                gate.answer(self)

            do_GET = do_POST = do_PUT = do_any  # noqa: N815

        self._handler = Handler
        self._port = 0
        self._running = contextlib.ExitStack()
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Listen, at the same address as before."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), self._handler)
        self._port = server.server_port
        self._running.enter_context(in_thread(server))

    def close(self) -> None:
        """Refuse connections, as a server that was killed."""
        self._running.close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.command, handler.path, handler.headers.get("Authorization")))
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        writes = handler.command != "GET"
        if self.fault == "nothing" and writes:
            handler.close_connection = True
            return
        if self.fault is not None and self.fault.isdigit() and writes:
            self._send(handler, int(self.fault), b'{"detail": "no: secret-of-the-host"}')
            return
        headers = {"Content-Type": "application/json"}
        answer = httpx.request(handler.command, self.target + handler.path, content=body, headers=headers, timeout=60)
        if self.fault == "lost" and writes:
            self.fault = None
            handler.close_connection = True
            return
        self._send(handler, answer.status_code, answer.content)

    @staticmethod
    def _send(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(body)


@pytest.fixture
def gate(pgstac: Pgstac) -> Iterator[Gate]:
    """Return a gate in front of an empty pgstac."""
    pgstac.clear()
    gate = Gate(pgstac.url)
    try:
        yield gate
    finally:
        gate.close()
