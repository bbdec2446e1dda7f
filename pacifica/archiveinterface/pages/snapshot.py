"""Content that many ask for, and that is made at most once a second."""

import threading
import time
from collections.abc import Callable

_MOST_AGE = 1.0  # seconds


class Snapshot:
    """What *make* returned lately; any number of threads may share it."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        """Call *make* when somebody asks."""
        self._make = make
        self._lock = threading.Lock()
        self._content = b""
        self._made_at = float("-inf")

    def __call__(self) -> bytes:
        """Return the content, at most a second old. Raises what making it raises."""
        with self._lock:
            if time.monotonic() - self._made_at >= _MOST_AGE:
                self._content = self._make()
                self._made_at = time.monotonic()
            return self._content
