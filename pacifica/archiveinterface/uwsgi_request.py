"""What a request has to see to inside uWSGI: the connection closes, and a stop waits for requests in flight.

uWSGI stops a worker at once when it is told to end (``die-on-term``), which would cut uploads
and downloads off. While a request runs, the signal that ends the worker is therefore caught: the
port is closed and uWSGI's own graceful ending is called, which waits for the request, bounded by
``worker-reload-mercy`` (60 seconds unless set). Between requests the signal calls that ending itself.
"""

import ctypes
import os
import signal
import threading
from typing import Any

from .serving import ArchiveRequest
from .transmission import TRANSMIT
from .uwsgi_senders import close_port, transmit

_END = signal.SIGINT  # what uWSGI's master sends its workers

_process = ctypes.CDLL(None)
_process.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_process.signal.restype = ctypes.c_void_p
_gracefully_kill = ctypes.cast(_process.gracefully_kill, ctypes.c_void_p)


class UwsgiRequest(ArchiveRequest):
    """A request served by a uWSGI worker."""

    def run(self, *arguments: Any) -> Any:
        """Answer the request and say that the connection will be closed, as uWSGI's http-socket does.

        A client that is not told sends its next request into a closed connection.
        """
        _watcher.begin()
        if transmit:
            self.wsgi_environ[TRANSMIT] = transmit
        response = super().run(*arguments)
        response.header_list.append((b"Connection", b"close"))
        return response

    def close(self) -> None:
        """Let the worker end at once again."""
        super().close()
        _watcher.end()


class _Watcher:
    """Closes the port as soon as the worker is told to end, though a request blocks the main thread."""

    def __init__(self) -> None:
        self._worker = 0  # process id

    def begin(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # with uWSGI's threads only the main one may change signal handlers
        if self._worker != os.getpid():
            self._worker = os.getpid()
            self._start()
        signal.signal(_END, self._end_gracefully)

    def end(self) -> None:
        if threading.current_thread() is threading.main_thread():
            _process.signal(_END, _gracefully_kill)

    def _start(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), daemon=True).start()

    def _watch(self, wakeup: int) -> None:
        while os.read(wakeup, 1) != bytes([_END]):
            pass
        close_port()

    def _end_gracefully(self, *_: Any) -> None:
        _process.gracefully_kill(_END)


_watcher = _Watcher()
