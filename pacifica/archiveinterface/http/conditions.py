"""The If-... headers of a request, compared with what is stored (RFC 9110, 13).

CherryPy's validate_etags and validate_since are not used: they compare dates for equality
only, weigh a date although an entity tag was given, and know no weak comparison.
"""

from collections.abc import Iterator, Mapping

from ..backends.abstract.status import AbstractStatus
from ..exception import PreconditionError
from .dates import parse_http_date


class Conditions:
    """What a request demands of the stored file before it is acted upon."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Read the If-... headers; what is not a date is ignored, as RFC 9110 wants."""
        self._match = headers.get("If-Match")
        self._none_match = headers.get("If-None-Match")
        self._unmodified_since = _date(headers.get("If-Unmodified-Since"))
        self._modified_since = _date(headers.get("If-Modified-Since"))
        self._range = headers.get("If-Range")

    @property
    def restrict_writing(self) -> bool:
        """Whether a PUT or DELETE has anything to check."""
        return (self._match, self._none_match, self._unmodified_since) != (None, None, None)

    def check(self, existing: AbstractStatus | None) -> None:
        """Raise PreconditionError when *existing*, None for no file, may not be written over or removed."""
        self._check_state(existing)
        if self._none_match is not None and self._is_known(existing):
            raise PreconditionError("If-None-Match: the file is there already")

    def not_modified(self, existing: AbstractStatus) -> bool:
        """Return whether the reader has *existing* already (304). Raises PreconditionError."""
        self._check_state(existing)
        if self._none_match is not None:
            return self._is_known(existing)
        return self._modified_since is not None and int(existing.mtime) <= self._modified_since

    def allow_range(self, existing: AbstractStatus) -> bool:
        """Return whether If-Range, if given, names *existing*, so that a part of it is of use."""
        if self._range is None:
            return True
        if '"' in self._range:
            return self._range.strip() == existing.etag
        return parse_http_date(self._range.strip()) == int(existing.mtime)

    def _check_state(self, existing: AbstractStatus | None) -> None:
        if self._match is not None:
            if not _names(self._match, existing, weak=False):
                raise PreconditionError("If-Match: the file is another one, or not there")
        elif self._unmodified_since is not None and existing and int(existing.mtime) > self._unmodified_since:
            raise PreconditionError("If-Unmodified-Since: the file is newer")

    def _is_known(self, existing: AbstractStatus | None) -> bool:
        return _names(self._none_match or "", existing, weak=True)


def _names(header: str, existing: AbstractStatus | None, *, weak: bool) -> bool:
    if existing is None:
        return False
    if header.strip() == "*":
        return True
    return any(tag == existing.etag and (weak or not is_weak) for is_weak, tag in _entity_tags(header))


def _entity_tags(header: str) -> Iterator[tuple[bool, str]]:
    """Yield the entity tags of a list, each with whether it is weak; what is not an entity tag is left out."""
    position = 0
    while (start := header.find('"', position)) >= 0 and (end := header.find('"', start + 1)) >= 0:
        before = header[position:start].strip(" \t,")
        if before in ("", "W/"):
            yield before == "W/", header[start : end + 1]
        position = end + 1


def _date(text: str | None) -> float | None:
    return None if text is None else parse_http_date(text.strip())
