"""A file that is open in HPSS.

It outlives a new login: a file whose descriptor was closed for it opens itself again where it was.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from ..abstract.undoing import UndoOnError
from .calls.session import Session
from .calls.workers import Workers

T = TypeVar("T")

# Opening must not recall a file; without O_NONBLOCK it would, and wait for the tape.
READ = os.O_RDONLY | os.O_NONBLOCK


class HpssExtended:
    """A file open in HPSS, at *position* bytes from its start."""

    def __init__(
        self,
        filepath: str,
        session: Session,
        workers: Workers,
        flags: int = READ,
        creation: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Open the file at *filepath*, to read or write it by *workers*. Raises HPSSError.

        *creation* is mode, class of service, family and size.
        """
        self.filepath = filepath
        self.position = 0
        self._session = session
        self._workers = workers
        self._flags = flags & ~(os.O_CREAT | os.O_EXCL)
        self._descriptor = session.call(lambda: session.open(filepath, flags, *(creation or ())))

    @staticmethod
    def parse_latency(latency_tuple: tuple[float, float]) -> float:
        """Return the seconds between asking and answer, both by this machine's monotonic clock."""
        asked, answered = latency_tuple
        return answered - asked

    def _use(self, action: Callable[[Any], T]) -> T:
        return self._session.use(lambda: action(self._ready_descriptor()), self._workers)

    def _ready_descriptor(self) -> Any:
        if self._descriptor.closed:  # for a new login
            self._descriptor = self._reopened()
        return self._descriptor

    def _reopened(self) -> Any:
        descriptor = self._session.open(self.filepath, self._flags)

        def close() -> None:
            # Not when it is collected: by then its number may belong to another file.
            with suppress(self._session.client.HPSSError):
                descriptor.close()

        with UndoOnError(close):
            descriptor.seek(self.position, os.SEEK_SET)
        return descriptor
