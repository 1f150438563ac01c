"""The real process with small blocks, which writes down who finished which, and waits at a moment that a test names."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from escape_process.layers import LAYERS
from escape_process.process import EscapeProcessor
from escape_process.records import Observables, Window
from escape_process.request import RetrievalRequest
from escape_process.stages import RetrieveBlock

MOMENTS = ("claimed", "calibrating", "blocks", "writing", "publishing", "made")
"""Before the search; amid the calibration; after two blocks; after three layers; with half a collection written; with
all done that is not yet recorded."""


FULL = Path("/dev/full")
"""Has no space left, ever."""


class SmallBlocks(EscapeProcessor):
    """Its pipeline's block is 32 pixels wide, and it keeps next to nothing of a remote file.

    Beside the configuration it reads `stop`, the moment to wait at while that file is there, and `full`, which makes
    the disk full after two blocks; it writes `stopped`, its process id, and `blocks.txt`.
    """

    def _run(self, request: RetrievalRequest) -> Any:
        self._folder = Path(os.environ["PYGEOAPI_CONFIG"]).parent
        self._blocks = self._layers = 0
        self._wait_at("claimed")
        self._change_pipeline()
        outcome = super()._run(request)
        self._wait_at("made")
        return outcome

    def _change_pipeline(self) -> None:
        from escape_process import hrefs, pipeline, sources  # noqa: PLC0415  # not for a listing
        from escape_process.catalogue import publish  # noqa: PLC0415
        from escape_process.engine import blocks  # noqa: PLC0415
        from escape_process.product import cogs  # noqa: PLC0415

        sources.BLOCK_SIZE, sources.CACHED_BLOCKS = 16 * 1024, 1
        hrefs.GDAL_CACHE_BYTES = 100_001  # GDAL takes smaller numbers for megabytes
        pipeline.block_edge = lambda stack: 32
        save, write_layer, appearing = blocks.save_block, cogs.write_layer, publish._appearing
        calibrated = self._calibrated(pipeline)

        def calibrate(*arguments: Any, progress: Callable[[float, str], None], **more: Any) -> Any:
            def report(share: float, message: str) -> None:
                progress(share, message)
                if share > 0.3:
                    self._wait_at("calibrating")

            return calibrated(*arguments, progress=report, **more)

        def save_block(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
            if self._blocks == 2 and (self._folder / "full").exists():
                np.savez(FULL.open("wb"), **arrays)
            save(path, arrays)
            with (self._folder / "blocks.txt").open("a") as file:
                file.write(f"{path.stem}\n")
            self._blocks += 1
            if self._blocks == 2:
                self._wait_at("blocks")
            time.sleep(0.1)

        def write(*arguments: Any) -> Any:
            written = write_layer(*arguments)
            self._layers += 1
            if self._layers == 3:
                self._wait_at("writing")
            return written

        @contextlib.contextmanager
        def appear(path: Path) -> Iterator[Path]:
            with appearing(path) as partial:
                yield partial
                if self._layers and path.name == "collection.json":
                    self._wait_at("publishing")

        pipeline.calibrated, blocks.save_block = calibrate, save_block
        cogs.write_layer, publish._appearing = write, appear

    def _calibrated(self, pipeline: Any) -> Callable[..., Any]:
        """Return the pipeline's calibration."""
        return pipeline.calibrated

    def _wait_at(self, moment: str) -> None:
        stop = self._folder / "stop"
        with contextlib.suppress(FileNotFoundError):
            if stop.read_text() == moment:
                (self._folder / "stopped").write_text(str(os.getpid()))
                while stop.exists():
                    time.sleep(0.01)


class StandInBlocks(SmallBlocks):
    """Computes next to nothing: every layer is a channel of the scene."""

    def _calibrated(self, pipeline: Any) -> Callable[..., Any]:
        def calibrated(*arguments: Any, progress: Callable[[float, str], None], **more: Any) -> SimpleNamespace:
            for step in range(11):
                progress(step / 10, "Calibrating")
                time.sleep(0.1)
            return SimpleNamespace(report={})

        pipeline.RetrieveBlock = CopyBlock
        return calibrated


class CopyBlock(RetrieveBlock):
    """A retrieval that only copies."""

    def compute(self, window: Window, observed: Observables) -> dict[str, np.ndarray[Any, Any]]:
        return {layer.name: np.nan_to_num(observed.sigma0[:, 0] * 100).astype(layer.dtype) for layer in LAYERS}
