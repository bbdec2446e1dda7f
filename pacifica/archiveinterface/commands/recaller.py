"""The command ``recaller``: has files recalled in a process of its own.

A uWSGI worker starts one like that: ``python -m pacifica.archiveinterface.commands.recaller PARENT``, with its own
process id for PARENT.
"""

import argparse
import os
import queue
import signal
import sys
from contextlib import suppress

from ..exception import ConfigurationError
from ..recalls.service import RecallService
from ..servers.supervisor import STOP_SIGNALS
from ..web.logs import log_to_stderr
from .startup import Site, choose, fail

_POLL = 0.5  # seconds


def work(site: Site, given: argparse.Namespace) -> int:
    """Recall files until SIGTERM or SIGINT; return 0."""
    return _work(site.recalls)


def main() -> int:
    """Recall files until SIGTERM, or until the process that started this one has ended; return the exit code.

    That process may have ended before this one has read who its parent is: so it tells its id.
    """
    log_to_stderr()
    try:
        return _work(choose().site().recalls, parent=int(sys.argv[1]))
    except ConfigurationError as error:
        return fail("recaller", error)


def _work(recalls: RecallService, parent: int | None = None) -> int:
    # Not an Event: a second signal may interrupt the thread that holds its lock.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda number, _: signals.put(number))
    with recalls.at_work():
        while parent in (None, os.getppid()):
            with suppress(queue.Empty):
                signals.get(timeout=_POLL)
                break
    return 0


if __name__ == "__main__":
    sys.exit(main())
