"""Storage scopes of tokens as permissions and ids.

The names and their meaning: WLCG Common JWT Profiles, "Capability-based authorization", and SciTokens Claims and
Scopes Language. A scope is a name and a path, ``storage.read:/12345``. In the paths of an issuer, the file 12345 is
``/12345`` below the base path of the issuer. A path stands for itself and what is below it, by whole segments.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from ..exception import FileIdError
from ..id2filename import parse_file_id
from .permissions import Grant, IdRanges, Permission

Scopes = Mapping[str, frozenset[Permission]]
"""The permissions that a scope gives, by its name."""

# WLCG lets all but storage.poll ask for the metadata of a file; gfal2 does so before it stores or removes one.
_CHANGE = frozenset((Permission.WRITE, Permission.REPLACE, Permission.DELETE, Permission.MOVE, Permission.STAT))
PROFILES: Mapping[str, Scopes] = {
    "wlcg": {
        "storage.read": frozenset((Permission.READ,)),
        "storage.create": frozenset((Permission.WRITE, Permission.STAT)),
        "storage.modify": _CHANGE,
        "storage.stage": frozenset((Permission.STAGE, Permission.POLL, Permission.STAT)),
        "storage.poll": frozenset((Permission.POLL,)),
    },
    "scitokens": {"read": frozenset((Permission.READ,)), "write": _CHANGE},
}
Ranges = tuple[tuple[int, int], ...]
NOTHING = (Grant(frozenset(), IdRanges(())),)
"""The grants of a principal that may do nothing, whatever the permissions of a user with the same name."""

# RFC 3986's pchar, without percent-encoding: no id needs it, and two spellings of one path could differ in meaning.
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+")
_NO_IDS = IdRanges(())


def granted_by(scopes: Iterable[str], known: Scopes, base_path: str) -> tuple[Grant, ...] | None:
    """Return what *scopes* grant; None if none of them has a name in *known*.

    A scope without a path, or with one that `path_segments` refuses, grants nothing.
    """
    named = [(name, path) for name, _, path in (scope.partition(":") for scope in scopes) if name in known]
    if not named:
        return None
    base = path_segments(base_path) or ()
    paths: dict[str, list[IdRanges | None]] = {}
    for name, path in named:
        paths.setdefault(name, []).append(_ids_below(path, base))
    return tuple(Grant(known[name], _union(found)) for name, found in paths.items())


def path_segments(path: str) -> tuple[str, ...] | None:
    """Return the segments of *path*; None if it is malformed.

    It begins with a slash; dot segments, percent-encoding and characters that no URL path has are malformed. Empty
    segments are left out, as in ``//12345`` and ``/12345/``; but of slashes alone, only ``/`` is a path.
    """
    segments = tuple(segment for segment in path.split("/") if segment)
    is_root = path == "/"
    is_plain = all(_SEGMENT.fullmatch(segment) and segment not in (".", "..") for segment in segments)
    return segments if path.startswith("/") and is_plain and (segments or is_root) else None


def _ids_below(path: str, base: tuple[str, ...]) -> IdRanges | None:
    """Return the ids that *path* covers; None for all."""
    segments = path_segments(path)
    if segments is None:
        return _NO_IDS
    if segments == base[: len(segments)]:
        return None
    if segments[:-1] != base:
        return _NO_IDS
    try:
        number = parse_file_id(segments[-1])
    except FileIdError:
        return _NO_IDS
    return IdRanges(((number, number),))


def _union(found: Iterable[IdRanges | None]) -> IdRanges | None:
    ranges: set[tuple[int, int]] = set()
    for ids in found:
        if ids is None:
            return None
        ranges.update(ids.ranges)
    return IdRanges(tuple(sorted(ranges)))


def limited(grants: Iterable[Grant], most: Grant) -> tuple[Grant, ...]:
    """Return the part of *grants* that *most* grants, too; `NOTHING` if there is none."""
    kept = []
    for grant in grants:
        permissions, ids = grant.permissions & most.permissions, _common(grant.ids, most.ids)
        if permissions and (ids is None or ids.ranges):
            kept.append(Grant(permissions, ids))
    return tuple(kept) or NOTHING


def _common(first: IdRanges | None, second: IdRanges | None) -> IdRanges | None:
    if first is None or second is None:
        return second if first is None else first
    return IdRanges(tuple(_overlaps(first.ranges, second.ranges)))


def _overlaps(first: Ranges, second: Ranges) -> Iterator[tuple[int, int]]:
    one = other = 0
    while one < len(first) and other < len(second):
        start, end = max(first[one][0], second[other][0]), min(first[one][1], second[other][1])
        if start <= end:
            yield start, end
        if first[one][1] < second[other][1]:
            one += 1
        else:
            other += 1
