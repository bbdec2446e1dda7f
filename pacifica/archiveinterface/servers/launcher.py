"""The HTTP server of the launcher: cheroot's, with a strict reading of requests and bounded waiting.

What differs from cheroot's own: heads are read as `http.request_head` has them, while no thread waits for
them nor for the handshake of TLS; threads that wait for slow clients are replaced by others; connections that wait,
and those of one address, are bounded; ``//12345`` is a path and not a host name; ``100 Continue`` is sent when
the body is first read; the rest of a refused body is read after the answer, up to a bound; a chunk is read in
blocks, whatever size it claims; errors of the protocol are JSON like all others; stopping waits for requests in
flight, for a bounded time.
"""

import logging
import os
import resource
import socket
import threading
from contextlib import closing, suppress
from typing import Any, cast

import cheroot.server
import cherrypy
from cheroot.workers.threadpool import WorkerThread
from cherrypy._cpwsgi_server import CPWSGIServer

from ..exception import ConfigurationError
from ..globals import LOG_NAME
from .clients import Clients
from .connection import Connection, Listener
from .extra_threads import ExtraThreads
from .options import LauncherOptions
from .request import Gateway, Request
from .tls import Adapter

_TLS_MODULE = "builtin"  # cheroot's name for Python's own module ssl
_HANDLES_OF_A_THREAD = 5  # a connection, files, and connections to databases and stores
_log = logging.getLogger(LOG_NAME)


class ArchiveServer(CPWSGIServer):
    """Serves one application with the settings of ``cherrypy.server``."""

    ConnectionClass = Connection
    keep_alive_conn_limit = None

    def __init__(
        self, application: Any, options: LauncherOptions, drain_seconds: float, listener: socket.socket | None = None
    ) -> None:
        """Serve *application*; requests in flight at `stop` have *drain_seconds* to finish.

        *listener* is the listening socket of other processes too; without one, `prepare` opens one.
        Raises ConfigurationError, OSError when TLS cannot be set up.
        """
        _use_own_adapter()
        super().__init__(cherrypy.server)
        self.options = options
        self.clients = Clients(options.connections_per_address)
        if self.ssl_adapter:
            self.ssl_adapter.ask_for_certificates(options)
        self.ConnectionClass.RequestHandlerClass = Request  # CherryPy's server puts its own there
        self.gateway = Gateway
        self.wsgi_app = application
        self.shutdown_timeout = drain_seconds
        self.is_draining = False
        self._listener = listener
        spare = _spare_handles(self.requests.min)
        most_extra = min(options.extra_threads, spare // (2 * _HANDLES_OF_A_THREAD))
        self.extra_threads = ExtraThreads(self.requests, most_extra, grace=self.timeout)
        self._most_waiting = min(options.waiting_connections, spare - most_extra * _HANDLES_OF_A_THREAD)
        self._stopping = threading.Event()
        self._stopped = threading.Event()

    @classmethod
    def prepare_socket(cls, *arguments: Any, **options: Any) -> socket.socket:
        """Return the listening socket."""
        prepared: socket.socket = super().prepare_socket(*arguments, **options)
        return Listener(fileno=prepared.detach()) if type(prepared) is socket.socket else prepared

    def bind(self, family: int, type: int, proto: int = 0) -> Any:
        """Listen on the socket that was given, or on a new one."""
        if self._listener is None:
            return super().bind(family, type, proto)
        self.socket = self.ssl_adapter.bind(self._listener) if self.ssl_adapter else self._listener
        self.bind_addr = self.resolve_real_bind_addr(self._listener)
        return self.socket

    def bind_unix_socket(self, bind_addr: str) -> Any:
        """Listen on the socket that was given, or on a new one."""
        if self._listener is None:
            return super().bind_unix_socket(bind_addr)
        self.socket = self._listener
        return self.socket

    def prepare(self) -> None:
        """Listen, and start every thread that is needed, so that stopping needs none."""
        super().prepare()
        self._accepting = cast(Listener, self.socket)
        self._accepting.setblocking(False)  # another process may accept the connection that this one was told of
        self.extra_threads.start()
        threading.Thread(target=self._cut_off_late_requests, name="stopping", daemon=True).start()

    def process_conn(self, connection: Connection) -> None:
        """Give *connection* to a thread, or wait for the rest of its head.

        cheroot calls this for a new connection and for one that can be read.
        """
        if connection.last_used is None:
            self._welcome(connection)
        elif connection.has_request():
            super().process_conn(connection)
        elif connection.is_late():
            connection.close()
        else:
            self.put_conn(connection)

    def _welcome(self, connection: Connection) -> None:
        """Wait for the first request of a new *connection*, if there is room for it."""
        if not self.clients.admit(connection.remote_addr, connection):
            connection.close()
            return
        self.put_conn(connection)
        if len(self._connections._selector) - 1 > self._most_waiting:
            self._close_longest_waiting()

    def _close_longest_waiting(self) -> None:
        selector = self._connections._selector
        with closing(selector.connections) as waiting:  # in the order in which they began to wait
            descriptor, longest = next((at, other) for at, other in waiting if other is not self)
        selector.unregister(descriptor)
        longest.close()

    def drain(self) -> None:
        """Accept no more connections, and tell the clients of those there are to send no request after the next."""
        self.is_draining = True
        self._accepting.drain()
        self._connections._selector.unregister(self.socket.fileno())

    def has_clients(self) -> bool:
        """Return, after `drain`, whether connections are open: requests under way or clients that may send one."""
        return self._accepting.has_connections()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Write a message of cheroot to the service's log."""
        _log.log(level, "%s", msg, exc_info=traceback)

    def stop(self) -> None:
        """Close the port, let requests in flight finish, and cut off those that take too long."""
        self._stopping.set()
        self.extra_threads.stop()
        super().stop()
        self._stopped.set()

    def _cut_off_late_requests(self) -> None:
        # The pool closes only the reading side in the end, and a slow download would go on and on.
        self._stopping.wait()
        if not self._stopped.wait(self.shutdown_timeout + 1):
            _cut_off_workers()


def _use_own_adapter() -> None:
    module = cherrypy.server.ssl_module or _TLS_MODULE
    if module != _TLS_MODULE:
        raise ConfigurationError(f"server.ssl_module: {_TLS_MODULE!r} is the only one that is supported")
    cheroot.server.ssl_adapters[_TLS_MODULE] = Adapter


def listen(address: str | tuple[str, int], backlog: int) -> socket.socket:
    """Return a socket that listens on *address*, a path or host and port, for workers to inherit. Raises OSError."""
    listener = _local(address) if isinstance(address, str) else _internet(*address)
    listener.listen(backlog)
    return listener


def _internet(host: str, port: int) -> socket.socket:
    (family, kind, proto, _, _), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listener = ArchiveServer.prepare_socket((host, port), family, kind, proto, True, None)
    ArchiveServer.bind_socket(listener, (host, port))
    return listener


def _local(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)  # left by a process that was killed
    listener = Listener(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o777)  # its directory says who may connect
    return listener


def _spare_handles(threads: int) -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, limit - _HANDLES_OF_A_THREAD * threads)


def _cut_off_workers() -> None:
    for thread in threading.enumerate():
        connection = thread.conn if isinstance(thread, WorkerThread) else None
        if connection is not None:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
