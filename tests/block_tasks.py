"""Tasks for blocks of a made-up grid, importable by worker processes, which misbehave where a test says so."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine

from escape_process.engine import Arrays, blocks_of
from escape_process.errors import SceneError, UpstreamError
from escape_process.records import Grid, Window

GRID = Grid("EPSG:32630", Affine(50, 0, 600000, 0, -50, 4600000), 300, 200)
BLOCKS = blocks_of(GRID, Window(0, 0, 200, 300), 64)
VICTIM = BLOCKS[5]


@dataclass(frozen=True)
class Numbered:
    """Fills each block with a number of its own.

    `act` names what befalls `VICTIM`: "die" and "die once" kill the process that computes it, "refuse" raises a
    sentence about a scene, "fail" a fault, "unreadable" fails to read it.
    """

    folder: Path
    """Where each computed block leaves a line: its place and the process."""
    act: str = ""
    seconds: float = 0.0

    @contextmanager
    def reading(self) -> Iterator[Callable[[Window], int]]:
        def read(block: Window) -> int:
            if self.act == "unreadable" and block == VICTIM:
                raise OSError("half a block")
            return block.row * 1000 + block.column

        try:
            yield read
        except OSError as error:
            raise UpstreamError("The host at example.org sent half a block.") from error

    def compute(self, block: Window, observed: int, /) -> Arrays:
        with (self.folder / "computed.txt").open("a") as file:
            file.write(f"{block.row}_{block.column} {os.getpid()}\n")
        time.sleep(self.seconds)
        if block == VICTIM:
            self._act()
        return {"soil_moisture": np.full((1, block.height, block.width), observed, dtype=np.float32)}

    def _act(self) -> None:
        if self.act == "die" or (self.act == "die once" and not (self.folder / "died").exists()):
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.act == "refuse":
            error = SceneError("The block at 64, 0 is wrong.")
            error.scene = "damaged"
            raise error
        if self.act == "fail":
            raise ZeroDivisionError("a fault of ours")

    def lines(self) -> list[tuple[str, int]]:
        """Return each computation so far: block and process."""
        path = self.folder / "computed.txt"
        lines = path.read_text().split("\n") if path.exists() else []
        return [(place, int(pid)) for place, pid in (line.split() for line in lines if line)]


def are_right(files: list[tuple[Window, Path]]) -> bool:
    """Tell whether all blocks are there, each with its number."""
    assert [block for block, _ in files] == BLOCKS
    for block, path in files:
        with np.load(path) as arrays:
            assert arrays["soil_moisture"].shape == (1, block.height, block.width)
            assert (arrays["soil_moisture"] == block.row * 1000 + block.column).all()
    return True
