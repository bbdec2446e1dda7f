"""A response as CherryPy has it, but for its headers, for files that the server sends itself, and for its observers."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import cherrypy
from cherrypy._cprequest import Request, Response
from cherrypy._cpwsgi import AppResponse

from ..http.headers.request_head import target_of, without_credentials
from ..http.response_body import ResponseBody
from ..http.server_calls import TRANSMIT
from ..logs.context import NO_REQUEST, answered
from .counting import Cells, count_answer, count_end
from .exchange import Exchange
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
    """The answer as WSGI has it; a file is transmitted by the server itself where it can.

    The observers of the application get an Exchange when the answer is closed.
    """

    iter_response: Iterator[bytes] = iter(())

    def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any], application: Any) -> None:
        """Answer the request in *environ*."""
        self._begun, self._clock = time.time(), time.perf_counter()
        self._first_byte = 0.0  # on the clock
        self._sent = 0
        self._is_complete = False
        self._cells: Cells | None = None  # where it is counted
        super().__init__(environ, start_response, application)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the blocks that are still to be sent."""
        transmit, body = self.environ.get(TRANSMIT), self.iter_response
        part = body.file_part() if transmit and isinstance(body, ResponseBody) else None
        self._count_answer(cherrypy.serving.response)
        if part is None:
            yield from self._blocks(body)
        else:
            self._first_byte = time.perf_counter()
            transmit(part, self._count)
        self._is_complete = True

    def _blocks(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for block in body:
            self._first_byte = self._first_byte or time.perf_counter()
            yield block
            self._sent += len(block)  # the server asks for more when it has sent this one

    def close(self) -> None:
        """Let go of request and response, and tell the observers."""
        request, response = cherrypy.serving.request, cherrypy.serving.response
        try:
            super().close()
        finally:
            self._count_answer(response)  # if it was not even begun
            self._tell(request, response)
            answered.set(NO_REQUEST)

    def _tell(self, request: Request, response: Response) -> None:
        end = time.perf_counter()
        first_byte, seconds = (self._first_byte or end) - self._clock, end - self._clock
        received = request.archive_body.received if request.archive_body else 0
        if self._cells:
            count_end(self._cells, first_byte, seconds, received, self._sent, not self._is_complete)
        if self.cpapp.observers:
            exchange = self._exchange(request, response, first_byte, seconds, received)
            for observe in self.cpapp.observers:
                observe(exchange)

    def _count_answer(self, response: Response) -> None:
        if self.cpapp.is_counted and not self._cells:
            environ = self.environ
            self._cells = count_answer(environ["REQUEST_METHOD"], target_of(environ), _status_of(response))

    def _count(self, sent: int) -> None:
        self._sent += sent

    def _exchange(
        self, request: Request, response: Response, first_byte: float, seconds: float, received: int
    ) -> Exchange:
        environ = self.environ
        return Exchange(
            str(request.unique_id),
            environ["REQUEST_METHOD"],
            without_credentials(target_of(environ)),
            environ["SERVER_PROTOCOL"],
            request.remote.ip,
            request.login,
            _status_of(response),
            self._begun,
            first_byte,
            seconds,
            received,
            self._sent,
            not self._is_complete,
            environ.get("HTTP_REFERER", ""),
            environ.get("HTTP_USER_AGENT", ""),
            answered.get().traceparent,
            environ["wsgi.url_scheme"],
        )


def _status_of(response: Response) -> int:
    return int((response.output_status or b"500")[:3])
