"""Whether a stored file may give way to another one."""

from ...exception import ExistingFileError
from .options import ArchiveOptions
from .precondition import Precondition
from .status import AbstractStatus


class OtherBytesError(ExistingFileError):
    """The stored file has other bytes, and may not be replaced."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the file exists with other bytes and may not be replaced")


def may_replace(options: ArchiveOptions, precondition: Precondition | None) -> bool:
    """Return whether a request with the *precondition* may replace a stored file by one with other bytes."""
    return options.may_replace and not (precondition and precondition.only_new)


def refuse_early(
    options: ArchiveOptions, precondition: Precondition | None, existing: AbstractStatus | None, length: int | None
) -> None:
    """Raise before an upload of *length* bytes, if known, what would be raised at its end for *existing*.

    Raises PreconditionError, OtherBytesError.
    """
    if precondition:
        precondition.check(existing)
    if precondition and precondition.hides_size:
        return
    if existing and not may_replace(options, precondition) and length not in (None, existing.filesize):
        raise OtherBytesError
