"""What our own servers offer to the application beyond WSGI: functions under three keys of the WSGI environment.

The launcher sets them, and uWSGI the first two, where they can. Without them the application sends a file in blocks,
reads what is left of a request's body before it answers, and ends each answer by itself. A fourth key is a mark.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from ..exception import StorageError
from ..globals import LOG_NAME

TRANSMIT = "pacifica.transmit"
"""A `Transmit`: sends a part of a file with sendfile().

PEP 3333's ``wsgi.file_wrapper`` would not do: it sends up to the end of the file, and uWSGI's always from its start.
"""
LINGER = "pacifica.linger"
"""A `Linger`: closes the connection after the answer, once the client has sent the rest of its body."""
PAUSE = "pacifica.pause"
"""A `Pause`: waits between two blocks of an answer that has no end of its own."""
TOLD_ADDRESS = "pacifica.told_address"
"""Set if REMOTE_ADDR is not the address of the connection, but one that a web server tells in uWSGI's own protocol."""

# Bytes. Below this size sendfile() is not faster.
TRANSMITTED_FROM = 1 << 18

_log = logging.getLogger(LOG_NAME)


class FilePart(NamedTuple):
    """The *length* bytes from *offset* on of the open file *descriptor*, named *filepath* in the log."""

    descriptor: int
    offset: int
    length: int
    filepath: str


Transmit = Callable[[FilePart, Callable[[int], None]], None]
"""Sends the head of the answer, and then the part; the second argument is told of bytes that were sent."""

Linger = Callable[[int], None]
"""Reads up to so many bytes after the answer."""

Pause = Callable[[float], bool]
"""Waits so many seconds; returns whether the answer is to go on: the client is there, and the server does not stop."""


def ended_early(filepath: str, left: int) -> StorageError:
    """Return the error of a file that has *left* bytes less than its size said, once it is logged."""
    _log.error("%s ended %d bytes before its size", filepath, left)
    return StorageError("the file is shorter than it was")
