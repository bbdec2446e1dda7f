"""One recaller is at work at a time, whatever processes and nodes there are: who holds the lease.

The holder counts *beat* up. Another that has seen the same beat for the time of the lease takes over, so the clocks
of the hosts need not agree, and may be set. Each transaction of the holder begins with a beat: a holder that was
suspended and has lost the lease changes nothing.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from peewee import Database

from ...exception import ArchiveInterfaceError
from ..store import Store
from ..tables import Lease

T = TypeVar("T")


_LONGEST_WORK = 300.0  # seconds; a storage that does not answer for longer may answer another node


class LeaseLostError(Exception):
    """Another recaller is at work."""


class HeldLease:
    """The lease as one recaller sees it; one thread uses it, beside the one that `kept` starts."""

    def __init__(self, store: Store, seconds: float) -> None:
        """Take over from a holder that has not been heard of for *seconds*."""
        self._store = store
        self._seconds = seconds
        self._name = f"{socket.gethostname()[:20]}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._seen: tuple[int, float] = (-1, 0.0)  # a beat, and when it was first seen
        self._beat = 0
        self._beaten = (0.0, 0.0)  # the recaller's clock at the last beat, and this process's
        self._lock = threading.Lock()
        self.is_held = False

    def take(self) -> bool:
        """Return whether the lease is held, now or again."""
        if self.is_held:
            return True
        [(holder, beat, clock)] = self._store.rows(Lease.select(Lease.holder, Lease.beat, Lease.clock).tuples())
        if self._seen[0] != beat:
            self._seen = (beat, time.monotonic())
        if holder not in ("", self._name) and time.monotonic() - self._seen[1] < self._seconds:
            return False
        self.is_held = self._store.change(lambda database: self._take_from(database, beat))
        self._beat, self._beaten = beat + 1, (clock, time.monotonic())
        return self.is_held

    def _take_from(self, database: Database, beat: int) -> bool:
        taken = Lease.update(holder=self._name, beat=beat + 1).where(Lease.beat == beat).execute(database)
        return bool(taken)

    def change(self, action: Callable[[Database], T]) -> T:
        """Return what *action* returns, which runs in a transaction as the holder. Raises LeaseLostError."""
        with self._lock:
            return self._change(action)

    def _change(self, action: Callable[[Database], T]) -> T:
        if not self.is_held:
            raise LeaseLostError
        began, clock = time.monotonic(), self.now()

        def as_holder(database: Database) -> T:
            mine = (Lease.holder == self._name) & (Lease.beat == self._beat)
            if not Lease.update(beat=Lease.beat + 1, clock=clock).where(mine).execute(database):
                raise LeaseLostError
            return action(database)

        try:
            result = self._store.change(as_holder)
        except BaseException:
            # Whether the beat was counted is not known if the reply was lost.
            self.is_held = False
            raise
        self._beat, self._beaten = self._beat + 1, (clock, began)
        return result

    def now(self) -> float:
        """Return the time on the recaller's clock, seconds."""
        clock, beaten_at = self._beaten
        return clock + time.monotonic() - beaten_at

    def keep(self) -> None:
        """Beat, if the last beat was long ago. Raises LeaseLostError."""
        if time.monotonic() - self._beaten[1] > self._seconds / 3:
            self.change(lambda database: None)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Beat during the block, in which the storage may take its time; not for ever, because it may hang."""
        ended = threading.Event()
        beats = threading.Thread(target=self._beat_until, args=(ended,), name="recaller's lease", daemon=True)
        beats.start()
        try:
            yield
        finally:
            ended.set()
            beats.join()

    def _beat_until(self, ended: threading.Event) -> None:
        deadline = time.monotonic() + _LONGEST_WORK
        with suppress(LeaseLostError, ArchiveInterfaceError):  # the next change tells
            while not ended.wait(self._seconds / 4) and time.monotonic() < deadline:
                self.keep()

    def give_back(self) -> None:
        """Let another take over at once."""
        if self.is_held:
            self.is_held = False
            mine = (Lease.holder == self._name) & (Lease.beat == self._beat)
            self._store.change(lambda database: Lease.update(holder="", clock=self.now()).where(mine).execute(database))
