"""Where a file may be moved from."""

import os
from collections.abc import Callable, Collection, Iterable

from ...exception import ConfigurationError, ForbiddenPathError, RequestError


def allowed_place(
    path: str, roots: Iterable[str], closed: Collection[str], encode: Callable[[str], bytes] = os.fsencode
) -> tuple[str, str]:
    """Return the first of *roots* that *path* lies below, and the path from there.

    *closed* are names of directories that nothing may be moved from; *encode* returns what the storage makes of
    a path. Raises RequestError unless *path* is absolute, ForbiddenPathError.
    """
    if not path.startswith("/") or "\0" in path or not _is_encodable(path, encode):
        raise RequestError("path is not an absolute path")
    names = [name for name in path.split("/") if name not in ("", ".")]
    if {"..", *closed} & set(names):
        raise ForbiddenPathError("path leads out of the places that files may be moved from")
    tidy = "/" + "/".join(names)
    for root in roots:
        start = f"{root.rstrip('/')}/"
        if tidy.startswith(start):
            return root, tidy[len(start) :]
    raise ForbiddenPathError("path lies outside the places that files may be moved from")


def require_directories(roots: Iterable[str]) -> None:
    """Raise ConfigurationError unless all *roots*, those of ``move_roots``, are directories of this host."""
    for root in roots:
        if not os.path.isdir(root):
            raise ConfigurationError(f"[archive] move_roots: {root!r} is not a directory")


def _is_encodable(path: str, encode: Callable[[str], bytes]) -> bool:
    try:
        encode(path)
    except UnicodeEncodeError:
        return False
    return True
