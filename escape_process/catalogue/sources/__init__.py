"""STAC items of rasters that a user holds, so that scenes no public catalogue lists can be searched and used.

`make_item` describes a folder of georeferenced rasters named by polarization, `make_items` several folders,
`write_item` and `write_catalogue` write what they made. What no metadata tells is declared by the user
(`Declaration`) or stays unsaid, with a warning: nothing is guessed.
"""

from escape_process.catalogue.sources.items import Declaration, SourceItem, make_item, make_items
from escape_process.catalogue.sources.static import write_catalogue, write_collection, write_item, write_root

__all__ = [
    "Declaration",
    "SourceItem",
    "make_item",
    "make_items",
    "write_catalogue",
    "write_collection",
    "write_item",
    "write_root",
]
