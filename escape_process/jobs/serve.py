"""Start and stop the server: pygeoapi with this package's views under gunicorn, from one configuration file."""

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]
from pygeoapi.process.manager.base import get_manager

from escape_process.children import die_with_parent
from escape_process.errors import InvalidInputError, StorageError, UpstreamError
from escape_process.jobs.app import create_app
from escape_process.jobs.keeper import STOP_SECONDS, Keeper
from escape_process.jobs.manager import JobManager
from escape_process.jobs.openapi import make_openapi
from escape_process.jobs.startup import configure_logging, load_config
from escape_process.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOGGER = logging.getLogger("escape_process.jobs.serve")  # not __main__, which run as a module has

GRACE = 5
"""Seconds that a stopping server leaves to answers that are under way."""

THREADS = 32
"""Requests answered at once."""
_SHARE_THAT_WAITS = 0.75
"""Of the threads: how many may be held by clients that wait for results, so that the others are answered always."""

KEPT_SECONDS = 75
"""How long a connection is kept between two requests: longer than clients and reverse proxies keep theirs, so that none
sends its next request into one that is being closed."""

READ_SECONDS = 30.0
"""How long a request may take to arrive, its body with it: one that stalls would hold its thread for ever."""

_LINGER_SECONDS = 10.0
_LINGER_BYTES = 64 * 2**20
"""How long, and for how much of a body that nobody reads, an answered connection is still listened to: closed before,
it is reset, and its client, a reverse proxy above all, may lose the answer."""

_LOCK_SECONDS = 3.0
"""How long a starting server waits for the end of another on the same data folder."""


def _seed_catalogue(settings: Settings) -> None:
    from escape_process.catalogue.publish import ensure_catalogue  # noqa: PLC0415

    ensure_catalogue(settings)


