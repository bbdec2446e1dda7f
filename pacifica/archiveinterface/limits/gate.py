"""Requests a second and transfers at a time of a principal, decided before a request does anything.

Requests are counted as tokens that a bucket in the database fills with. A process takes some of them at a time, a tenth
of those of a second, and uses them up within a second.
"""

import threading
import time
import uuid
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import NamedTuple

from peewee import Database, Select, fn

from ..exception import RateError
from ..stores import Store, key_of
from .allowances import Allowance
from .holding import FAILURES, Holding, clock, living
from .tables import Bucket, Transfer
from .usage import Quotas

_LOT_SHARE = 0.1  # of the requests of a second, which a process takes together
_LOT_SECONDS = 1.0
_TRANSFER_RETRY = 10  # seconds


class _Lot(NamedTuple):
    """Tokens that this process may use until a time of its clock."""

    tokens: float
    until: float


class Gate:
    """Lets requests pass, for the threads of a process."""

    def __init__(self, store: Store, quotas: Quotas, holding: Holding) -> None:
        """Let principals do what *quotas* has for them."""
        self._store, self._quotas, self._holding = store, quotas, holding
        self._known: set[str] = set()  # keys that have a bucket
        self._lots: dict[str, _Lot] = {}
        self._lock = threading.Lock()

    def admit(self, name: str, *, is_transfer: bool) -> Callable[[], None] | None:
        """Let a request of the principal with this *name* pass; return what is called when its transfer has ended.

        Raises RateError, DatabaseUnavailableError.
        """
        allowance = self._quotas.of(name)
        if allowance.requests is not None and not self._has_token(name):
            self._take_lot(name, allowance)
        if not is_transfer or allowance.transfers is None:
            return None
        transfer = uuid.uuid4().hex
        self._holding.begin(transfer)
        try:
            self._change(name, partial(self._begin, name, transfer, allowance.transfers))
        except BaseException as error:
            self._holding.end(transfer, is_lost=not isinstance(error, RateError))
            raise
        return partial(self._end, transfer)

    def _change(self, name: str, action: Callable[[Database], None]) -> None:
        """Do *action* beside those for other principals."""
        key = key_of(name)
        if key not in self._known:
            new = Bucket.insert(key=key, tokens=0, counted_at=0).on_conflict_ignore()
            self._store.change(lambda database: new.execute(database))
            self._known.add(key)
        self._store.change(action, _bucket(key))

    def _has_token(self, name: str) -> bool:
        with self._lock:
            tokens, until = self._lots.get(name, (0.0, 0.0))
            if tokens < 1 or time.monotonic() > until:
                return False
            self._lots[name] = _Lot(tokens - 1, until)
            return True

    def _take_lot(self, name: str, allowance: Allowance) -> None:
        rate, most = allowance.requests or 0.0, allowance.most_at_once
        wanted = max(1, int(_LOT_SHARE * rate))
        taken = 0

        def take(database: Database) -> None:
            nonlocal taken
            now = clock(database)
            [(tokens, counted_at)] = _bucket(key_of(name)).tuples().execute(database)
            tokens = min(most, tokens + max(0.0, now - counted_at) * rate)
            if tokens < 1:
                seconds = max(1, ceil((1 - tokens) / rate))
                raise RateError(f"more than {rate:g} requests a second, try again later", "requests", seconds)
            taken = min(wanted, int(tokens))
            Bucket.update(tokens=tokens - taken, counted_at=now).where(Bucket.key == key_of(name)).execute(database)

        self._change(name, take)
        with self._lock:
            self._lots[name] = _Lot(taken - 1, time.monotonic() + _LOT_SECONDS)

    def _begin(self, name: str, transfer: str, most: int, database: Database) -> None:
        key, now = key_of(name), self._holding.renew(database)
        counts = (Transfer.key == key) & Transfer.holder.in_(living(now))
        [(others,)] = Transfer.select(fn.COUNT(Transfer.id)).where(counts).tuples().execute(database)
        if others >= most:
            raise RateError(f"more than {most} transfers at a time, try again later", "transfers", _TRANSFER_RETRY)
        Transfer.insert(id=transfer, key=key, holder=self._holding.name).execute(database)

    def _end(self, transfer: str) -> None:
        ended = Transfer.delete().where(Transfer.id == transfer)
        # Beside all others: it needs nothing but its own row.
        nothing = Transfer.select(Transfer.id).where(Transfer.id == transfer)
        is_lost = False
        try:
            self._store.change(lambda database: ended.execute(database), nothing)
        except FAILURES:
            is_lost = True
        self._holding.end(transfer, is_lost=is_lost)


def _bucket(key: str) -> Select:
    return Bucket.select(Bucket.tokens, Bucket.counted_at).where(Bucket.key == key)
