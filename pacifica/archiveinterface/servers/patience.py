"""How long a thread waits for a client that sends or takes nothing."""

import select
import time


class Patience:
    """The seconds that a thread may still wait for the client of a request."""

    def __init__(self, seconds: float, rate: float = 0) -> None:
        """Wait at most *seconds* in all; the client earns new ones by *rate* bytes a second, by any byte if it is 0."""
        self._most = self._left = seconds
        self._earned_by_a_byte = 1 / rate if rate else seconds

    def begin(self) -> None:
        """Begin anew, with the next request."""
        self._left = self._most

    def end(self) -> None:
        """Wait no more."""
        self._left = 0

    def renew(self, size: int) -> None:
        """Take note of *size* bytes that the client has sent or taken."""
        self._left = min(self._most, self._left + size * self._earned_by_a_byte)

    def await_client(self, connection: int, events: int) -> None:
        """Return at one of the poll *events* of *connection*, a descriptor. Raises TimeoutError."""
        poll = select.poll()
        poll.register(connection, events)
        begun = time.monotonic()
        if not poll.poll(max(0, self._left) * 1000):
            raise TimeoutError("timed out")  # the words by which cheroot knows that the answer is 408
        self._left -= time.monotonic() - begun
