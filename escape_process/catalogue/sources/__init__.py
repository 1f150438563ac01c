"""STAC items of products that a user holds, so that scenes no public catalogue lists can be searched and used.

`make_item` makes an item of a product's description, `write_item` and `write_catalogue` write what was made. What no
metadata tells is declared by the user (`Declaration`) or stays unsaid, with a warning: nothing is guessed.
"""

from escape_process.catalogue.sources.items import Declaration, SourceItem, make_item
from escape_process.catalogue.sources.static import write_catalogue, write_collection, write_item, write_root

__all__ = [
    "Declaration",
    "SourceItem",
    "make_item",
    "write_catalogue",
    "write_collection",
    "write_item",
    "write_root",
]
