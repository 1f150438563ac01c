"""HTTP servers on loopback, in a thread beside the test."""

import functools
import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from escape_process import remote

_Server = TypeVar("_Server", bound=socketserver.BaseServer)


class Quiet:
    """A handler of requests that logs nothing; the first of its bases."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Files(Quiet, http.server.SimpleHTTPRequestHandler):
    """Serves files whole."""


@contextmanager
def in_thread(server: _Server) -> Iterator[_Server]:
    """Run a server until the end of the block; then leave no connection, thread or socket of it."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        remote.close_client()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve the files of a folder; give its address, without a slash at the end."""
    files = functools.partial(_Files, directory=str(folder))
    with in_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), files)) as server:
        yield f"http://127.0.0.1:{server.server_port}"
