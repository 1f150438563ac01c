"""What the page needs of the server: the page itself and its files, results as map tiles, and values at a point."""

from escape_process.viewer.page import page_response
from escape_process.viewer.routes import PUBLIC, RESULTS, install_viewer

__all__ = ["PUBLIC", "RESULTS", "install_viewer", "page_response"]
