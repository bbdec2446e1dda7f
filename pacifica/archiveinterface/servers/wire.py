"""The bytes of a connection of the launcher: taken without blocking, or read and written with patience."""

import os
import select
import socket
from typing import Any

from .patience import Patience


class Wire:
    """A connection as it is, without TLS."""

    def __init__(self, connection: socket.socket, patience: Patience) -> None:
        """Let *connection* block no more; *patience* bounds the waiting of `read`, `read_into` and `write`."""
        connection.setblocking(False)
        self._socket = connection
        self.patience = patience
        self.bytes_written = 0

    is_plain_http = False
    """The client does not speak the TLS that it is expected to."""

    def environ(self) -> dict[str, Any]:
        """Return what TLS tells of the connection and the client, for the WSGI environment."""
        return {}

    def is_amid(self) -> bool:
        """Return whether something has begun to arrive that cannot be read yet."""
        return False

    def holds(self) -> bool:
        """Return whether something was received and not read, which no selector would tell."""
        return False

    def is_stuck(self) -> bool:
        """Return whether the client has to take something before it can send more."""
        return False

    def take(self, most: int) -> bytes:
        """Return what has arrived, at most *most* bytes; none at the end. Raises BlockingIOError, OSError."""
        return os.read(self._socket.fileno(), most)

    def take_into(self, room: memoryview) -> int:
        """Put what has arrived into *room* and return its length; 0 at the end. Raises BlockingIOError, OSError."""
        return self._socket.recv_into(room)

    def read(self, most: int) -> bytes:
        """Wait for bytes and return them, at most *most*; none at the end. Raises OSError, TimeoutError."""
        while True:
            try:
                arrived = self.take(most)
            except BlockingIOError:
                self._await_bytes()
            else:
                self.patience.renew(len(arrived))
                return arrived

    def read_into(self, room: memoryview) -> int:
        """Wait for bytes, put them into *room*, and return their length; 0 at the end. Raises OSError, TimeoutError."""
        while True:
            try:
                length = self.take_into(room)
            except BlockingIOError:
                self._await_bytes()
            else:
                self.patience.renew(length)
                return length

    def write(self, block: bytes) -> int:
        """Send the whole *block* and return its length in bytes. Raises OSError, TimeoutError."""
        rest = memoryview(block)
        while rest:
            try:
                sent = self._socket.send(rest)
            except BlockingIOError:
                self.patience.await_client(self._socket.fileno(), select.POLLOUT)
            else:
                self.patience.renew(sent)
                rest = rest[sent:]
        self.bytes_written += len(block)
        return len(block)

    def finish(self) -> None:
        """Say that no more is sent, where the protocol has a word for that."""

    def _await_bytes(self) -> None:
        self.patience.await_client(self._socket.fileno(), select.POLLIN | (select.POLLOUT if self.is_stuck() else 0))
