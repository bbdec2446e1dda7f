"""A response as CherryPy has it, but for its headers and for files that the server sends itself."""

from collections.abc import Iterator

from cherrypy._cprequest import Response
from cherrypy._cpwsgi import AppResponse

from ..http.response_body import ResponseBody
from ..http.server_calls import TRANSMIT
from .headers import Headers


class ArchiveResponse(Response):
    """CherryPy's response, with headers of ours."""

    headers: Headers

    def __init__(self) -> None:
        """Start with CherryPy's default headers."""
        super().__init__()
        headers = Headers()
        dict.update(headers, self.headers)  # the names are in title case already
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
