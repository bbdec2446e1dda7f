"""The memory that the parts of all uploads have together."""

import threading
from collections import deque

from ...exception import StorageBusyError

_LONGEST_WAIT = 60.0  # seconds; as long as a client may keep silent


class Memory:
    """*size* bytes that uploads share; each takes room for a whole part before it receives the part's first byte.

    So every part that was begun can be finished, and no two uploads wait for each other.
    """

    def __init__(self, size: int) -> None:
        """Hand out *size* bytes at most; a single larger part is let through when nothing else is held."""
        self._size = size
        self._used = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    def take(self, count: int) -> None:
        """Wait for room for *count* bytes, in the order of arrival. Raises StorageBusyError after a minute."""
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
