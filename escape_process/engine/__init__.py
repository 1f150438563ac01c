"""The one loop over pixels: blocks are computed here, by worker processes or by a Dask cluster, and become files.

A block travels as a reference, so memory is bounded by block size and worker count. Each finished block is a file of
its own, so an interrupted job finds its finished blocks again.
"""

from escape_process.engine.blocks import (
    blocks_folder,
    blocks_of,
    check_writable,
    remove_unwanted_blocks,
    storage_faults_told,
)
from escape_process.engine.mapping import check_engine, map_blocks
from escape_process.engine.tasks import Arrays, BlockTask

__all__ = [
    "Arrays",
    "BlockTask",
    "blocks_folder",
    "blocks_of",
    "check_engine",
    "check_writable",
    "map_blocks",
    "remove_unwanted_blocks",
    "storage_faults_told",
]
