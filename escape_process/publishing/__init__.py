"""Where results go: the served catalogue, a STAC API, object storage."""

from escape_process.publishing.files import results_folder, sweep_uploads
from escape_process.publishing.results import (
    Delivery,
    Kept,
    check_targets,
    find_result,
    keep_result,
    publish_waiting,
    read_report,
)
from escape_process.publishing.unpublished import find_unpublished

__all__ = [
    "Delivery",
    "Kept",
    "check_targets",
    "find_result",
    "find_unpublished",
    "keep_result",
    "publish_waiting",
    "read_report",
    "results_folder",
    "sweep_uploads",
]
