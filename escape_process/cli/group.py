"""The command that all others belong to, and what they share."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from escape_process import __version__
from escape_process.errors import EscapeError

_NAME = "escape-process"

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default="pygeoapi-config.yml",
    show_default=True,
    envvar="PYGEOAPI_CONFIG",
    help="Configuration of the server and the process.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")


class _Command(click.Group):
    """Turns every EscapeError into its sentence and exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave out the command's own name where it is said twice.

        Runners of application packages hand a container the whole command line; one whose entry point is this command
        already would else look for a command of that name.
        """
        return super().parse_args(ctx, args[1:] if args[:1] == [_NAME] else args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EscapeError as error:
            _fail(error)


def _fail(error: EscapeError) -> NoReturn:
    click.echo(f"escape-process: {error}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=_Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name=_NAME)
@click.option("-v", "--verbose", is_flag=True, help="Log each step.")
def main(verbose: bool) -> None:
    """Soil moisture and roughness, with uncertainty, from full-polarimetric L-band SAR, without in-situ labels."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")


@contextmanager
def shown_progress(quiet: bool) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on a terminal, plain lines in a log, nothing where `quiet`."""
    console = Console(stderr=True)
    if quiet:
        yield lambda share, message: None
    elif console.is_terminal:
        columns = (
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("Starting", total=1.0)
            yield lambda share, message: bar.update(task, completed=share, description=message)
    else:
        last = ""

        def line(share: float, message: str) -> None:
            nonlocal last
            if message != last:
                click.echo(f"{share:4.0%} {message}", err=True)
                last = message

        yield line
