"""Validation of STAC documents against schemas on disk: the network is never asked."""

import json
from pathlib import Path
from typing import Any

import pystac
import pystac.validation
from pystac.validation.stac_validator import JsonSchemaSTACValidator


class OfflineValidator(JsonSchemaSTACValidator):
    """Knows the schemas of a folder laid out as HOST/PATH; asks for no other."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for path in sorted(folder.rglob("*.json")):
            self.schema_cache.setdefault(
                f"https://{path.relative_to(folder).as_posix()}", json.loads(path.read_text(encoding="utf-8"))
            )


def validate_offline(document: dict[str, Any], schemas: Path) -> list[str]:
    """Validate an item, collection or catalogue with all its extensions.

    Parameters
    ----------
    schemas
        Folder of schemas, `stac_schemas` of the real data.

    Returns
    -------
    The addresses of the schemas that the document was held against.

    Raises
    ------
    pystac.errors.STACValidationError
        where the document breaks a schema.
    """
    return pystac.validation.validate_dict(document, validator=OfflineValidator(schemas))
