"""Many clients at a time that send nothing, or a byte now and then, or read nothing."""

import select
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice

from tests.support.waiting import TIMEOUT

COUNT = 500
ONE_HOST = ("127.0.0.1",)
MANY_HOSTS = tuple(f"127.0.0.{number}" for number in range(2, 52))


class Crowd:
    """Connections that wait, each with a part of a request."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self._connections = connections

    def send(self, part: bytes) -> None:
        """Send *part* on each connection."""
        for connection in self._connections:
            connection.sendall(part)

    def answered(self) -> int:
        """Return how many have received something, or were closed."""
        poll = select.poll()
        for connection in self._connections:
            poll.register(connection, select.POLLIN)
        return len(poll.poll(0))


@contextmanager
def crowd(
    address: tuple[str, int],
    count: int = COUNT,
    hosts: Sequence[str] = ONE_HOST,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Crowd]:
    """Connect *count* times to *address*, from each of *hosts* in turn, and make the handshakes of *tls*.

    The connections are closed when the block is left.
    """
    with ExitStack() as stack:
        connections = []
        for host in islice(cycle(hosts), count):
            connection = stack.enter_context(socket.create_connection(address, TIMEOUT, source_address=(host, 0)))
            connections.append(stack.enter_context(tls.wrap_socket(connection)) if tls else connection)
        yield Crowd(connections)
