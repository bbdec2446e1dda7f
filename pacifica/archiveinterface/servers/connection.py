"""Connections of the launcher: accepting them, and waiting for a head without a thread."""

import errno
import logging
import select
import socket
import threading
import time
from typing import Any
from weakref import WeakSet

import cheroot.server
from cheroot.makefile import MakeFile

from ..globals import LOG_NAME
from .lingering import linger
from .patience import Patience
from .receiving import Receiver
from .request import Request
from .wire import Wire

_NEXT_REQUEST = 5  # milliseconds that a thread waits for another request on the same connection
_ACCEPT_PAUSE = 0.1  # seconds
_LOG_INTERVAL = 10  # seconds
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_log = logging.getLogger(LOG_NAME)


class Connection(cheroot.server.HTTPConnection):
    """A connection that collects the head of a request before a thread is needed for it."""

    RequestHandlerClass = Request
    ssl_env: dict[str, Any] | None = None

    def __init__(self, server: Any, connection: socket.socket, makefile: Any = MakeFile) -> None:
        super().__init__(server, connection, makefile)
        self._poll = select.poll()
        self._unwanted = 0  # bytes that are read after the answer
        self._first_byte = 0.0  # when the head began to arrive
        patience = Patience(server.timeout, server.options.minimum_rate, server.extra_threads)
        adapter = server.ssl_adapter
        self.wire: Wire = adapter.wire(connection, patience) if adapter else Wire(connection, patience)
        self.rfile, self.wfile = Receiver(self.wire, server.max_request_header_size), self.wire

    def communicate(self) -> bool:
        """Answer requests as long as the client sends the next one at once; return whether the connection stays open.

        Handing the connection back and forth between threads takes longer than a small request does.
        """
        self.wire.patience.begin()
        if self.wire.is_plain_http:
            self._refuse_plain_http()
            return False
        while super().communicate():
            self.wire.patience.begin()
            if not self._has_next():
                return True
        return False

    def _has_next(self) -> bool:
        # A thread does not wait while other connections need one, or when the server stops.
        server = self.server
        if not server.ready or server.requests.qsize:
            return False
        if not self.rfile.has_data():
            self._poll.register(self.socket, select.POLLIN)
            if not self._poll.poll(_NEXT_REQUEST):
                return False
        return self.has_request()

    def has_request(self) -> bool:
        """Return whether a request can be read without waiting for the rest of its head."""
        is_complete = self.rfile.has_data() or self.rfile.collect()
        if is_complete or not self.rfile.is_amid():
            self._first_byte = 0.0
        else:
            self._first_byte = self._first_byte or time.monotonic()
        return is_complete

    def identify(self) -> None:
        """Put what TLS tells of the connection and its client into the WSGI environment of the requests."""
        self.ssl_env = self.ssl_env or self.wire.environ()

    def is_late(self) -> bool:
        """Return whether the head takes longer than ``server.socket_timeout`` in all."""
        return bool(self._first_byte) and time.monotonic() - self._first_byte > self.server.timeout

    def linger_for(self, most: int) -> None:
        """After the answer, read up to *most* bytes of what the client still sends."""
        self._unwanted = most

    def close(self) -> None:
        """Read what is to be read after the answer, or say that the head came too late, and close the connection."""
        if self._first_byte:
            self.wire.patience.end()  # the thread that waits for all connections waits for no one
            Request(self.server, self).simple_response("408 Request Timeout", "the request came too slowly")
            self._unwanted = 0
        self.wire.finish()
        if self._unwanted:
            linger(self.socket, self._unwanted, self.server.extra_threads)
        self.server.clients.dismiss(self.remote_addr, self)
        super().close()

    def _refuse_plain_http(self) -> None:
        self.wfile = Wire(self.socket, self.wire.patience)
        Request(self.server, self).simple_response("400 Bad Request", "this port takes https only")


class Listener(socket.socket):
    """The listening socket, which knows the connections that it has accepted and that are still open.

    When the process has no descriptors left, it logs that and pauses.
    """

    _logged = float("-inf")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lock = threading.Lock()
        self._is_drained = False
        self._accepted: WeakSet[socket.socket] = WeakSet()

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its address.

        Raises TimeoutError, with which cheroot goes on with the other connections: after a pause when there is no
        descriptor left, and always after `drain`.
        """
        try:
            with self._lock:
                if self._is_drained:
                    raise TimeoutError
                connection, address = super().accept()
                self._accepted.add(connection)
                return connection, address
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._log(error)
            time.sleep(_ACCEPT_PAUSE)
            raise TimeoutError from error

    def drain(self) -> None:
        """Accept no more connections. Another thread may be in `accept`; all that it has accepted is known then."""
        with self._lock:
            self._is_drained = True

    def has_connections(self) -> bool:
        """Return, after `drain`, whether connections that were accepted here are still open."""
        return any(connection.fileno() >= 0 for connection in self._accepted)

    def _log(self, error: OSError) -> None:
        if time.monotonic() - self._logged > _LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.error("cannot accept connections: %s; raise the limit (LimitNOFILE, ulimit -n)", error.strerror)
