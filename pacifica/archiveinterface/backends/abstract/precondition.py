"""Conditions of a request on the file that it replaces or removes."""

from __future__ import annotations

from dataclasses import dataclass

from ...exception import AbsentFileError, PreconditionError
from .status import AbstractStatus

ANY = "*"  # in the place of an entity tag: whatever is there


@dataclass(frozen=True)
class Precondition:
    """If-Match, If-None-Match and If-Unmodified-Since (RFC 9110, 13.1) of a request that writes.

    *match* and *none_match* are entity tags, quotes included, or ANY; None when the header was not sent.
    *unmodified_since* is in epoch seconds, and counts only without *match*.
    *only_new*: a file with other bytes is not replaced, as with ``overwrite = refuse``; *only_existing*: there has to
    be a file. *hides_size*: no answer may depend on the size of the file, which the client may not know.
    A store with conditional requests of its own sends these values; a backend that holds a lock calls `check`.
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None
    unmodified_since: float | None = None
    only_new: bool = False
    only_existing: bool = False
    hides_size: bool = False

    def check(self, existing: AbstractStatus | None) -> None:
        """Raise PreconditionError unless *existing*, None for no file, may be replaced or removed.

        Until that is done, nobody else may change the file.
        """
        self.check_match(existing)
        if self.none_match is not None and is_among(self.none_match, existing):
            raise PreconditionError("If-None-Match: the file is there already")

    def check_match(self, existing: AbstractStatus | None) -> None:
        """Raise PreconditionError unless *existing* is the file that the client knows."""
        if self.only_existing and existing is None:
            raise AbsentFileError("there is no file to be replaced")
        if self.match is not None:
            if not is_among(self.match, existing):
                raise PreconditionError("If-Match: the file is another one, or not there")
        elif self.unmodified_since is not None and existing and int(existing.mtime) > self.unmodified_since:
            raise PreconditionError("If-Unmodified-Since: the file is newer")


def is_among(tags: tuple[str, ...], existing: AbstractStatus | None) -> bool:
    """Return whether *existing* has one of *tags*, which may be ANY."""
    return existing is not None and (ANY in tags or existing.etag in tags)


ABSENT = Precondition(none_match=(ANY,))  # nothing is replaced
