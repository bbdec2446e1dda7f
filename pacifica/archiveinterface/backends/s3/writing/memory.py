"""The memory that all uploads of a process share for their parts."""

import threading
from collections import deque

from ....exception import StorageBusyError

_LONGEST_WAIT = 60.0  # seconds; the service waits as long for a client that sends nothing


class Memory:
    """*size* bytes that uploads share; an upload takes memory for a whole part before it receives the first byte of it.

    Every part that was begun can therefore be finished, and no two uploads wait for each other.
    """

    def __init__(self, size: int) -> None:
        """Limit the memory to *size* bytes; a larger part gets its memory when no other part has any."""
        self._size = size
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    def take(self, count: int) -> None:
        """Take *count* bytes, in the order of arrival, when they are free. Raises StorageBusyError after a minute."""
        mine = object()
        with self._changed:
            self._queue.append(mine)
            try:
                if not self._changed.wait_for(lambda: self._is_turn(mine, count), _LONGEST_WAIT):
                    raise StorageBusyError("too many uploads are in progress, try again later")
                self._used += count
            finally:
                self._queue.remove(mine)
                self._changed.notify_all()

    def give_back(self, count: int) -> None:
        """Free *count* bytes."""
        with self._changed:
            self._used -= count
            self._changed.notify_all()

    def _is_turn(self, mine: object, count: int) -> bool:
        return self._queue[0] is mine and (not self._used or self._used + count <= self._size)
