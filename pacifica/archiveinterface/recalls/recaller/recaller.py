"""The recaller: it has the files recalled that the database says are wanted. One is at work, others stand by."""

import logging
import threading

from ...backends.abstract.archive import AbstractBackendArchive
from ...connections import DatabaseUnavailableError
from ...exception import ArchiveInterfaceError
from ...globals import LOG_NAME
from ..options import RecallOptions
from ..pruning import Pruning
from ..store import Store
from .keeping import Keeping
from .lease import HeldLease, LeaseLostError
from .locating import Locating
from .outcomes import Outcomes
from .pace import Pace
from .pins import Pins
from .queues import Queues
from .starting import Starting
from .watching import Watching

_LOOK_AGAIN = 1.0  # seconds between two looks at the database
_AFTER_FAILURE = 5.0  # seconds

_log = logging.getLogger(LOG_NAME)


class Recaller:
    """Runs until it is stopped; a failure of the database or the storage delays it."""

    def __init__(self, archive: AbstractBackendArchive, store: Store, options: RecallOptions) -> None:
        """Have the files of *archive* recalled that *store* says are wanted."""
        outcomes = Outcomes(options)
        self._lease = HeldLease(store, options.lease_seconds)
        self._queues = Queues(store, options)
        keeping = Keeping(archive, store)
        self._locating = Locating(archive, store, options, outcomes, keeping)
        self._watching = Watching(archive, store, options, outcomes, keeping)
        self._starting = Starting(archive, store, options, outcomes, self._queues)
        self._pins, self._pruning = Pins(archive, store, options), Pruning(store, options)
        self._pace = Pace(store)
        self._pause = min(options.poll_seconds, options.lease_seconds / 4, _LOOK_AGAIN)
        self._wakes = threading.Event()
        self._is_stopped = False

    def wake(self) -> None:
        """Look at the database now: something was asked for."""
        self._wakes.set()

    def stop(self) -> None:
        """Let `run` return, after what it is doing."""
        self._is_stopped = True
        self._wakes.set()

    def run(self) -> None:
        """Work, or stand by, until `stop`."""
        while not self._is_stopped:
            self._wakes.clear()
            pause = self.turn()
            if not self._is_stopped:
                self._wakes.wait(pause)
        self._leave()

    def turn(self) -> float:
        """Do what is due; return after how many seconds to look again."""
        try:
            was_held = self._lease.is_held
            if not self._lease.take():
                return self._pause
            with self._lease.kept():
                if not was_held:
                    self._take_over()
                return self._work()
        except LeaseLostError:
            _log.warning("another recaller is at work now")
        except DatabaseUnavailableError:  # the connections have logged it
            pass
        except ArchiveInterfaceError as error:
            _log.error("the recaller could not go on: %s", error)
        except Exception:
            _log.exception("the recaller failed, and goes on")
        self._lease.is_held = False
        return _AFTER_FAILURE

    def _take_over(self) -> None:
        _log.info("this process recalls files from tape")
        self._queues.take_over()
        self._pace.take_over(self._lease)
        self._watching.take_over(self._lease)

    def _work(self) -> float:
        is_more = self._locating(self._lease)
        is_more |= self._watching(self._lease)
        is_more |= self._starting(self._lease)
        is_more |= self._pins(self._lease) | self._pruning(self._lease.change)
        self._pace(self._lease)
        self._lease.keep()
        return 0.0 if is_more else self._pause

    def _leave(self) -> None:
        try:
            self._lease.give_back()
        except ArchiveInterfaceError as error:
            _log.warning("the lease of the recaller could not be given back: %s", error)
