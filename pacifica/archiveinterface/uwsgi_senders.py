"""Files transmitted inside uWSGI, without holding the worker up.

What the connection takes at once is sent at once. The rest goes to a thread with a duplicate of
the connection, and the worker takes its next request: uWSGI closes only its own descriptor.

uWSGI's own ways are not used. Its ``wsgi.file_wrapper`` knows no ranges. Its ``offload-threads``
know no time-out, are cut off when the worker ends, and send one after the other what has to be
read from a slow disk.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress

import uwsgi

from .exception import ArchiveInterfaceError
from .transmission import FilePart, Transmission

_MOST_THREADS = 256  # of one worker; further downloads hold it up, as without threads
_PATIENCE = float(uwsgi.opt.get("socket-timeout", 4))  # seconds; uWSGI's default

# With these, what is written to the descriptor of the connection is not what the client gets, or not alone.
_NOT_PLAIN = {
    *("https-socket", "suwsgi-socket", "ssl-socket", "http11-socket", "http-socket11", "puwsgi-socket"),
    *("fastcgi-socket", "fastcgi-nph-socket", "protocol", "socket-protocol"),
    *("async", "gevent", "asyncio", "tornado", "loop"),
}


class _Senders:
    """The threads of this worker that go on sending while it answers other requests."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def take(self, transmission: Transmission) -> bool:
        """Return whether a thread of its own finishes *transmission*."""
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            if len(self._threads) >= _MOST_THREADS:
                return False
            detached = transmission.detached()
            thread = threading.Thread(target=_finish, args=(detached,))
            try:
                thread.start()
            except RuntimeError:  # the system has none left
                detached.close()
                return False
            self._threads.add(thread)
        return True

    def wait(self) -> None:
        """Let what is being sent be finished before the worker ends, for as long as uWSGI's mercy lasts."""
        threads = [thread for thread in self._threads if thread.is_alive()]
        # An idle worker is within the handler of the signal that stops it, and not of that which reloads it.
        if threads and signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            close_port()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second one would end the worker at once
        for thread in threads:
            thread.join()


def close_port() -> None:
    """Let no new request in, for all workers."""
    for listening in uwsgi.sockets:
        with suppress(OSError), socket.socket(fileno=os.dup(listening)) as port:
            port.shutdown(socket.SHUT_RDWR)


def _transmit(part: FilePart, write: Callable[[bytes], object]) -> None:
    write(b"")  # the head
    transmission = Transmission(uwsgi.connection_fd(), part)
    if not (transmission.advance() or (_has_threads() and _senders.take(transmission))):
        transmission.finish(_PATIENCE)


def _finish(transmission: Transmission) -> None:
    # The client sees its connection break; what is wrong with the file has been logged.
    with closing(transmission), suppress(ArchiveInterfaceError, OSError):
        transmission.finish(_PATIENCE)


def _has_threads() -> bool:
    # Without, an idle worker never lets go of the interpreter.
    return "enable-threads" in uwsgi.opt or "threads" in uwsgi.opt


def _is_plain() -> bool:
    return not any(option in _NOT_PLAIN or "route" in option for option in uwsgi.opt)


_senders = _Senders()
uwsgi.atexit = _senders.wait
transmit = _transmit if _is_plain() else None