def serve(  # noqa: PLR0917  # one option of the command each
    config: Path,
    host: str | None = None,
    port: int | None = None,
    threads: int = THREADS,
    with_worker: bool = True,
    prepare: Callable[[Settings], object] = _seed_catalogue,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    config
        pygeoapi configuration. Its `${ESCAPE_URL}` is the address given here where the variable is not set.
    host, port
        Address to listen on, instead of the configuration's; port 0: a free one.
    threads
        Requests answered at once, of which three in four may wait for results. Jobs run in the worker's processes.
    with_worker
        Keep a worker running beside the server. Without, start one by `escape-process worker`.
    prepare
        Called with the settings before the server listens: makes the served catalogue.

    Raises
    ------
    InvalidInputError
        where the configuration or the address cannot be used.
    StorageError
        where another server uses the same data folder.
    """
    configure_logging()
    bind = load_config(config)["server"]["bind"]
    listener = _listen(host or str(bind["host"]), int(bind["port"]) if port is None else port)
    os.environ.setdefault("ESCAPE_URL", _address(listener))
    os.environ["PYGEOAPI_CONFIG"] = str(config.resolve())
    document = load_config(config)
    settings = get_manager(document).settings()
    lock = _claim(settings.data_dir)
    LOGGER.info("Configuration %s, data in %s", config, settings.data_dir)
    prepare(settings)
    LOGGER.info("Catalogue ready at %s/catalog/catalog.json", settings.public_url)
    _write_openapi(config, settings.data_dir / "openapi.json")
    where = f"{document['server']['url']}, listening on {_address(listener)}"
    try:
        _Server(listener.detach(), where, threads, Keeper() if with_worker else None).run()
    finally:
        os.close(lock)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InvalidInputError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error


def _address(listener: socket.socket) -> str:
    """Return the address under which this machine reaches the server."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _claim(data_dir: Path) -> int:
    """Lock the data folder while this server lives: a second one's worker would use the same device.

    The lock belongs to the open file, which web workers inherit, and goes with the last of them however they end; so
    a killed server's successor waits a moment for them.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"The data folder {data_dir} cannot be written: {error.strerror}.") from error
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < end:
                time.sleep(0.1)
                continue
            os.close(lock)
            raise StorageError(
                f"Another server uses the data folder {data_dir}: stop it, or set ESCAPE_DATA_DIR to another folder."
            ) from error
        return lock


def _write_openapi(config: Path, path: Path) -> None:
    """Make the OpenAPI document, which pygeoapi reads when its application is imported."""
    part = path.with_suffix(".part")
    part.write_text(make_openapi(config), encoding="utf-8")
    part.replace(path)
    os.environ["PYGEOAPI_OPENAPI"] = str(path)


class _Unreader(SocketUnreader):  # type: ignore[misc]
    """What is read of a connection; a client that is late is as one that has gone."""

    until = 0.0
    late = False

    def chunk(self, size_hint: int | None = None) -> bytes:
        rest = self.until - time.monotonic()
        if rest > 0:
            self.sock.settimeout(rest)
            try:
                return bytes(super().chunk(size_hint))
            except TimeoutError:
                pass
            finally:
                self.sock.settimeout(None)
        self.late = True
        return b""


def _begin_request(conn: Any) -> None:
    """Make a connection ready for a request; in place of its `init`, which gunicorn calls before each."""
    type(conn).init(conn)
    if not isinstance(conn.parser.unreader, _Unreader):
        conn.parser.unreader = _Unreader(conn.sock)
    conn.parser.unreader.until = time.monotonic() + READ_SECONDS


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A web worker that lets nobody wait for a job once it is told to stop, and that ends with its server."""

    manager: JobManager | None = None

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.manager = self.app.manager
        die_with_parent(self.ppid, signal.SIGTERM)

    def handle(self, conn: Any) -> Any:
        conn.init = partial(_begin_request, conn)
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> bool:
        kept = bool(super().handle_request(req, conn))
        unreader = conn.parser.unreader
        unreader.until = time.monotonic() + _LINGER_SECONDS
        read = conn.parser.finish_body(unreader.until, _LINGER_BYTES)
        return kept and bool(read) and not unreader.late

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.manager is not None:
            self.manager.request_stop()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        if self.manager is not None:
            self.manager.request_stop()
        super().handle_quit(sig, frame)


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one web process, and the worker's keeper beside it."""

    manager: JobManager | None = None

    def __init__(self, listener: int, where: str, threads: int, keeper: Keeper | None) -> None:
        self._listener = listener
        self._where = where
        self._threads = threads
        self._keeper = keeper
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": f"fd://{self._listener}",
            "workers": 1,
            "threads": self._threads,
            "worker_class": _Worker,
            "timeout": 0,  # a synchronous execution may take minutes
            "graceful_timeout": GRACE,
            "keepalive": KEPT_SECONDS,
            "loglevel": "warning",
            "control_socket_disable": True,  # gunicorn 25.1 and later: no control file in the home folder
        }
        keeper, where = self._keeper, self._where

        def begin(arbiter: Any) -> None:
            LOGGER.info("Serving at %s", where)  # not before: from now on signals are heard
            if keeper is not None:
                keeper.start()

        def end(arbiter: Any) -> None:
            if keeper is not None:
                keeper.stop()

        values |= {"when_ready": begin, "on_exit": end}
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        application, self.manager = create_app()
        self.manager.limit_waiting(max(1, int(_SHARE_THAT_WAITS * self._threads)))
        return application


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def background(
    config: Path,
    *,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    log: IO[bytes] | None = None,
    seconds: float = 60.0,
) -> Iterator[str]:
    """Run the server in a process of its own on a loopback port; give its address once it answers; stop it at the end.

    Raises
    ------
    UpstreamError
        where it ends before it answers, or does not answer in time.
    """
    port = free_port() if port is None else port
    url = f"http://127.0.0.1:{port}"
    program = [sys.executable, "-m", "escape_process.jobs.serve", str(config), "127.0.0.1", str(port)]
    variables = {**os.environ, "ESCAPE_URL": url, **(environment or {})}
    with subprocess.Popen(program, env=variables, stdout=log, stderr=log) as process:
        try:
            wait_ready(url, process, seconds)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(GRACE + STOP_SECONDS + 5)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_ready(url: str, process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until the server at `url`, run by `process`, answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise UpstreamError(f"The server ended with exit code {process.returncode} before it answered.")
        try:
            if httpx.get(f"{url}/conformance?f=json", timeout=5, trust_env=False).is_success:  # loopback: no proxy
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise UpstreamError(f"The server did not answer at {url} within {seconds:g} s.")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
