"""What the server, the worker and a job's process all do first: set up the log and read the configuration."""

import logging
from pathlib import Path
from typing import Any

import yaml
from pygeoapi.util import yaml_load

from escape_process.errors import InvalidInputError
from escape_process.jobs.logs import formatter


def configure_logging() -> None:
    """Send the log to standard error: what this package does, and other packages' warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("escape_process").setLevel(logging.INFO)
    # pygeoapi takes the keys of every JSON object for languages and warns of each one that is none
    logging.getLogger("pygeoapi.l10n").setLevel(logging.ERROR)


def load_config(config: Path) -> dict[str, Any]:
    """Read a server's configuration as pygeoapi does, `${VAR:-default}` resolved.

    Raises
    ------
    InvalidInputError
        where the file cannot be read, is no server's, or opens pygeoapi's administration interface.
    """
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
    refuse_admin(document)
    return document


def refuse_admin(document: dict[str, Any]) -> None:
    """Refuse to open pygeoapi's administration interface, which asks nobody who they are.

    Raises
    ------
    InvalidInputError
        where the configuration opens it.
    """
    if document["server"].get("admin"):
        raise InvalidInputError("server.admin is set, but that interface has no authentication: set it to false.")
