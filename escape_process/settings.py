"""What the operator decides: where catalogues are, where results go, how remote hosts are spoken to.

In a server these stand under `processor: settings:` of pygeoapi-config.yml, where `${VAR:-default}` is resolved.
"""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from escape_process.errors import InvalidInputError


class Settings(BaseModel):
    """The operator's settings. Relative paths are relative to the folder of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path("var")
    """Results, the served catalogue and job records lie here."""
    catalog_seed: Path | None = Path("catalog")
    """Static catalogue copied into the served tree at start; None: begin with an empty one."""
    catalogs: dict[str, str] = {"sample": "catalog/samples/collection.json"}
    """Catalogues that a client may name: name to http(s) URL or local path."""
    default_catalog: str = "sample"
    results_collection: str = "escape-soil-moisture"
    """Id of the STAC collection that results are published in."""
    public_url: str | None = None
    """Address under which this server is reached; result hrefs start with it. None: local paths."""
    device: str = "auto"
    """"auto", "cpu" or "cuda": where the ensemble runs."""
    http_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds to wait for a remote host to connect or to send more."""
    http_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """How often a failing remote read is tried."""
    max_items: Annotated[int, Field(ge=1)] = 1000
    """Most catalogue items that one search looks at."""

    @model_validator(mode="after")
    def _default_is_known(self) -> Self:
        if self.default_catalog not in self.catalogs:
            raise ValueError(f"default_catalog {self.default_catalog!r} is not among catalogs {sorted(self.catalogs)}")
        return self

    @classmethod
    def load(cls, values: dict[str, Any], folder: Path) -> Self:
        """Check settings read from a file in `folder` and make their paths absolute.

        Raises
        ------
        InvalidInputError
            naming the setting and its value.
        """
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "settings"
            raise InvalidInputError(f"Setting {where} = {first['input']!r}: {first['msg']}.") from error
        folder = folder.resolve()
        return settings.model_copy(
            update={
                "data_dir": folder / settings.data_dir,
                "catalog_seed": None if settings.catalog_seed is None else folder / settings.catalog_seed,
                "catalogs": {
                    name: href if "://" in href else str(folder / href) for name, href in settings.catalogs.items()
                },
            }
        )

    @property
    def catalog_dir(self) -> Path:
        """The served static catalogue."""
        return self.data_dir / "catalog"

    @property
    def results_dir(self) -> Path:
        """Published results: one folder an item, inside the served catalogue."""
        return self.catalog_dir / self.results_collection

    @property
    def unpublished_dir(self) -> Path:
        """Results of requests with `publish` false: served by address, listed nowhere."""
        return self.data_dir / "unpublished"

    @property
    def work_dir(self) -> Path:
        """Finished blocks and calibrated ensembles, kept for resumed and repeated work."""
        return self.data_dir / "work"
