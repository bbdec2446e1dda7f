"""uWSGI's workers: what they do before their first request, how they end, and the recallers of two of them."""

import logging
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable

import uwsgi

from ...exception import ConfigurationError
from ...globals import LOG_NAME, python_program

_LOOK_INTERVAL = 2.0  # seconds
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
_WITH_RECALLER = (1, 2)  # numbers of workers
_recallers: list[subprocess.Popen[bytes]] = []
_log = logging.getLogger(LOG_NAME)
_at_start: list[Callable[[], None]] = []


def at_worker_start(action: Callable[[], None]) -> None:
    """Let each worker do *action* before its first request, after the actions before."""
    _at_start.append(action)
    uwsgi.post_fork_hook = _start_worker


def _start_worker() -> None:
    try:
        for action in _at_start:
            action()
    except KeyboardInterrupt:
        os._exit(0)  # uWSGI stops, and tells each worker once


def end_with_master() -> None:
    """Let the worker end when uWSGI stops, even if it was still starting when it was told to.

    uWSGI tells each worker once to finish. One that does not take signals yet would wait for ever on the closed
    sockets, and uWSGI for it. Like all threads, this one runs between requests only with ``enable-threads``.
    """
    threading.Thread(target=_end_with_master, name="stop", daemon=True).start()


def stop_if_refused(check: Callable[[], None]) -> None:
    """Do the *check* in a worker; uWSGI stops when it raises ConfigurationError."""
    try:
        check()
    except ConfigurationError as error:
        _log.error("the service stops: %s", error)
        os.kill(uwsgi.masterpid(), signal.SIGINT)


def _end_with_master() -> None:
    # uWSGI ends a process in the thread in which a signal arrives. Python would wait there for its main one.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    while True:
        time.sleep(_LOOK_INTERVAL)  # uWSGI does not tell a worker that the sockets are shut
        is_idle = uwsgi.workers()[uwsgi.worker_id() - 1]["status"] == b"idle"
        if is_idle and _are_shut(uwsgi.sockets):
            os.kill(os.getpid(), signal.SIGHUP)


def _are_shut(descriptors: Iterable[int]) -> bool:
    """Return whether one of the listening sockets was shut (shutdown-sockets).

    In a worker that does not serve a socket (map-socket), /dev/null has its number, and that is never shut.
    """
    poll = select.poll()  # SO_ACCEPTCONN stays as it is when a local socket is shut
    for descriptor in descriptors:
        poll.register(descriptor, 0)  # POLLHUP is reported always
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def start_recaller() -> None:
    """Let two of the workers run a recaller, each in a process of its own: one is at work, the other stands by.

    Threads of a worker run only during requests unless uWSGI was started with ``enable-threads``. The process ends
    with its worker.
    """
    if uwsgi.worker_id() in _WITH_RECALLER:
        command = [python_program(), "-m", "pacifica.archiveinterface.commands.recaller", str(os.getpid())]
        _recallers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))


def replace_lost_recaller() -> None:
    """Start a recaller again if the one of this worker was killed."""
    if _recallers and _recallers[-1].poll() is not None:
        start_recaller()
