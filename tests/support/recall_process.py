"""A recaller as a process of its own, until SIGTERM."""

import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.forked import ForkedProcess
from tests.support.recall_site import Site
from tests.support.tape import Tape
from tests.support.waiting import await_true

LEASE = 1.0  # seconds
_WORKS = "this process recalls files from tape"


class RecallProcess:
    """A process with a recaller, which is at work or stands by."""

    def __init__(self, process: ForkedProcess, log: Path) -> None:
        self.process, self._log = process, log

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    @property
    def is_at_work(self) -> bool:
        """Whether it has been at work."""
        return _WORKS in self.log

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def recall_process(url: str, tape: Tape) -> Iterator[RecallProcess]:
    """Run a recaller for the *tape* with the database at *url* until the block is left."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        process = ForkedProcess(_recall, url, tape.path, log.name)
        try:
            yield RecallProcess(process, Path(log.name))
        finally:
            process.kill()
            process.wait()


def wait_for_work(*processes: RecallProcess) -> RecallProcess:
    """Return the first of *processes* that is at work."""
    await_true(lambda: any(process.is_at_work for process in processes))
    return next(process for process in processes if process.is_at_work)


def _recall(url: str, tape: Path, log: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", filename=log)
    site = Site(url, Tape(tape), lease_seconds=LEASE, database_timeout=2.0)
    site.archive.is_quick = True
    signal.signal(signal.SIGTERM, lambda *_: site.recaller.stop())
    site.recaller.run()
