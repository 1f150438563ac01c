"""A result's files: one COG a layer, a quicklook, a report."""

from escape_process.product.cogs import write_product

__all__ = ["write_product"]
