"""Waiting for what happens in other threads and processes."""

import time
from collections.abc import Callable

TIMEOUT = 180  # seconds that a test waits before it gives up; never a measure of speed


def await_true(condition: Callable[[], object]) -> None:
    """Return when *condition* holds; fail when it does not in time."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
