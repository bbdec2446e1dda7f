"""One request on a connection of the launcher: its head read as http has it, its errors in JSON."""

import logging
import select
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import cheroot.wsgi
from cheroot.errors import MaxSizeExceeded
from cherrypy._cpwsgi_server import CPWSGIHTTPRequest

from ..exception import ArchiveInterfaceError
from ..globals import LOG_NAME
from ..http.errors import Asked, refusal, status_line
from ..http.headers.request_head import EMPTY_LINE, body_length, parse_headers, parse_request_line, request_id
from ..http.server_calls import LINGER, PAUSE, TRANSMIT, FilePart
from .receiving import AwaitedBody, ChunkedReader
from .transmission import Transmission

_REST_OF_A_BAD_HEAD = 1 << 20  # bytes that are read after the answer to a malformed request
_log = logging.getLogger(LOG_NAME)


class Request(CPWSGIHTTPRequest):
    """One request on a connection."""

    asks_before_sending = False
    method = b""
    path = b""

    def read_request_line(self) -> bool:
        """Read the request line; return whether it is well-formed."""
        line = self.rfile.readline()
        if line == EMPTY_LINE:  # one is allowed (RFC 9112, 2.2)
            line = self.rfile.readline()
        self.started_request = bool(line)
        self.method = line.partition(b" ")[0]  # the answer to HEAD has no body, malformed or not
        return bool(line) and self._accepts(self._take_request_line, line)

    def read_request_headers(self) -> bool:
        """Read the header fields; return whether they are well-formed."""
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

    def pause(self, seconds: float) -> bool:
        """Wait *seconds*; return whether the client is there, and the server does not stop."""
        poll = select.poll()
        poll.register(self.conn.socket, select.POLLRDHUP)
        return not poll.poll(seconds * 1000) and self.server.ready and not self.server.is_draining

    def send_headers(self) -> None:
        """Send the head of the answer."""
        if self.server.is_draining or not self._body_was_read():
            self.close_connection = True
        super().send_headers()

    def _body_was_read(self) -> bool:
        if isinstance(self.rfile, ChunkedReader):
            return self.rfile.complete
        return not getattr(self.rfile, "remaining", 0)

    def simple_response(self, status: str | int, msg: str = "") -> None:
        """Answer a request that never reached the application."""
        phrase = str(status)
        known_by = request_id(self._header(b"X-Request-Id"))
        asked = Asked(self.method.decode("latin-1"), "", known_by, self.path.decode("latin-1"))
        answer = refusal(phrase, msg or phrase, asked)
        body = answer.body
        assert isinstance(body, bytes)
        headers = {
            **answer.headers,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-Id": known_by,
        }
        if phrase >= "500":
            _log.warning("request %s: %s", known_by, msg or phrase)
        lines = [f"{self.server.protocol} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.linger_for(_REST_OF_A_BAD_HEAD)
        with suppress(OSError):  # the client may be gone
            self.conn.wfile.write(head if self.method == b"HEAD" else head + body)


class Gateway(cheroot.wsgi.Gateway_10):
    """Hands the application our readers of bodies, and what transmits a file."""

    def get_environ(self) -> dict[str, Any]:
        """Return the WSGI environment, with what `http.server_calls` describes."""
        request = self.req
        request.conn.identify()
        environ: dict[str, Any] = super().get_environ()
        if request.chunked_read:
            request.rfile = environ["wsgi.input"] = ChunkedReader(request.conn.rfile)
            environ["wsgi.input_terminated"] = True
        if request.asks_before_sending:
            environ["wsgi.input"] = AwaitedBody(request.rfile, request.conn.wfile.write)
        if request.server.ssl_adapter is None:  # the kernel would send it unencrypted
            environ[TRANSMIT] = partial(_transmit, request)
        environ[LINGER] = request.linger_for
        environ[PAUSE] = request.pause
        return environ

    def respond(self) -> None:
        """Send the answer, and close it; cheroot would not if not even the head can be sent."""
        answer = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            for block in filter(None, answer):
                self.write(block)
        finally:
            try:
                self.req.ensure_headers_sent()
            finally:
                if hasattr(answer, "close"):  # an application may return a list (the benchmarks' does)
                    answer.close()


def _transmit(request: Request, part: FilePart, count: Callable[[int], None]) -> None:
    request.ensure_headers_sent()
    connection = request.conn
    Transmission(connection.socket.fileno(), part, count).finish(connection.wire.patience)
