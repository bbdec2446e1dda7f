"""Changing a file that running services read: at once, and by one program at a time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...exception import ConfigurationError
from ...syncing import sync_names

_NEW_MODE = 0o600
_KEPT_BITS = 0o640  # a group may read the file; nobody else may


@contextmanager
def edited(path: str) -> Iterator[list[str]]:
    """Give the lines of the file at *path*; what the block makes of them is the file afterwards.

    A file that does not exist is made, for its owner alone. An error in the block leaves the file as it was. Raises
    ConfigurationError when the file cannot be read or written.
    """
    path = os.path.realpath(path)  # a link stays one
    try:
        with _locked(path) as descriptor:
            old = Path(path).read_text(encoding="utf-8")
            lines = old.splitlines()
            yield lines
            new = "".join(f"{line}\n" for line in lines)
            if new != old:
                _replace(path, new, os.fstat(descriptor))
    except OSError as error:
        raise ConfigurationError(f"{path}: {(error.strerror or 'cannot be changed').lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text file in UTF-8") from error


@contextmanager
def _locked(path: str) -> Iterator[int]:
    """Give a descriptor of the file, which no other program edits within the block."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _NEW_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had the lock may have replaced the file.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _replace(path: str, text: str, old: os.stat_result) -> None:
    directory = os.path.dirname(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(file.fileno(), old.st_uid, old.st_gid)
            os.chmod(file.fileno(), old.st_mode & _KEPT_BITS)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    sync_names(directory)
