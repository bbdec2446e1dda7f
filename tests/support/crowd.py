"""Many clients at a time that send nothing, or a byte now and then."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.waiting import TIMEOUT

COUNT = 500


class Crowd:
    """Connections that wait, each with a part of a head."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self._connections = connections

    def send(self, part: bytes) -> None:
        """Send *part* on each connection."""
        for connection in self._connections:
            connection.sendall(part)


@contextmanager
def crowd(address: tuple[str, int], count: int = COUNT) -> Iterator[Crowd]:
    """Connect *count* times to *address*, and close the connections when the block is left."""
    with ExitStack() as stack:
        connect = socket.create_connection
        yield Crowd([stack.enter_context(connect(address, TIMEOUT)) for _ in range(count)])
