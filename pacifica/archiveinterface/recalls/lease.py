"""One recaller is at work at a time, whatever processes and nodes there are: who holds the lease.

The holder counts *beat* up. Another that has seen the same beat for the time of the lease takes over, so the clocks
of the hosts need not agree, and may be set. Each transaction of the holder begins with a beat: a holder that was
suspended and has lost the lease changes nothing.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

from peewee import Database

from .store import Store
from .tables import Lease

T = TypeVar("T")


class LeaseLostError(Exception):
    """Another recaller is at work."""


class HeldLease:
    """The lease as one recaller sees it; one thread uses it."""

    def __init__(self, store: Store, seconds: float) -> None:
        """Take over from a holder that has not been heard of for *seconds*."""
        self._store = store
        self._seconds = seconds
        self._name = f"{socket.gethostname()[:20]}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._seen: tuple[int, float] = (-1, 0.0)  # a beat, and when it was first seen
        self._beat = 0
        self._beaten_at = 0.0
        self.clock = 0.0
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
        self._beat, self._beaten_at, self.clock = beat + 1, time.monotonic(), clock
        return self.is_held

    def _take_from(self, database: Database, beat: int) -> bool:
        taken = Lease.update(holder=self._name, beat=beat + 1).where(Lease.beat == beat).execute(database)
        return bool(taken)

    def change(self, action: Callable[[Database], T]) -> T:
        """Return what *action* returns, which runs in a transaction as the holder. Raises LeaseLostError."""
        began = time.monotonic()
        clock = self.clock + began - self._beaten_at

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
        self._beat, self._beaten_at, self.clock = self._beat + 1, began, clock
        return result

    def now(self) -> float:
        """Return the time on the recaller's clock, seconds."""
        return self.clock + time.monotonic() - self._beaten_at

    def keep(self) -> None:
        """Beat, if the last beat was long ago. Raises LeaseLostError."""
        if time.monotonic() - self._beaten_at > self._seconds / 3:
            self.change(lambda database: None)

    def give_back(self) -> None:
        """Let another take over at once."""
        if self.is_held:
            self.is_held = False
            mine = (Lease.holder == self._name) & (Lease.beat == self._beat)
            self._store.change(lambda database: Lease.update(holder="", clock=self.now()).where(mine).execute(database))
