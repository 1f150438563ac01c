"""A real server over a loopback socket whose process, `server/stand_in.py`, needs no scenes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml
from serving import PROCESS, ROOT

from escape_process.jobs.serve import background


def serve_stand_in(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    manager: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AbstractContextManager[str]:
    """Serve from a folder, with further settings of the process and, `manager`, of the queue."""
    return serve_config(write_config(folder, manager, **settings), environment)


def write_config(folder: Path, manager: Mapping[str, Any] | None = None, **settings: Any) -> Path:
    """Write the repository's configuration with the stand-in process and without a seed."""
    config = yaml.safe_load((ROOT / "pygeoapi-config.yml").read_text())
    config["server"]["manager"].update(manager or {})
    processor = config["resources"][PROCESS]["processor"]
    processor["name"] = "stand_in.StandIn"
    catalogs = {"sample": str(ROOT / "catalog" / "samples" / "collection.json")}
    processor["settings"].update({"catalog_seed": None, "catalogs": catalogs, **settings})
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def serve_config(config: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve as a configuration says, with `data/` and `server.log` beside it; give the server's address."""
    search = os.pathsep.join([str(ROOT / "tests" / "server"), os.environ.get("PYTHONPATH", "")])
    variables = {"ESCAPE_DATA_DIR": "data", "PYTHONPATH": search, **(environment or {})}
    with (
        config.with_name("server.log").open("ab") as log,
        background(config, environment=variables, log=log, seconds=300) as url,
    ):
        yield url
