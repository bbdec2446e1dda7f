"""The daemons of a SAM-QFS host in one thread: the stager with its drives, and the updater."""

import threading
import time
from contextlib import suppress

import pymysql

from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.updater import Updater

POLL = 0.02  # seconds
MOST_EVENTS = 500  # between two looks at whether to end


class Daemons:
    """Serves stage requests and keeps the database in step, between start and stop."""

    def __init__(self, filesystem: SamQfs, updater: Updater | None = None) -> None:
        self.filesystem = filesystem
        self.updater = updater
        self._end = threading.Event()
        self._thread = threading.Thread(target=self.run, name="samqfs-daemons", daemon=True)

    def __enter__(self) -> "Daemons":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End the daemons and wait for them."""
        self._end.set()
        self._thread.join()

    def run(self) -> None:
        """Serve until :meth:`stop`; a database that is away is tried again, as the real updater does."""
        next_look = 0.0
        pause = POLL
        while not self._end.wait(pause):
            began = time.monotonic()
            # What is moved or removed while they look is found at its new place the next time.
            with suppress(pymysql.err.MySQLError, FileNotFoundError):
                self.filesystem.serve_requests()
                pause = max(POLL, time.monotonic() - began)  # the tests need a core, too
                if self.updater and began >= next_look:
                    self.updater.run_once(MOST_EVENTS)
                    # Each look takes longer the more files there are.
                    next_look = 2 * time.monotonic() - began
