"""Sending a file's bytes with sendfile(), through a socket that does not block."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

from ..exception import archive_error
from ..http.server_calls import FilePart, ended_early
from .patience import Patience

_BLOCK_SIZE = 1 << 18  # bytes
_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # not from this file system
_UNREACHABLE = (errno.ENOTCONN, errno.EHOSTUNREACH, errno.ENETUNREACH)


class Transmission:
    """A part of a file on its way into a connection; whoever opened the two closes them."""

    def __init__(self, connection: int, part: FilePart, count: Callable[[int], None]) -> None:
        """Send *part* through the non-blocking socket *connection*, a descriptor; *count* is told of bytes sent."""
        self._connection = connection
        self._part = part
        self._count = count

    def advance(self) -> bool:
        """Send what the connection takes now, and return whether that was all.

        Raises OSError when the connection broke, StorageError when the file did.
        """
        while self._part.length:
            try:
                sent = self._send()
            except BlockingIOError:
                return False
            _, offset, left, filepath = self._part
            if not sent:
                raise ended_early(filepath, left)
            self._count(sent)
            self._part = self._part._replace(offset=offset + sent, length=left - sent)
        return True

    def finish(self, patience: Patience) -> None:
        """Send the rest. Raises as `advance`, TimeoutError when the *patience* with the client ends."""
        left = self._part.length
        while not self.advance():
            patience.renew(left - self._part.length)
            left = self._part.length
            patience.await_client(self._connection, select.POLLOUT)

    def _send(self) -> int:
        try:
            return os.sendfile(self._connection, *self._part[:3])
        except OSError as error:
            if error.errno in _NO_SENDFILE:
                return self._send_block()
            if isinstance(error, (ConnectionError, BlockingIOError, TimeoutError)) or error.errno in _UNREACHABLE:
                raise
            raise archive_error(error) from error

    def _send_block(self) -> int:
        descriptor, offset, left, _ = self._part
        try:
            block = os.pread(descriptor, min(left, _BLOCK_SIZE), offset)
        except OSError as error:
            raise archive_error(error) from error
        return os.write(self._connection, block) if block else 0


def send_block(connection: int, block: bytes, patience: Patience) -> None:
    """Send *block* through the non-blocking socket *connection*.

    Raises OSError when the connection broke, TimeoutError when the *patience* with the client ends.
    """
    left = memoryview(block)
    while left:
        try:
            sent = os.write(connection, left)
        except BlockingIOError:
            patience.await_client(connection, select.POLLOUT)
        else:
            patience.renew(sent)
            left = left[sent:]
