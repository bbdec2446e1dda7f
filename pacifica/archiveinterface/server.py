"""The HTTP server of the launcher: cheroot's, with a strict reading of requests and bounded waiting.

What differs from cheroot's own: heads are read as `http.request_head` has them, while no thread waits for
them; ``//12345`` is a path and not a host name; ``100 Continue`` is sent when the body is first read;
the rest of a refused body is read after the answer, up to a bound; a chunk is read in blocks, whatever
size it claims; errors of the protocol are JSON like all others; stopping waits for requests in
flight, for a bounded time.
"""

import errno
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote_to_bytes

import cheroot.server
import cheroot.wsgi
import cherrypy
from cheroot.errors import MaxSizeExceeded
from cheroot.makefile import MakeFile
from cheroot.workers.threadpool import WorkerThread
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest, CPWSGIServer

from .exception import ArchiveInterfaceError
from .globals import LOG_NAME, VERSION
from .http.errors import status_line
from .http.file_headers import file_status
from .http.request_head import EMPTY_LINE, body_length, parse_headers, parse_request_line, request_id
from .lingering import linger
from .transmission import TRANSMIT, FilePart, Transmission
from .web.request import LINGER

_CHUNK_LINE = 4096  # bytes; the size in hex and, rarely, an extension
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")
_LINE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\r\n")
_TRAILER_LINES = 100
_RECEIVED_AT_ONCE = 1 << 16  # bytes
_REST_OF_A_BAD_HEAD = 1 << 20  # bytes that are read after the answer to a malformed request
_ACCEPT_PAUSE = 0.1  # seconds
_LOG_INTERVAL = 10  # seconds
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_log = logging.getLogger(LOG_NAME)


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Receiver:
    """What arrives on a connection. Heads are collected without blocking; the rest is read as from a file."""

    def __init__(self, connection: socket.socket) -> None:
        """Receive from *connection*, whose time-out bounds each wait."""
        self._socket = connection
        self._buffer = bytearray()
        self.bytes_read = 0
        self.closed = False

    def collect(self, most: int) -> bool:
        """Take what has arrived; return whether a request can be read: its head is complete, too long, or broken off.

        A head may have *most* bytes, any number if 0.
        """
        looked_at = max(0, len(self._buffer) - 2)
        try:
            arrived = os.read(self._socket.fileno(), _RECEIVED_AT_ONCE)
        except BlockingIOError:
            return False
        except OSError:
            return True  # reading it will tell
        self._buffer += arrived
        return not arrived or self._has_head(looked_at) or bool(most and len(self._buffer) > most)

    def has_data(self) -> bool:
        """Return whether the head of another request has arrived already."""
        return self._has_head(0)

    def readline(self, size: int) -> bytes:
        """Return the next line, at most *size* bytes of it; less when the connection ends."""
        while (end := self._buffer.find(b"\n", 0, size)) < 0 and len(self._buffer) < size:
            arrived = self._socket.recv(_RECEIVED_AT_ONCE)
            if not arrived:
                break
            self._buffer += arrived
        return self._take(end + 1 if end >= 0 else size)

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes; less when the connection ends."""
        taken = self._take(size)
        if len(taken) == size:
            return taken
        block = bytearray(size)
        filled = len(taken)
        block[:filled] = taken
        with memoryview(block) as room:
            while filled < size and (arrived := self._socket.recv_into(room[filled:])):
                filled += arrived
            self.bytes_read += filled - len(taken)
            return bytes(room[:filled])

    def close(self) -> None:
        """Forget what was not read."""
        self.closed = True
        self._buffer.clear()

    def _has_head(self, start: int) -> bool:
        # An end of a line without CR is malformed; the request is read at once to say so.
        return self._buffer.find(b"\n\r\n", start) >= 0 or self._buffer.find(b"\n\n", start) >= 0

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.bytes_read += len(taken)
        return taken


class ChunkedReader:
    """The decoded body of a chunked request (RFC 9112, 7.1).

    Raises ValueError for what is not a chunk, and when the connection ends before the last one.
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
        match = _CHUNK.fullmatch(self._line())
        if not match:
            raise ValueError("the size of a chunk is not a number")
        self._left = int(match[1], 16)
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
        if not _LINE.fullmatch(line):
            raise ValueError("a line of the chunked coding is broken")
        return line[:-2]


