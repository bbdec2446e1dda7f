"""Walking through a directory of HPSS."""

import errno
import stat
import time
from collections.abc import Iterator

from .calls.session import Session

_STALE_AFTER = 86400.0  # seconds without a change; an upload writes more often


def children(session: Session, root: str, directory: str, start: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in *directory*, below *root*, from *start* on, in order, each with whether it is a directory.

    Raises HPSSError.
    """
    client = session.client
    path = f"{root}/{directory}" if directory else root
    for name in sorted(session.call(lambda: client.listdir(path))):
        if name >= start:
            yield name, stat.S_ISDIR(_lstat(session, f"{path}/{name}")["mode"])


def _lstat(session: Session, path: str) -> dict[str, int]:
    found: dict[str, int] = session.call(lambda: session.client.lstat(path))
    return found


def stale_files(session: Session, directory: str) -> Iterator[str]:
    """Yield the names in *directory*, if it is there, of files that nobody has written to for a day."""
    client = session.client
    try:
        names = session.call(lambda: client.listdir(directory))
    except client.HPSSError as error:
        if error.errno != errno.ENOENT:
            raise
        return
    for name in sorted(names):
        if time.time() - _lstat(session, f"{directory}/{name}")["mtime"] > _STALE_AFTER:
            yield name
