"""What has to be asked of storage and database for a page, none of which may hold the page up for long."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from typing import Any, Generic, TypeVar

from ..exception import ArchiveInterfaceError, BackendUnavailableError

LONGEST_WAIT = 2.0  # seconds that all questions of a page together may take

T = TypeVar("T")


class Question(Generic[T]):
    """Something that is asked in a thread of its own; one that hangs is waited for, not begun again."""

    def __init__(self, ask: Callable[[], T]) -> None:
        """*ask* raises an ArchiveInterfaceError when something cannot be used."""
        self._ask = ask
        self._lock = threading.Lock()
        self._running: Future[T] | None = None

    def begin(self) -> "Future[T]":
        """Return the answer to come."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                threading.Thread(target=self._run, args=(self._running,), name="check", daemon=True).start()
            return self._running

    def _run(self, result: "Future[T]") -> None:
        try:
            result.set_result(self._ask())
        except ArchiveInterfaceError as error:
            result.set_exception(error)
        finally:
            if not result.done():
                result.set_exception(BackendUnavailableError("the check failed, the log tells why"))


def answers(questions: Iterable[Question[Any]]) -> list[Any]:
    """Return the answer to each of *questions*, or the error; they are asked at the same time."""
    end = time.monotonic() + LONGEST_WAIT
    return [_answer(begun, end) for begun in [question.begin() for question in questions]]


def _answer(begun: "Future[T]", end: float) -> T | ArchiveInterfaceError:
    """Return what comes until *end* of the monotonic clock."""
    try:
        return begun.result(max(end - time.monotonic(), 0))
    except NoAnswerError:
        return BackendUnavailableError(f"no answer within {LONGEST_WAIT:g} seconds")
    except ArchiveInterfaceError as error:
        return error
