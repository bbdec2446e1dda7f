"""Content that many ask for, made anew at most once a second, and seldom enough to leave the database to others."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

_MOST_AGE = 1.0  # seconds
_SHARE = 10  # the content is used for at least so many times as long as making it took


T = TypeVar("T")


class Snapshot(Generic[T]):
    """What *make* returned lately; any number of threads may share it."""

    _content: T  # once somebody has asked

    def __init__(self, make: Callable[[], T]) -> None:
        """Call *make* when somebody asks."""
        self._make = make
        self._lock = threading.Lock()
        self._fresh_until = float("-inf")

    def __call__(self) -> T:
        """Return the content, at most a second old if it is made quickly. Raises what making it raises."""
        with self._lock:
            began = time.monotonic()
            if began >= self._fresh_until:
                self._content = self._make()
                made_at = time.monotonic()
                self._fresh_until = made_at + max(_MOST_AGE, _SHARE * (made_at - began))
            return self._content
