"""The real process with small blocks, which writes down who computed which."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from escape_process.process import EscapeProcessor
from escape_process.records import Window
from escape_process.request import RetrievalRequest


class SmallBlocks(EscapeProcessor):
    """Its pipeline's block is 32 pixels wide; each takes long enough to be killed between two."""

    def _run(self, request: RetrievalRequest) -> Any:
        from escape_process import pipeline  # noqa: PLC0415  # not for a listing

        record = Path(os.environ["PYGEOAPI_CONFIG"]).parent / "blocks.txt"

        class Recorded(pipeline.RetrieveBlock):
            def __call__(self, block: Window) -> Mapping[str, np.ndarray[Any, Any]]:
                arrays = super().__call__(block)
                with record.open("a") as file:
                    file.write(f"{os.getpid()} r{block.row}_c{block.column}_{block.height}x{block.width}\n")
                time.sleep(0.3)
                return arrays

        pipeline.RetrieveBlock = Recorded
        pipeline.block_edge = lambda stack: 32
        return super()._run(request)
