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
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx
import yaml
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]
from pygeoapi.process.manager.base import get_manager
from pygeoapi.util import yaml_load

from escape_process.errors import InvalidInputError, StorageError, UpstreamError
from escape_process.jobs.app import create_app, settings_of
from escape_process.jobs.manager import JobManager
from escape_process.jobs.openapi import make_openapi
from escape_process.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOGGER = logging.getLogger("escape_process.jobs.serve")  # not __main__, which run as a module has

GRACE = 5
"""Seconds that a stopping server leaves to answers that are under way."""


def _seed_catalogue(settings: Settings) -> None:
    from escape_process.catalogue.publish import ensure_catalogue  # noqa: PLC0415

    ensure_catalogue(settings)


def serve(
    config: Path,
    host: str | None = None,
    port: int | None = None,
    threads: int = 8,
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
        Requests answered at once. Jobs run one at a time beside them.
    prepare
        Called with the settings before the server listens: makes the served catalogue.

    Raises
    ------
    InvalidInputError
        where the configuration or the address cannot be used.
    StorageError
        where another server uses the same data folder.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    logging.getLogger("escape_process").setLevel(logging.INFO)
    # pygeoapi takes the keys of every JSON object for languages and warns of each one that is none
    logging.getLogger("pygeoapi.l10n").setLevel(logging.ERROR)
    bind = _load(config)["server"]["bind"]
    listener = _listen(host or str(bind["host"]), int(bind["port"]) if port is None else port)
    os.environ.setdefault("ESCAPE_URL", _address(listener))
    os.environ["PYGEOAPI_CONFIG"] = str(config.resolve())
    document = _load(config)
    settings = settings_of(get_manager(document))
    lock = _claim(settings.data_dir)
    LOGGER.info("Configuration %s, data in %s", config, settings.data_dir)
    prepare(settings)
    LOGGER.info("Catalogue ready at %s/catalog/catalog.json", settings.public_url)
    _write_openapi(config, settings.data_dir / "openapi.json")
    LOGGER.info("Serving at %s, listening on %s", document["server"]["url"], _address(listener))
    try:
        _Server(listener.detach(), threads).run()
    finally:
        os.close(lock)


def _load(config: Path) -> dict[str, Any]:
    try:
        with config.open(encoding="utf-8") as file:
            document: dict[str, Any] = yaml_load(file)
    except OSError as error:  # also pygeoapi's own error for a variable that is not set
        raise InvalidInputError(
            f"The configuration {config.name} cannot be read: {error.strerror or error}."
        ) from error
    except yaml.YAMLError as error:
        raise InvalidInputError(f"The configuration {config.name} is not valid YAML: {error}.") from error
    if not isinstance(document, dict) or "bind" not in (document.get("server") or {}):
        raise InvalidInputError(f"The configuration {config.name} has no server.bind; is it pygeoapi's?")
    return document


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
    """Lock the data folder while this server lives: a second server would fail the first one's jobs.

    The lock belongs to the open file, which web workers inherit, and goes with the last of them however they end.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StorageError(f"The data folder {data_dir} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
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


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A web worker that tells the running job of a stop at once, not after the answers under way."""

    manager: JobManager | None = None

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.manager = self.app.manager

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self.manager is not None:
            self.manager.request_stop()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        if self.manager is not None:
            self.manager.request_stop()
        super().handle_quit(sig, frame)


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one web process: jobs live in it."""

    manager: JobManager | None = None

    def __init__(self, listener: int, threads: int) -> None:
        self._listener = listener
        self._threads = threads
        super().__init__()

    def load_config(self) -> None:
        values = {
            "bind": f"fd://{self._listener}",
            "workers": 1,
            "threads": self._threads,
            "worker_class": _Worker,
            "timeout": 0,  # a synchronous execution may take minutes
            "graceful_timeout": GRACE,
            "loglevel": "warning",
            "worker_exit": _end_jobs,
            "control_socket_disable": True,  # gunicorn 25.1 and later: no control file in the home folder
        }
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        application, self.manager = create_app()
        return application


def _end_jobs(arbiter: Any, worker: _Worker) -> None:
    if worker.manager is not None and not worker.manager.stop(seconds=2.0):
        logging.shutdown()
        os._exit(0)  # a job inside a long computation: its thread must not hold up the stop


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
                process.wait(2 * GRACE + 5)
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