class _Continued:
    """A body that the client sends only when it is asked to (RFC 9110, 10.1.1)."""

    def __init__(self, stream: _Stream, ask: Callable[[bytes], object]) -> None:
        self._stream = stream
        self._ask: Callable[[bytes], object] | None = ask

    def read(self, size: int) -> bytes:
        if self._ask:
            self._ask(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._ask = None
        return self._stream.read(size)


class _Gateway(cheroot.wsgi.Gateway_10):
    """Hands the application our readers of bodies, and what transmits a file."""

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        request = self.req
        if request.chunked_read:
            request.rfile = environ["wsgi.input"] = ChunkedReader(request.conn.rfile)
            environ["wsgi.input_terminated"] = True
        if request.asks_before_sending:
            environ["wsgi.input"] = _Continued(request.rfile, request.conn.wfile.write)
        if request.server.ssl_adapter is None:  # the kernel would send it unencrypted
            environ[TRANSMIT] = partial(_transmit, request)
        environ[LINGER] = request.linger_for
        return environ


def _transmit(request: "_Request", part: FilePart, _: Callable[[bytes], object]) -> None:
    request.ensure_headers_sent()
    connection = request.conn.socket
    Transmission(connection.fileno(), part).finish(connection.gettimeout())


class _Request(CPWSGIHTTPRequest):
    """One request on a connection."""

    asks_before_sending = False
    method = b""

    def read_request_line(self) -> bool:
        line = self.rfile.readline()
        if line == EMPTY_LINE:  # one is allowed (RFC 9112, 2.2)
            line = self.rfile.readline()
        self.started_request = bool(line)
        self.method = line.partition(b" ")[0]  # the answer to HEAD has no body, malformed or not
        return bool(line) and self._accepts(self._take_request_line, line)

    def read_request_headers(self) -> bool:
        try:
            return self._accepts(self._take_headers)
        except MaxSizeExceeded:
            most = self.server.max_request_header_size
            self.simple_response("431 Request Header Fields Too Large", f"a head has at most {most} bytes")
            return False

    def _accepts(self, step: Callable[..., None], *arguments: bytes) -> bool:
        try:
            step(*arguments)
        except ArchiveInterfaceError as error:
            self.simple_response(status_line(error), str(error))
            return False
        return True

    def _take_request_line(self, line: bytes) -> None:
        self.method, self.uri, self.request_protocol = parse_request_line(line)
        self.response_protocol = self.request_protocol.decode()
        path, _, self.qs = self.uri.partition(b"?")
        self.path = unquote_to_bytes(path)

    def _take_headers(self) -> None:
        self.inheaders = parse_headers(self._header_lines())
        coding, length = self._header(b"Transfer-Encoding"), self._header(b"Content-Length")
        announced = body_length(coding, length, self.response_protocol)
        self.chunked_read = announced is None
        if length is not None:
            self.inheaders[b"Content-Length"] = str(announced).encode()
        options = [option.strip().lower() for option in (self._header(b"Connection") or "").split(",")]
        if self.response_protocol == "HTTP/1.0":
            self.close_connection = "keep-alive" not in options
        else:
            self.close_connection = "close" in options
            self.asks_before_sending = (self._header(b"Expect") or "").lower() == "100-continue"

    def _header_lines(self) -> Iterator[bytes]:
        while (line := self.rfile.readline()) != EMPTY_LINE:
            yield line

    def _header(self, name: bytes) -> str | None:
        value = self.inheaders.get(name)
        return None if value is None else value.decode("latin-1")

    def linger_for(self, most: int) -> None:
        """Close the connection after the answer, once up to *most* bytes of what the client still sends are read."""
        self.close_connection = True
        self.conn.linger_for(most)

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
        known_by = request_id(self._header(b"X-Request-Id"))
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-Id": known_by,
            **(file_status(None) if self.method == b"HEAD" else {}),
        }
        if phrase >= "500":
            _log.warning("request %s: %s", known_by, msg or phrase)
        lines = [f"{self.server.protocol} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join(lines) + "\r\n\r\n"
        self.linger_for(_REST_OF_A_BAD_HEAD)
        with suppress(OSError):  # the client may be gone
            self.conn.wfile.write((head + ("" if self.method == b"HEAD" else body)).encode("latin-1"))


class _Connection(cheroot.server.HTTPConnection):
    """A connection that collects the head of a request before a thread is needed for it."""

    RequestHandlerClass = _Request

    def __init__(self, server: Any, connection: socket.socket, makefile: Any = MakeFile) -> None:
        super().__init__(server, connection, makefile)
        self._unwanted = 0  # bytes that are read after the answer
        self._first_byte = 0.0  # when the head began to arrive
        if server.ssl_adapter is None:
            self.rfile = Receiver(connection)

    def has_request(self) -> bool:
        """Return whether a request can be read without waiting for the rest of its head."""
        if not isinstance(self.rfile, Receiver):
            return True  # what TLS has received can be found out only by reading
        if self.rfile.has_data() or self.rfile.collect(self.server.max_request_header_size):
            self._first_byte = 0.0
            return True
        self._first_byte = self._first_byte or time.monotonic()
        return False

    def is_late(self) -> bool:
        """Return whether the head takes longer than ``server.socket_timeout`` in all."""
        return bool(self._first_byte) and time.monotonic() - self._first_byte > self.server.timeout

    def linger_for(self, most: int) -> None:
        """After the answer, read up to *most* bytes of what the client still sends."""
        self._unwanted = most

    def close(self) -> None:
        if self._unwanted:
            linger(self.socket, self._unwanted)
        elif self._first_byte:
            _Request(self.server, self).simple_response("408 Request Timeout", "the request came too slowly")
        super().close()


class _Listener(socket.socket):
    """The listening socket; while the process can open nothing more, accepting pauses and says so."""

    _logged = float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._log(error)
            time.sleep(_ACCEPT_PAUSE)
            raise TimeoutError from error  # cheroot goes on with the other connections

    def _log(self, error: OSError) -> None:
        if time.monotonic() - self._logged > _LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.error("cannot accept connections: %s; raise the limit (LimitNOFILE, ulimit -n)", error.strerror)


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
        self._stopping = threading.Event()
        self._stopped = threading.Event()

    @classmethod
    def prepare_socket(cls, *arguments: Any, **options: Any) -> socket.socket:
        """Return the listening socket."""
        prepared: socket.socket = super().prepare_socket(*arguments, **options)
        return _Listener(fileno=prepared.detach()) if type(prepared) is socket.socket else prepared

    def prepare(self) -> None:
        """Listen, and start every thread that is needed, so that stopping needs none."""
        super().prepare()
        threading.Thread(target=self._cut_off_late_requests, name="stopping", daemon=True).start()

    def process_conn(self, connection: _Connection) -> None:
        """Give *connection* to a thread, or wait for the rest of its head.

        cheroot calls this for a new connection and for one that can be read.
        """
        is_new = connection.last_used is None and isinstance(connection.rfile, Receiver)
        if not is_new and connection.has_request():
            super().process_conn(connection)
        elif connection.is_late():
            connection.close()
        else:
            self.put_conn(connection)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what cheroot has to say."""
        _log.log(level, "%s", msg, exc_info=traceback)

    def stop(self) -> None:
        """Close the port, let requests in flight finish, and cut off those that take too long."""
        self._stopping.set()
        super().stop()
        self._stopped.set()

    def _cut_off_late_requests(self) -> None:
        # The pool closes only the reading side in the end, and a slow download would go on and on.
        self._stopping.wait()
        if not self._stopped.wait(self.shutdown_timeout + 1):
            _cut_off_workers()


def _cut_off_workers() -> None:
    for thread in threading.enumerate():
        connection = thread.conn if isinstance(thread, WorkerThread) else None
        if connection is not None:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
