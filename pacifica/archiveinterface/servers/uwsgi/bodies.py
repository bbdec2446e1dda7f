"""How the bodies of requests are read under uWSGI."""

from typing import Any

import uwsgi

from .connection import Connection

# A reverse proxy that has decoded a chunked body and encoded it anew says so: `X-Pacifica-Chunked: checked`.
_CHECKED = ("HTTP_X_PACIFICA_CHUNKED", "checked")
_TIMEOUT = "timeout during"


def prepare_body(environ: dict[str, Any], connection: Connection) -> None:
    """Let ``wsgi.input`` of *environ* read the body that comes by *connection*, as RFC 9112 has it."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        _prepare_chunks(environ, connection)
    elif environ.get("CONTENT_LENGTH"):
        environ["wsgi.input"] = _TimedInput(environ["wsgi.input"])
    expects = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
    if expects and environ["SERVER_PROTOCOL"] != "HTTP/1.0" and connection.is_http:
        environ["wsgi.input"] = _AwaitedInput(environ["wsgi.input"], connection)


def _prepare_chunks(environ: dict[str, Any], connection: Connection) -> None:
    name, value = _CHECKED
    if environ.get("CONTENT_LENGTH") and not connection.is_http:
        del environ["HTTP_TRANSFER_ENCODING"]  # the proxy has decoded the body and passed the header on
    elif environ.get(name) == value:
        environ["wsgi.input"] = _CheckedChunks()
        environ["wsgi.input_terminated"] = True


class _CheckedChunks:
    """The body of a chunked request, which uWSGI decodes but not through wsgi.input."""

    def read(self, size: int) -> bytes:
        """Return the next chunk, whatever its size; none at the end."""
        chunk: bytes = uwsgi.chunked_read()
        return chunk


class _TimedInput:
    """A body of which uWSGI says in words only that it came too late."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*. Raises TimeoutError, OSError."""
        try:
            block: bytes = self._body.read(size)
        except OSError as error:
            if str(error).startswith(_TIMEOUT):
                raise TimeoutError(str(error)) from error
            raise
        return block


class _AwaitedInput:
    """A body that the client sends only when it is asked to (RFC 9110, 10.1.1)."""

    def __init__(self, body: Any, connection: Connection) -> None:
        self._body = body
        self._connection = connection
        self.is_awaited = True

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; the client is asked for the first."""
        if self.is_awaited:
            self.is_awaited = False
            self._connection.ask()
        block: bytes = self._body.read(size)
        return block
