"""Threads that call HPSS, so that a call that never returns holds up no more than itself."""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, TypeVar

from ....exception import BackendUnavailableError
from ....globals import LOG_NAME

T = TypeVar("T")

_log = logging.getLogger(LOG_NAME)


class Workers:
    """At most *most* threads that run actions, named *name* in the log; idle ones end with this object.

    An action that takes longer than *timeout* seconds is lost, and its thread with it. Another thread takes its
    place, until *spares* actions are lost at a time: then every action is refused at once. A lost action that ends
    after all is lost no longer.
    """

    def __init__(self, name: str, most: int, spares: int, timeout: float) -> None:
        """Start no thread yet."""
        self._timeout = timeout
        self._threads = _Threads(name, most, spares)
        weakref.finalize(self, self._threads.end).atexit = False

    def run(self, action: Callable[[], T]) -> T:
        """Return what *action* returns. Raises BackendUnavailableError when it is refused or lost."""
        task = _Task(action)
        self._threads.put(task)
        with suppress(FutureTimeoutError):
            task.future.exception(self._timeout)
        if task.future.cancel():  # no thread was free
            raise BackendUnavailableError("HPSS is busy, try again later")
        if self._threads.give_up(task):
            raise BackendUnavailableError("HPSS does not answer, try again later")
        result: T = task.future.result()
        return result


class _Task:
    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action
        self.future: Future[Any] = Future()
        self.is_lost = False

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            try:
                self.future.set_result(self.action())
            except BaseException as error:
                self.future.set_exception(error)


class _Threads:
    def __init__(self, name: str, most: int, spares: int) -> None:
        self._name, self._most, self._spares = name, most, spares
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0  # but those that are lost
        self._idle = 0  # but those that a task was put for
        self._lost = 0

    def put(self, task: _Task) -> None:
        with self._lock:
            if self._lost >= self._spares:
                raise BackendUnavailableError("too many calls to HPSS never returned, try again later")
            if self._idle:
                self._idle -= 1
            elif self._started < self._most:
                self._started += 1
                self._start()
            self._tasks.put(task)

    def give_up(self, task: _Task) -> bool:
        """Return whether *task* is still under way, and have another thread in its place."""
        with self._lock:
            if task.future.done():
                return False
            task.is_lost = True
            self._lost += 1
            self._idle += 1
            self._start()
            if self._lost == self._spares:
                _log.error(
                    "%d calls to HPSS (%s) have not returned: no more are made until one does."
                    " If HPSS is well, restart the service",
                    self._lost,
                    self._name,
                )
            return True

    def end(self) -> None:
        for _ in range(self._most + self._spares):
            self._tasks.put(None)

    def _start(self) -> None:
        # A daemon: a call that hangs must not keep the process from ending.
        threading.Thread(target=self._work, name=f"hpss {self._name}", daemon=True).start()

    def _work(self) -> None:
        while task := self._tasks.get():
            task.run()
            if self._has_ended(task):
                return
            del task

    def _has_ended(self, task: _Task) -> bool:
        """Return whether the thread that ran *task* has lost its place meanwhile."""
        with self._lock:
            if task.is_lost:
                self._lost -= 1
            else:
                self._idle += 1
            return task.is_lost
