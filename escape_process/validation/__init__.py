"""Scores of results against soil moisture measured in the ground.

Needs the optional packages of the extra `validation`.
"""

from escape_process.errors import EscapeError

try:
    from escape_process.validation.run import validate
    from escape_process.validation.verdict import Validation
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in ("pandas", "pytesmo", "ismn"):
        raise
    raise EscapeError(
        f"Validation needs the package {error.name}: install it with pip install 'escape-process[validation]'."
    ) from error

__all__ = ["Validation", "validate"]
