"""Commands that run servers, or tell of one: demo, serve, worker, openapi."""

import json
import os
from pathlib import Path

import click
from rich.console import Console

from escape_process.cli.group import CONFIG, JSON, main, shown_progress


@main.command()
@CONFIG
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where results go, instead of var.")
@JSON
def demo(config: Path, data_dir: Path | None, as_json: bool) -> None:
    """Run the whole job on the simulated sample scenes, through a real server on a free loopback port.

    \b
    Examples:
      escape-process demo
      escape-process demo --json
    """
    from escape_process.demo import run_demo

    with shown_progress(quiet=as_json) as progress:
        result = run_demo(config, data_dir, progress)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        result.print(Console())


@main.command()
@CONFIG
@click.option("--host", help="Address to listen on.  [default: the configuration's]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0: a free one.  [default: the configuration's]")
@click.option(
    "--threads",
    type=click.IntRange(2, 64),
    default=32,
    show_default=True,
    help="Requests answered at once; three in four may wait for results.",
)
@click.option("--worker/--no-worker", default=True, show_default=True, help="Run jobs beside the server.")
@click.option("--echo", is_flag=True, help="Offer the process 'echo' too, for tests of clients and of conformance.")
def serve(config: Path, host: str | None, port: int | None, threads: int, worker: bool, echo: bool) -> None:
    """Serve the OGC API, the STAC catalogue and the STAC API until stopped.

    \b
    Examples:
      escape-process serve
      escape-process serve --host 0.0.0.0 --port 8080
      escape-process serve --no-worker
    """
    from escape_process.jobs.serve import serve as serve_until_stopped

    if echo:
        os.environ["ESCAPE_ECHO"] = "true"  # the worker reads it, too
    serve_until_stopped(config, host=host, port=port, threads=threads, with_worker=worker)


@main.command()
@CONFIG
def worker(config: Path) -> None:
    """Run the jobs of a server that was started without a worker, until stopped.

    Needs the server's configuration, environment and data folder; several may share the queue.

    \b
    Examples:
      escape-process worker
      CUDA_VISIBLE_DEVICES=1 escape-process worker
    """
    from escape_process.jobs.startup import configure_logging
    from escape_process.jobs.worker import work

    configure_logging()
    work(config)


@main.command()
@CONFIG
def openapi(config: Path) -> None:
    """Print the OpenAPI document of a server without starting it, for gateways and generators of clients.

    \b
    Examples:
      escape-process openapi > openapi.json
      ESCAPE_URL=https://soil.example.org escape-process openapi --config pygeoapi-config.yml
    """
    from escape_process.jobs.openapi import make_openapi
    from escape_process.jobs.startup import load_config

    os.environ["PYGEOAPI_CONFIG"] = str(config.resolve())
    load_config(config)
    click.echo(make_openapi(config))
