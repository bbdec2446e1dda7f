"""The If-... headers of a request, compared with what is stored (RFC 9110, 13).

CherryPy's validate_etags and validate_since are not used: they compare dates for equality
only, compare a date although an entity tag was given, and have no weak comparison.
"""

from collections.abc import Mapping

from ...backends.abstract.precondition import ANY, Precondition, is_among
from ...backends.abstract.status import AbstractStatus
from .dates import parse_http_date


class Conditions:
    """The conditions of a request on the stored file."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Read the If-... headers; what is not a date is ignored, as RFC 9110 wants."""
        self._state = _NOTHING
        self._modified_since: float | None = None
        self._range: str | None = None
        if any(name.startswith("If-") for name in headers):  # few requests have one
            self._read(headers)

    def _read(self, headers: Mapping[str, str]) -> None:
        self._state = Precondition(
            match=_entity_tags(headers.get("If-Match"), weak=False),
            none_match=_entity_tags(headers.get("If-None-Match"), weak=True),
            unmodified_since=_date(headers.get("If-Unmodified-Since")),
        )
        self._modified_since = _date(headers.get("If-Modified-Since"))
        self._range = headers.get("If-Range")

    @property
    def of_writing(self) -> Precondition | None:
        """What has to hold before a PUT, PATCH or DELETE; None when nothing has to."""
        return None if self._state == _NOTHING else self._state

    def not_modified(self, existing: AbstractStatus) -> bool:
        """Return whether the reader has *existing* already (304). Raises PreconditionError."""
        self._state.check_match(existing)
        if self._state.none_match is not None:
            return is_among(self._state.none_match, existing)
        return self._modified_since is not None and int(existing.mtime) <= self._modified_since

    def allow_range(self, existing: AbstractStatus) -> bool:
        """Return whether If-Range, if given, names *existing*, so that a part of it is of use."""
        if self._range is None:
            return True
        if '"' in self._range:
            return self._range.strip() == existing.etag
        return parse_http_date(self._range.strip()) == int(existing.mtime)


_NOTHING = Precondition()


def _entity_tags(header: str | None, *, weak: bool) -> tuple[str, ...] | None:
    """Return the entity tags of a list, the weak ones only when *weak*; what is not an entity tag is left out."""
    if header is None:
        return None
    if header.strip() == "*":
        return (ANY,)
    tags, position = [], 0
    while (start := header.find('"', position)) >= 0 and (end := header.find('"', start + 1)) >= 0:
        before = header[position:start].strip(" \t,")
        if before == "" or (weak and before == "W/"):
            tags.append(header[start : end + 1])
        position = end + 1
    return tuple(tags)


def _date(text: str | None) -> float | None:
    return None if text is None else parse_http_date(text.strip())
