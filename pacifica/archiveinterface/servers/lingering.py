"""The end of a connection on which the client may still be sending (RFC 9112, 9.6)."""

import socket
import time
from contextlib import suppress

from .patience import UNNOTICED, Patience, Waits
from .wire import Wire

_SILENCE = 2  # seconds without a byte
_SECONDS = 30  # in all
_SLOWEST = 1000  # bytes a second
_BLOCK_SIZE = 1 << 16  # bytes


def linger(connection: socket.socket, most: int, waits: Waits = UNNOTICED) -> None:
    """End the sending side of *connection* and read up to *most* bytes of what the client still sends.

    Closed with bytes unread, the connection would be reset and the client could lose the answer. *waits* is told of
    each wait.
    """
    end, left = time.monotonic() + _SECONDS, most
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        wire = Wire(connection, Patience(_SILENCE, _SLOWEST, waits))
        while left and time.monotonic() < end:
            arrived = wire.read(min(left, _BLOCK_SIZE))
            if not arrived:
                return
            left -= len(arrived)
