"""How long a thread waits for a client that sends or takes nothing."""

import select
import time

_AT_A_TIME = 1.0  # seconds between two looks at whether the wait has been ended


class Waits:
    """Is told of the threads that wait for their clients; this one does nothing with it."""

    def begin(self, patience: "Patience") -> None:
        """Take note that a thread waits, with *patience*."""

    def end(self, patience: "Patience") -> None:
        """Take note that it waits no more."""


UNNOTICED = Waits()


class Patience:
    """The seconds that a thread may still wait for the client of a request."""

    def __init__(self, seconds: float, rate: float = 0, waits: Waits = UNNOTICED) -> None:
        """Wait at most *seconds* in all; the client earns new ones by *rate* bytes a second, by any byte if it is 0.

        *waits* is told of each wait.
        """
        self._most = self._left = seconds
        self._earned_by_a_byte = 1 / rate if rate else seconds
        self._waits = waits
        self._is_ended = False
        self._begun = float("-inf")
        self._moved = 0  # bytes

    def begin(self) -> None:
        """Begin anew, with the next request."""
        self._left = self._most
        self._is_ended = False
        self._begun = time.monotonic()
        self._moved = 0

    def end(self) -> None:
        """Wait no more. Another thread may call it while one waits, which then ends within a second."""
        self._is_ended = True

    def renew(self, size: int) -> None:
        """Take note of *size* bytes that the client has sent or taken."""
        self._moved += size
        self._left = min(self._most, self._left + size * self._earned_by_a_byte)

    def is_older_than(self, seconds: float) -> bool:
        """Return whether the request began more than *seconds* ago."""
        return time.monotonic() - self._begun > seconds

    def bytes_a_second(self) -> float:
        """Return how fast the client has been since the request began."""
        return self._moved / (time.monotonic() - self._begun)

    def await_client(self, connection: int, events: int) -> None:
        """Return at one of the poll *events* of *connection*, a descriptor. Raises TimeoutError."""
        poll = select.poll()
        poll.register(connection, events)
        self._waits.begin(self)
        try:
            while not self._is_ready(poll):
                if self._left <= 0 or self._is_ended:
                    raise TimeoutError("timed out")  # the words by which cheroot knows that the answer is 408
        finally:
            self._waits.end(self)

    def _is_ready(self, poll: select.poll) -> bool:
        begun = time.monotonic()
        arrived = poll.poll(0 if self._is_ended else max(0, min(self._left, _AT_A_TIME)) * 1000)
        self._left -= time.monotonic() - begun
        return bool(arrived)
