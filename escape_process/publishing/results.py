"""A result whose files are written becomes one that others find: in the served catalogue, a STAC API, or both.

Always the files first. What a STAC API has to take goes to the outbox before anything is sent, and leaves it when the
API shows it; so a result outlives an API that is down, and `publish_waiting` completes it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from escape_process.catalogue.publish import find_published, missing_file, public_item, publish
from escape_process.errors import InvalidInputError, StorageError, UpstreamError
from escape_process.hrefs import read_json
from escape_process.publishing.files import stored_folder, upload_files, with_signed_links
from escape_process.publishing.outbox import Outbox
from escape_process.publishing.stac_api import TransactionApi
from escape_process.publishing.unpublished import describe_unpublished
from escape_process.request import RetrievalRequest
from escape_process.settings import Settings

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A result that is stored."""

    item: Mapping[str, Any]
    """As clients get it: every href absolute."""
    warning: str | None = None
    """One sentence where it waits to be published."""


@dataclass(frozen=True)
class Delivery:
    """What became of a result that waited."""

    id: str
    reason: str | None
    """Why it still waits; None: it is published."""


def check_targets(request: RetrievalRequest, settings: Settings) -> None:
    """Refuse to work for a STAC API whose readers could not reach the files.

    Raises
    ------
    InvalidInputError
        naming the setting that is missing.
    """
    storage = settings.object_storage
    files_are_elsewhere = storage is not None and storage.presign is None
    to_api = request.publish and "stac_api" in settings.publish_to
    if to_api and settings.public_url is None and not files_are_elsewhere:
        raise InvalidInputError(
            "Results go to a STAC API, but no setting says under which address their files are read: set public_url."
        )


def read_report(kept: Kept, settings: Settings) -> dict[str, Any]:
    """Return the report that lies with a published result.

    Raises
    ------
    UpstreamError
        where it cannot be read.
    """
    id = kept.item["id"]
    path = settings.results_dir / id / "report.json"
    href = str(path)
    if settings.object_storage is not None and not path.exists():
        href = f"{stored_folder(id, settings.object_storage, settings, published=True)}/{path.name}"
    report: dict[str, Any] = read_json(href, settings)
    return report


def keep_result(
    item: Mapping[str, Any],
    settings: Settings,
    *,
    published: bool,
    cancelled: Callable[[], bool] = lambda: False,
) -> Kept:
    """Store the files of a result where they belong; then publish it, or only describe it.

    Raises
    ------
    StorageError
        where a file is missing or incomplete, or the catalogue or the outbox cannot be written.
    UpstreamError
        where object storage fails; nothing is then published.
    CancelledError
        where the job is dismissed before its result is published.
    """
    item = upload_files(item, settings, published=published, cancelled=cancelled)
    if not published:
        kept = Kept(describe_unpublished(item, settings))
    elif "stac_api" in settings.publish_to:
        kept = _keep_in_api(item, settings)
    else:
        kept = Kept(public_item(publish(item, settings), settings))
    return replace(kept, item=with_signed_links(kept.item, settings, published=published))


def _keep_in_api(item: Mapping[str, Any], settings: Settings) -> Kept:
    missing = missing_file(item, settings)
    if missing is not None:
        raise StorageError(f"The result {item['id']} cannot be published: its file {missing} is missing or incomplete.")
    api = TransactionApi(settings)
    outbox = Outbox(settings)
    public = api.described(item)
    outbox.put(public)
    if "catalog" in settings.publish_to:
        try:
            public = public_item(publish(item, settings), settings)
        except BaseException:
            outbox.remove(item["id"])
            raise
    delivery = _deliver(item["id"], outbox, api, settings)
    return Kept(public, None if delivery.reason is None else _warning(delivery))


def find_result(id: str, settings: Settings) -> Kept | None:
    """Return a result that is published, or waits to be, with all its files whole; None where there is none."""
    try:
        waiting = Outbox(settings).get(id)
    except StorageError as error:
        LOGGER.warning("%s", error)
        return None
    warning = None if waiting is None else _warning(Delivery(id, "it has waited since an earlier request."))
    if "catalog" in settings.publish_to:
        found = find_published(id, settings)
        if found is None:
            return None
        return Kept(with_signed_links(public_item(found, settings), settings, published=True), warning)
    item = waiting
    if item is None:
        try:
            item = TransactionApi(settings).find(settings.results_collection, id)
        except UpstreamError as error:
            LOGGER.warning("cannot look for an earlier result: %s", error)
    if item is None or missing_file(item, settings) is not None:
        return None
    return Kept(item, warning)


def publish_waiting(settings: Settings) -> Sequence[Delivery]:
    """Publish what waits to be; repeating it changes nothing.

    Raises
    ------
    InvalidInputError
        where results wait, but the settings name no STAC API.
    """
    outbox = Outbox(settings)
    ids = outbox.ids()
    if not ids:
        return []
    if settings.stac_api is None:
        raise InvalidInputError(f"{len(ids)} results wait for a STAC API, but the settings name none: set stac_api.")
    api = TransactionApi(settings)
    return [_deliver(id, outbox, api, settings) for id in ids]


def _deliver(id: str, outbox: Outbox, api: TransactionApi, settings: Settings) -> Delivery:
    """Send what waits under an id now, which may be newer than what the caller knows."""
    try:
        with outbox.locked():
            item = outbox.get(id)
            if item is None:  # another process has published it
                return Delivery(id, None)
            missing = missing_file(item, settings)
            if missing is not None:
                return Delivery(id, f"Its file {missing} is missing or incomplete.")
            api.publish(item)
            outbox.remove(id)
    except (UpstreamError, StorageError) as error:
        return Delivery(id, str(error))
    return Delivery(id, None)


def _warning(delivery: Delivery) -> str:
    return (
        f"The result {delivery.id} is complete, but the STAC API does not show it yet: {delivery.reason} It is tried"
        " again later."
    )
