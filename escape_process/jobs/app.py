"""The WSGI application: pygeoapi's, with our job views, the page, the catalogue's files and the STAC API beside it."""

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from escape_process.jobs.auth import owner
from escape_process.jobs.files import install_files
from escape_process.jobs.guards import Guarded, install_guards
from escape_process.jobs.manager import JobManager
from escape_process.jobs.operations import install_operations
from escape_process.jobs.problems import handle_errors
from escape_process.jobs.views import JobViews
from escape_process.settings import Settings
from escape_process.viewer import install_viewer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOGGER = logging.getLogger(__name__)


def create_app() -> tuple["WSGIApplication", JobManager]:
    """Build the application of the configuration that PYGEOAPI_CONFIG and PYGEOAPI_OPENAPI name.

    Call it once, in the process that serves.
    """
    import pygeoapi.flask_app as stock  # noqa: PLC0415  # reads the configuration when it is imported

    logging.getLogger("escape_process").setLevel(logging.INFO)
    manager = stock.api_.manager
    if not isinstance(manager, JobManager):
        raise TypeError("server.manager.name must be escape_process.jobs.manager.JobManager")
    settings = manager.settings()
    JobViews.install(stock.APP, manager, stock.api_.base_url)
    install_files(stock.APP, settings)
    install_operations(stock.APP, manager, settings)
    install_viewer(stock.APP, settings, stock.api_.base_url, owner)
    install_guards(stock.APP, manager, settings)
    handle_errors(stock.APP)
    return Guarded(DispatcherMiddleware(stock.APP, {"/stac-api": StacApiMount(settings)}), settings), manager


class StacApiMount:
    """The STAC API, an ASGI application, as WSGI; under the server's public address whatever the client called it.

    Built by its first request: its event loop is a thread, which would not survive the fork of a web worker.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._bridge: Any = None

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ = {**environ, "PATH_INFO": environ.get("PATH_INFO") or "/"}
        if self._settings.public_url is not None:
            public = urlsplit(self._settings.public_url)
            environ["wsgi.url_scheme"] = public.scheme
            environ["HTTP_HOST"] = public.netloc
            environ["SCRIPT_NAME"] = public.path.rstrip("/") + environ["SCRIPT_NAME"]
        answer: Iterable[bytes] = self._application()(environ, start_response)
        return answer

    def _application(self) -> Any:
        with self._lock:
            if self._bridge is None:
                logging.getLogger("stac_fastapi.types.config").setLevel(
                    logging.ERROR
                )  # warns of defaults it never uses
                from a2wsgi import ASGIMiddleware  # noqa: PLC0415

                from escape_process.catalogue.api import create_stac_api  # noqa: PLC0415  # slow to import

                application: Any = create_stac_api(
                    self._settings.catalog_dir
                )  # a2wsgi's types are narrower than ASGI's
                self._bridge = ASGIMiddleware(application)
            return self._bridge
