"""Where blocks are computed: part of the operator's settings."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Engine = Literal["inline", "processes", "dask"]
"""In the job's own process, in several processes of the same machine, or by the workers of a Dask cluster."""


def _check_scheduler(address: str) -> str:
    if re.fullmatch(r"tls://[^\s/?#@]+:\d{1,5}", address) is None:
        raise ValueError("must be tls://host:port: without TLS whoever reaches the port runs code and reads secrets")
    return address


class DaskCluster(BaseModel):
    """A running Dask cluster, spoken to by TLS alone. It is never started from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduler: Annotated[str, AfterValidator(_check_scheduler)]
    """Address of its scheduler, `tls://host:port`."""
    ca: Path
    """Certificate of the authority that signed those of the scheduler, the workers and this client, PEM."""
    cert: Path
    """Certificate of this client, PEM."""
    key: Path
    """Private key of this client, PEM."""
    resources: dict[str, Annotated[float, Field(gt=0)]] = {}
    """What one block takes of its worker, such as {GPU: 1}: as many workers as GPUs then compute."""

    def within(self, folder: Path) -> Self:
        """Return it with its paths relative to a folder."""
        return self.model_copy(update={name: folder / getattr(self, name) for name in ("ca", "cert", "key")})
