"""Moving a local file into the bucket: an upload, and the removal of the file.

A process that is killed between the two leaves both; the same request again completes the move.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from ....digests import Digests, Hasher
from ....exception import ConflictError, MissingFileError, translated_os_errors
from ....globals import LOG_NAME
from ...abstract.file import ArchiveFile
from ...abstract.moving import allowed_place
from ...abstract.precondition import Precondition
from ...abstract.status import Replaced
from ...posix.moving import Source, removable, roots_of
from ...posix.partial import lock

_BLOCK_SIZE = 1 << 20  # bytes
_log = logging.getLogger(LOG_NAME)


def move_up(file: ArchiveFile, old_path: str, precondition: Precondition | None) -> Replaced:
    """Make the local file *old_path*, which lies in one of ``move_roots``, the *file*; return what that was.

    Raises ForbiddenPathError, NotARegularFileError, MissingFileError, PreconditionError, ConflictError, StorageError
    when the local file cannot be removed.
    """
    root, path = allowed_place(old_path, roots_of(file.options.move_roots), ())
    with translated_os_errors(), removable(root, path) as source, _claimed(source):
        hasher = Hasher(file.options.digests)

        def digests() -> Digests:
            source.require_unchanged()
            return hasher.digests()

        blocks = hasher.hashed(iter(partial(os.read, source.fd, _BLOCK_SIZE), b""))
        mod_time, length = source.found.st_mtime, source.found.st_size
        stored = file.store(blocks, mod_time, digests, length=length, precondition=precondition)
        _remove(source)
    return stored.replaced


@contextmanager
def _claimed(source: Source) -> Iterator[None]:
    """Let no other process move the file within the block. Raises ConflictError when another one does."""
    if not lock(source.fd):
        raise ConflictError("another request is moving this file")
    source.look_again()
    if not source.found.st_nlink:
        raise MissingFileError("another request has moved this file")
    yield


def _remove(source: Source) -> None:
    """Remove the file that was stored; another one that has got its name since then is not touched."""
    try:
        source.remove(source.directory)
    except (ConflictError, FileNotFoundError) as error:
        _log.warning("%s/%s is in the archive as it was, and stays: %s", source.path, source.name, error)
