"""What is noted of a stored file: its digests, and whether it is known to be damaged.

Notes are extended attributes of the file: ``user.pacifica.digest.<algorithm>``, the digest as
bytes, and ``user.pacifica.damaged``, what was found. Where the file system has no such
attributes they are a file below ``.notes``, named after the inode so that they move with the file.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from ...exception import ForbiddenPathError, MissingFileError, NotARegularFileError
from ...id2filename import id2filename
from ..abstract.notes import DAMAGED, Notes
from ..abstract.undoing import UndoOnError
from .partial import Partial
from .tree import Tree, open_regular, split

NOTES = ".notes"  # below the prefix; no id reaches it

_ATTRIBUTE = "user.pacifica."
_DIGEST = "digest."


def read_notes(tree: Tree, fd: int) -> Notes:
    """Return the notes of the open file *fd* below *tree*. Raises OSError."""
    try:
        return _notes_of(_read_attributes(tree, fd))
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    return Notes.of_texts(_read_sidecar(tree, os.fstat(fd)), _DIGEST)


def write_notes(tree: Tree, fd: int, notes: Notes) -> list[str]:
    """Note *notes*, and nothing else, of the open file *fd*; return the directories that got a new entry."""
    try:
        with _writable(fd):
            for name in _read_attributes(tree, fd).keys() - _attributes_of(notes).keys():
                os.removexattr(fd, name)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return _write_sidecar(tree, os.fstat(fd), notes.texts(_DIGEST))
    with _writable(fd):
        return add_notes(tree, fd, notes)


def add_notes(tree: Tree, fd: int, notes: Notes) -> list[str]:
    """Do as `write_notes` does for a new file that can be written to, of which nothing is noted yet."""
    try:
        _require_attributes(tree)
        for name, value in _attributes_of(notes).items():
            os.setxattr(fd, name, value)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return _write_sidecar(tree, os.fstat(fd), notes.texts(_DIGEST))
    return []


def forget_sidecar(tree: Tree, found: os.stat_result) -> None:
    """Remove the notes in a file of their own, if any, of a file that was *found* and is now without a name.

    Somebody has to hold that file open: its inode number must not be another's yet.
    """
    directory, name = split(_sidecar(found))
    with suppress(OSError, MissingFileError), tree.directory(directory) as parent:
        os.unlink(name, dir_fd=parent)


def _attributes_of(notes: Notes) -> dict[str, bytes]:
    # One sha-256 as bytes fits into the inode of ext4, in hex it does not.
    attributes = {_ATTRIBUTE + _DIGEST + name: value for name, value in notes.digests.items()}
    return {**attributes, _ATTRIBUTE + DAMAGED: notes.damaged.encode()} if notes.damaged else attributes


def _notes_of(attributes: dict[str, bytes]) -> Notes:
    start = _ATTRIBUTE + _DIGEST
    digests = {name[len(start) :]: value for name, value in attributes.items() if name.startswith(start)}
    return Notes(digests, attributes.get(_ATTRIBUTE + DAMAGED, b"").decode("ascii", "replace"))


def _require_attributes(tree: Tree) -> None:
    if not tree.has_attributes or not hasattr(os, "listxattr"):  # Python supports them on Linux only
        raise OSError(errno.EOPNOTSUPP, "no extended attributes")


def _read_attributes(tree: Tree, fd: int) -> dict[str, bytes]:
    _require_attributes(tree)
    names = [name for name in os.listxattr(fd) if name.startswith(_ATTRIBUTE)]
    if not names:
        _raise_if_unsupported(fd)  # listing gives an empty list on file systems that keep none
    return {name: os.getxattr(fd, name) for name in names}


def _raise_if_unsupported(fd: int) -> None:
    try:
        os.getxattr(fd, _ATTRIBUTE + DAMAGED)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise


@contextmanager
def _writable(fd: int) -> Iterator[None]:
    """Let the owner write the attributes of a file that is read-only."""
    mode = os.fstat(fd).st_mode & 0o7777
    if mode & 0o200 or os.geteuid() == 0:
        yield
        return
    os.fchmod(fd, mode | 0o200)
    try:
        yield
    finally:
        os.fchmod(fd, mode)


def _sidecar(found: os.stat_result) -> str:
    return NOTES + id2filename(found.st_ino & (1 << 63) - 1)


def _identity(found: os.stat_result) -> dict[str, int]:
    # Inode numbers are reused; with these two, the notes of a removed file are not taken for another file's.
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _read_sidecar(tree: Tree, found: os.stat_result) -> dict[str, str]:
    directory, name = split(_sidecar(found))
    try:
        with tree.directory(directory) as parent:
            fd, sidecar = open_regular(name, parent)
        with open(fd, encoding="utf-8") as file:
            content = json.load(file) if tree.is_at_hand(sidecar) else {}
    except (FileNotFoundError, MissingFileError, ForbiddenPathError, NotARegularFileError, ValueError):
        return {}
    return _texts(content, found)


def _texts(content: Any, found: os.stat_result) -> dict[str, str]:
    """Return the notes in *content*, a sidecar's JSON; none when they are not of the file that was *found*."""
    if not isinstance(content, dict) or content.get("file") != _identity(found):
        return {}
    notes = content.get("notes")
    return {key: text for key, text in notes.items() if isinstance(text, str)} if isinstance(notes, dict) else {}


def _write_sidecar(tree: Tree, found: os.stat_result, texts: dict[str, str]) -> list[str]:
    directory, name = split(_sidecar(found))
    if not texts:
        forget_sidecar(tree, found)
        return []
    with closing(Partial(tree)) as partial, UndoOnError(partial.remove):
        with open(partial.fd, "w", encoding="utf-8", closefd=False) as file:
            json.dump({"file": _identity(found), "notes": texts}, file)
        os.fsync(partial.fd)
        with tree.directory(directory, create=True) as parent:
            partial.move_to(parent, name, replace=True)
    return [directory]
