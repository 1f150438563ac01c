"""Failures that a person can act on. The text of an error is the interface.

Each class fixes the HTTP status, the OGC exception code and the exit code that its failures have. A message is one
sentence for a person: what was wrong, the value, what to do. No paths, no keys, no class names. Any other exception
that reaches a client becomes "internal error in job ID", with the traceback in the log only.
"""

from typing import ClassVar


class EscapeError(Exception):
    """A failure with a sentence for the user.

    Raise one of the subclasses; catch this class where every such failure is treated alike.
    """

    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "NoApplicableCode"
    exit_code: ClassVar[int] = 1


class InvalidInputError(EscapeError, ValueError):
    """The caller asked for something wrong: raise it before any work starts, naming the argument and its value.

    Not for right requests that find nothing (`NoScenesError`) nor for faults of the data found (`SceneError`).
    """

    http_status = 400
    code = "InvalidParameterValue"
    exit_code = 2


class NoScenesError(EscapeError):
    """The request is right, but no usable scene answers it: say what was found, why refused and what to widen."""

    http_status = 422
    code = "NoApplicableScene"


class SceneError(NoScenesError):
    """One scene cannot be used: its rasters or metadata are wrong.

    Name the item, the asset and the value. Raised while a scene is opened or read it only refuses that scene; the
    request fails when no other remains.
    """

    code = "UnusableScene"

    scene: str | None = None
    """Id of the scene of a stack whose rasters broke off while they were read: the others can be used without it."""


class UpstreamError(EscapeError):
    """A catalogue or an asset host did not answer, or answered with something else than was asked."""

    http_status = 502
    code = "UpstreamError"


class TransientError(UpstreamError):
    """A host failed in a way that may soon be over: it could not be reached, was too slow, or said that it is busy.

    The read is tried again, and then the job. Not for an answer that will be the same next time.
    """

    retry_after = 0.0
    """Seconds to wait, as the host says."""


def upstream_error(sentence: str, cause: Exception) -> UpstreamError:
    """Tell of a host's failure in other words; it stays transient where its cause is."""
    return TransientError(sentence) if isinstance(cause, TransientError) else UpstreamError(sentence)


class EngineError(EscapeError):
    """Those who compute blocks cannot do it: lost again and again, of another version, or not installed.

    Not where they are only away for the moment (`TransientError`).
    """

    code = "EngineError"


class StorageError(EscapeError):
    """Results cannot be written: the disk is full or the folder is not writable."""

    http_status = 507
    code = "InsufficientStorage"


class CancelledError(EscapeError):
    """The job was dismissed while it ran. Raised between blocks only, so that nothing half-written remains."""

    http_status = 410
    code = "JobDismissed"


class QueueFullError(EscapeError):
    """As many jobs wait as the operator allows: the same request may be accepted later."""

    http_status = 429
    code = "TooManyRequests"

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        """Seconds after which to try again."""
