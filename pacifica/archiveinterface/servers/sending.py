"""What the launcher writes to a connection."""

import socket


class Sender:
    """Sends blocks without a copy; the writer of cheroot copies each one twice, and what could not be sent again."""

    def __init__(self, connection: socket.socket) -> None:
        """Send on *connection*, whose time-out bounds each wait."""
        self._socket = connection
        self.bytes_written = 0

    def write(self, block: bytes) -> int:
        """Send the whole *block* and return its length in bytes."""
        rest = memoryview(block)
        while rest:
            rest = rest[self._socket.send(rest) :]
        self.bytes_written += len(block)
        return len(block)
