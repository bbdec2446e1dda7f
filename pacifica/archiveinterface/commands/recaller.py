"""The command ``recaller``: has files recalled in a process of its own.

A uWSGI worker starts one like that: ``python -m pacifica.archiveinterface.commands.recaller PARENT``, with its own
process id for PARENT.
"""

import argparse
import logging
import os
import queue
import signal
import sys
from contextlib import suppress

from ..exception import ConfigurationError
from ..globals import LOG_NAME
from ..recalls.service import RecallService
from ..servers.supervisor import STOP_SIGNALS
from ..servers.systemd import leave_systemd, notify_ready, notify_reloading, notify_stopping
from ..web.logs import form_log, log_to_stderr
from .startup import Site, choose, fail

_POLL = 0.5  # seconds
_log = logging.getLogger(LOG_NAME)


def work(site: Site, given: argparse.Namespace) -> int:
    """Recall files until SIGTERM or SIGINT; return 0. At SIGHUP begin anew, with the configuration as it is then.

    Raises ConfigurationError.
    """
    site.require_layout()
    signals = _signals(signal.SIGHUP)
    with site.recalls.at_work():
        notify_ready("recalls files")
        while (number := _next_of(signals)) == signal.SIGHUP and not _can_begin_anew(given):
            pass
        if number in STOP_SIGNALS:
            notify_stopping()
    if number == signal.SIGHUP and signals.empty():
        # A new program: the library of a storage may log in only once in a process.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return 0


def _next_of(signals: "queue.SimpleQueue[int]") -> int:
    while True:  # a signal that arrives just before the wait begins does not end it
        with suppress(queue.Empty):
            return signals.get(timeout=_POLL)


def _can_begin_anew(given: argparse.Namespace) -> bool:
    notify_reloading()
    try:
        choose(given.type, given.prefix, given.config).site()
    except ConfigurationError as error:
        _log.error("not reloaded, the recaller goes on as before: %s", error)
        notify_ready(f"goes on as before, not reloaded: {error}")
        return False
    return True


def main() -> int:
    """Recall files until SIGTERM, or until the process that started this one has ended; return the exit code.

    That process may have ended before this one has read who its parent is: so it tells its id.
    """
    log_to_stderr()
    leave_systemd()
    try:
        choice = choose()
        form_log(choice.config.log.format)
        site = choice.site()
        site.require_layout()
        _work_beside(int(sys.argv[1]), site.recalls)
    except ConfigurationError as error:
        return fail("recaller", error)
    return 0


def _work_beside(parent: int, recalls: RecallService) -> None:
    signals = _signals()
    with recalls.at_work():
        while parent == os.getppid():
            with suppress(queue.Empty):
                signals.get(timeout=_POLL)
                return


def _signals(*others: signal.Signals) -> "queue.SimpleQueue[int]":
    """Return a queue of the signals that ask to stop, and of *others*, as they arrive."""
    # Not an Event: a second signal may interrupt the thread that holds its lock.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (*STOP_SIGNALS, *others):
        signal.signal(number, lambda number, _: signals.put(number))
    return signals


if __name__ == "__main__":
    sys.exit(main())
