"""A recaller as a process of its own: ``python -m tests.support.recall_process URL TAPE``, until SIGTERM."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.recall_site import Site
from tests.support.service import TIMEOUT
from tests.support.tape import Tape
from tests.support.waiting import await_true

LEASE = 1.0  # seconds
_WORKS = "this process recalls files from tape"


class RecallProcess:
    """A process with a recaller, which is at work or stands by."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
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
        self.process.wait(TIMEOUT)


@contextmanager
def recall_process(url: str, tape: Tape) -> Iterator[RecallProcess]:
    """Run a recaller for the *tape* with the database at *url* until the block is left."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        command = [sys.executable, "-m", "tests.support.recall_process", url, str(tape.path)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield RecallProcess(process, Path(log.name))
        finally:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait(TIMEOUT)


def wait_for_work(*processes: RecallProcess) -> RecallProcess:
    """Return the first of *processes* that is at work."""
    await_true(lambda: any(process.is_at_work for process in processes))
    return next(process for process in processes if process.is_at_work)


def _main(url: str, path: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    site = Site(url, Tape(Path(path)), lease_seconds=LEASE, database_timeout=2.0)
    site.archive.is_quick = True
    signal.signal(signal.SIGTERM, lambda *_: site.recaller.stop())
    site.recaller.run()


if __name__ == "__main__":
    _main(*sys.argv[1:])
