"""A response as CherryPy has it, with headers that are encoded faster and files that the server sends itself."""

from collections.abc import Iterator
from functools import lru_cache

from cherrypy._cprequest import Response
from cherrypy._cpwsgi import AppResponse
from cherrypy.lib.httputil import HeaderMap

from ..http.response_body import ResponseBody
from ..http.server_calls import TRANSMIT

_WRITTEN = {"Etag": "ETag"}  # names that are not in title case


class _Headers(HeaderMap):
    """CherryPy's headers; what needs no escape is encoded as it is."""

    def output(self) -> list[tuple[bytes, bytes]]:
        return [(_encoded_name(name), _encoded(str(value))) for name, value in self.items()]


@lru_cache(maxsize=256)
def _encoded_name(name: str) -> bytes:
    return _encoded(_WRITTEN.get(name, name))


def _encoded(text: str) -> bytes:
    if text.isascii() and text.isprintable():
        return text.encode()
    encoded: bytes = HeaderMap.encode_header_item(text)
    return encoded


class ArchiveResponse(Response):
    """CherryPy's response, with headers of ours."""

    headers: HeaderMap

    def __init__(self) -> None:
        """Start with CherryPy's default headers."""
        super().__init__()
        headers = _Headers()
        headers.update(self.headers)
        self.headers = headers


class ArchiveAnswer(AppResponse):
    """The answer as WSGI has it; a file is transmitted by the server itself where it can."""

    iter_response: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        """Return the blocks that are still to be sent."""
        transmit, body = self.environ.get(TRANSMIT), self.iter_response
        part = body.file_part() if transmit and isinstance(body, ResponseBody) else None
        if part is None:
            return self
        transmit(part, self.write)
        return iter(())
