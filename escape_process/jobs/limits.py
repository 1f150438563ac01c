"""What the operator allows jobs: members of `server.manager` in pygeoapi-config.yml."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from escape_process.errors import InvalidInputError


class Limits(BaseModel):
    """Bounds of the queue, of one job, and of how long finished jobs are kept."""

    model_config = ConfigDict(frozen=True)

    max_queue: Annotated[int, Field(ge=1)] = 100
    """Most jobs that wait."""
    max_jobs_per_owner: Annotated[int, Field(ge=1)] = 20
    """Most unfinished jobs of one owner."""
    max_seconds: Annotated[float, Field(gt=0)] = 6 * 3600
    """Longest that one attempt of a job may run."""
    max_rss_mib: Annotated[float, Field(gt=0)] | None = None
    """Most resident memory of a job's processes; None: as much as there is."""
    max_attempts: Annotated[int, Field(ge=1)] = 3
    """Attempts that may end without an outcome before the job fails."""
    max_retries: Annotated[int, Field(ge=0)] = 3
    """How often a job is tried again after a catalogue or an asset host failed for the moment."""
    retry_seconds: Annotated[float, Field(gt=0)] = 30
    """How long it waits before the first of these; twice as long before each further one."""
    keep_days: Annotated[float, Field(gt=0)] = 30
    """How long finished jobs and their results are kept; what was published stays."""

    @classmethod
    def read(cls, manager_def: Mapping[str, Any]) -> Self:
        """Read them from the manager's definition.

        Raises
        ------
        InvalidInputError
            naming the member and its value.
        """
        try:
            return cls.model_validate({name: manager_def[name] for name in cls.model_fields if name in manager_def})
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInputError(
                f"Setting manager.{first['loc'][0]} = {first['input']!r}: {first['msg']}."
            ) from error
