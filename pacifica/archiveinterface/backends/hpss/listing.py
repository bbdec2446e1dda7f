"""Walking through a directory of HPSS."""

import errno
import stat
import time
from collections.abc import Iterator, Sequence

from .session import Session

_STALE_AFTER = 86400.0  # seconds without a change; an upload writes more often


def files_below(session: Session, root: str, directory: str = "", after: Sequence[str] = ()) -> Iterator[str]:
    """Yield the path, below *root*, of what is below *directory* and is not a directory, by the names along the paths.

    Only what comes after the path of names *after* is looked at. Raises HPSSError.
    """
    client = session.client
    top = f"{root}/{directory}" if directory else root
    for name in sorted(session.call(lambda: client.listdir(top))):
        if after and name < after[0]:
            continue
        path = f"{directory}/{name}" if directory else name
        begun = bool(after) and name == after[0]
        if stat.S_ISDIR(_found(session, f"{root}/{path}")["mode"]):
            yield from files_below(session, root, path, after[1:] if begun else ())
        elif not begun:
            yield path


def _found(session: Session, path: str) -> dict[str, int]:
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
        if time.time() - _found(session, f"{directory}/{name}")["mtime"] > _STALE_AFTER:
            yield name
