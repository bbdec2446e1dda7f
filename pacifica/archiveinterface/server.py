"""The HTTP server of the launcher: CherryPy's, made fit for bodies of any size.

What differs from cheroot's own: ``//12345`` is a path and no host name; an unread rest of a body
closes the connection instead of being read into memory at once; a chunk is read in blocks, whatever
size it claims; errors of the protocol are JSON like all others; stopping waits for requests in
flight, for a bounded time.
"""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

import cheroot.server
import cheroot.wsgi
import cherrypy
from cheroot.workers.threadpool import WorkerThread
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest, CPWSGIServer

from .globals import VERSION
from .transmission import TRANSMIT, FilePart, Transmission

_CHUNK_LINE = 4096  # bytes; the size in hex and, rarely, an extension
_TRAILER_LINES = 100


class ChunkedReader:
    """The decoded body of a chunked request (RFC 9112, 7.1).

    Raises ValueError for what is no chunk, and when the connection ends before the last one.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Decode *stream*."""
        self._stream = stream
        self._left = 0
        self._begun = False
        self.complete = False

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        if self.complete:
            return b""
        if not self._left and not self._next_chunk():
            return b""
        block = self._stream.read(min(size, self._left))
        if not block:
            raise ValueError("the connection ended within a chunk")
        self._left -= len(block)
        return block

    def _next_chunk(self) -> bool:
        if self._begun and self._line():
            raise ValueError("a chunk is longer than it said")
        self._begun = True
        digits = self._line().partition(b";")[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise ValueError("the size of a chunk is no number")
        self._left = int(digits, 16)
        if not self._left:
            self._skip_trailers()
            self.complete = True
        return not self.complete

    def _skip_trailers(self) -> None:
        for _ in range(_TRAILER_LINES):
            if not self._line():
                return
        raise ValueError("too many trailer lines")

    def _line(self) -> bytes:
        line = self._stream.readline(_CHUNK_LINE)
        if not line.endswith(b"\r\n"):
            raise ValueError("a line of the chunked coding is broken")
        return line[:-2]


class _Gateway(cheroot.wsgi.Gateway_10):
    """Hands the application our reader of chunks, and what transmits a file."""

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        if self.req.chunked_read:
            self.req.rfile = environ["wsgi.input"] = ChunkedReader(self.req.conn.rfile)
        if self.req.server.ssl_adapter is None:  # the kernel would send it unencrypted
            environ[TRANSMIT] = partial(_transmit, self.req)
        return environ


def _transmit(request: "_Request", part: FilePart, _: Callable[[bytes], object]) -> None:
    request.ensure_headers_sent()
    connection = request.conn.socket
    Transmission(connection.fileno(), part).finish(connection.gettimeout())


class _Request(CPWSGIHTTPRequest):
    """One request on a connection."""

    def read_request_line(self) -> bool:
        try:
            good = bool(super().read_request_line())
        except ValueError:  # from urlsplit, which takes what follows two slashes for a host
            self.simple_response("400 Bad Request", "Malformed Request-URI")
            return False
        if good and self.uri.startswith(b"/"):
            path, _, self.qs = self.uri.partition(b"?")
            self.path = unquote_to_bytes(path)
        return good

    def send_headers(self) -> None:
        if not self._body_was_read():
            self.close_connection = True
        super().send_headers()

    def _body_was_read(self) -> bool:
        if isinstance(self.rfile, ChunkedReader):
            return self.rfile.complete
        return not getattr(self.rfile, "remaining", 0)

    def simple_response(self, status: str | int, msg: str = "") -> None:
        """Answer a request that never reached the application."""
        phrase = str(status)
        body = json.dumps({"status": phrase, "message": msg or phrase, "traceback": "", "version": VERSION})
        self.close_connection = True
        head = (
            f"{self.server.protocol} {phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with suppress(OSError):  # the client may be gone
            self.conn.wfile.write((head + body).encode("latin-1"))


class _Connection(cheroot.server.HTTPConnection):
    RequestHandlerClass = _Request


class ArchiveServer(CPWSGIServer):
    """Serves one application with the settings of ``cherrypy.server``."""

    ConnectionClass = _Connection
    keep_alive_conn_limit = None

    def __init__(self, application: Any, drain_seconds: float) -> None:
        """Serve *application*; requests in flight at `stop` have *drain_seconds* to finish."""
        super().__init__(cherrypy.server)
        _Connection.RequestHandlerClass = _Request  # CherryPy's server puts its own there
        self.gateway = _Gateway
        self.wsgi_app = application
        self.shutdown_timeout = drain_seconds

    def stop(self) -> None:
        """Close the port, let requests in flight finish, and cut off those that take too long."""
        # The pool closes only the reading side in the end, and a slow download would go on and on.
        deadline = threading.Timer(self.shutdown_timeout + 1, _cut_off_workers)
        deadline.daemon = True
        deadline.start()
        super().stop()
        deadline.cancel()


def _cut_off_workers() -> None:
    for thread in threading.enumerate():
        connection = thread.conn if isinstance(thread, WorkerThread) else None
        if connection is not None:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
