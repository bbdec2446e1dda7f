"""Whether a stored file may give way to another one."""

from ...exception import ConflictError
from .options import ArchiveOptions
from .precondition import Precondition
from .status import AbstractStatus


class OtherBytesError(ConflictError):
    """The stored file has other bytes, and ``overwrite`` is ``refuse``."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the file exists with other bytes and may not be replaced")


def refuse_early(
    options: ArchiveOptions, precondition: Precondition | None, existing: AbstractStatus | None, length: int | None
) -> None:
    """Raise before an upload of *length* bytes, if known, what would be raised at its end for *existing*.

    Raises PreconditionError, OtherBytesError.
    """
    if precondition:
        precondition.check(existing)
    if existing and not options.may_replace and length not in (None, existing.filesize):
        raise OtherBytesError
