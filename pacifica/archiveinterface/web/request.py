"""A request as CherryPy has it, but for its headers, its errors and its body.

Cookies are not read, and header values are not decoded (RFC 2047).
"""

from collections.abc import Callable
from typing import Any

import cherrypy
from cherrypy._cprequest import HookMap, Request, Response, hookpoints
from cherrypy.lib.reprconf import NamespaceSet

from ..audit.deeds import Deed
from ..auth.permissions import Principal
from ..exception import ArchiveInterfaceError, HttpVersionError, RequestError
from ..http.headers.request_head import request_id
from ..http.headers.trace_context import traceparent_in
from ..http.request_body import RequestBody
from ..http.response_body import ResponseBody
from ..http.server_calls import LINGER
from ..logs.context import Known, answered
from .auditing import record
from .headers import Headers
from .limits import pass_gate
from .principals import authenticate
from .writing import error_page_default, error_response

_VERSIONS = ("HTTP/1.0", "HTTP/1.1")


class _Namespaces(NamespaceSet):
    """CherryPy's handlers of settings; without settings none of them is called."""

    def __call__(self, config: Any) -> None:
        if config:
            super().__call__(config)


class _Hooks(HookMap):
    """CherryPy's hooks; a point of the request without any is passed by."""

    def run(self, point: str) -> None:
        if self[point]:
            super().run(point)


class ArchiveRequest(Request):
    """A request whose body the handlers read themselves, and whose errors are JSON from the start."""

    error_page = {"default": error_page_default}
    namespaces = _Namespaces(Request.namespaces)
    hooks = _Hooks(hookpoints)
    process_request_body = False
    show_tracebacks = False
    archive_body: RequestBody | None = None
    principal: Principal | None = None
    end_transfer: Callable[[], None] | None = None
    deed: Deed | None = None
    """What the audit log is told of the request; None until it is told something."""
    refusal = ""
    """Why the request was answered with an error."""

    def run(self, method: str, path: str, query_string: str, req_protocol: str, headers: Any, rfile: Any) -> Response:
        """Answer the request; every answer carries its id."""
        self._has_known_version = req_protocol in _VERSIONS
        version = req_protocol if self._has_known_version else _VERSIONS[-1]  # CherryPy expects digits
        response = super().run(method, path, query_string, version, headers, rfile)
        if self.app.audit:
            self._record(response)
        if response.output_status < b"4":
            self._drain()
        else:
            self._leave_rest()
        response.header_list.append((b"X-Request-Id", str(self.unique_id).encode()))
        return response

    def process_headers(self) -> None:
        """Take the header fields as they were sent."""
        self.error_response = error_response
        self.show_tracebacks = self.app.options.show_tracebacks
        headers = {name.title(): value.strip() for name, value in self.header_list}
        # CherryPy parses this header when it prepares its own reader of the body, and fails if it is malformed.
        headers.pop("Content-Disposition", None)
        self.headers = Headers()
        dict.update(self.headers, headers)  # the names are in title case already
        self.unique_id = request_id(headers.get("X-Request-Id"))
        answered.set(Known(self.unique_id, traceparent_in(headers.get("Traceparent"))))
        if not self._has_known_version:
            raise HttpVersionError("this service speaks HTTP/1.1 and HTTP/1.0")
        host = headers.get("Host")
        if host is None and self.protocol >= (1, 1):
            raise RequestError("HTTP/1.1 requires a Host header")
        if host and "," in host:
            raise RequestError("send Host once")
        self.base = f"{self.scheme}://{host or self.local.name or self.local.ip}"

    def process_query_string(self) -> None:
        """Read the parameters in the URL."""
        if not self.query_string:
            return
        try:
            super().process_query_string()
        except (cherrypy.HTTPError, ValueError) as error:
            raise RequestError("the query of the URL is malformed") from error

    def get_resource(self, path: str) -> None:
        """Route the request, whatever dispatcher a site's file names, and find out who sent it."""
        needs_user = self.app.router(path)
        self.archive_body = RequestBody(self.wsgi_environ, self.app.most_bytes)
        if needs_user and self.app.authenticator is not None:
            authenticate(self, self.app.authenticator, path)
        if self.app.gate:
            pass_gate(self.app.gate, self, path)

    def close(self) -> None:
        """Let go of what the request has held; the answer has been sent."""
        if self.end_transfer:
            end, self.end_transfer = self.end_transfer, None
            end()
        super().close()

    def _record(self, response: Response) -> None:
        """Write the outcome to the audit log; without that, the answer is no success."""
        try:
            record(self, response)
        except ArchiveInterfaceError:
            if response.output_status < b"4":
                self._break_off(response)

    def _break_off(self, response: Response) -> None:
        """Answer with the error that is being handled instead of the *response* that was ready."""
        body = response.body
        if isinstance(body, ResponseBody):
            body.close()
        self.handle_error()
        if self.method == "HEAD":
            response.body = []

    def _leave_rest(self) -> None:
        """Let the server read what the client still sends after the error, or read it now if the server cannot."""
        linger, body = self.wsgi_environ.get(LINGER), self.archive_body
        if not linger:
            self._drain()
        elif not (body and (body.complete or body.is_silent)):
            linger(self.app.options.drain_bytes)

    def _drain(self) -> None:
        """Read what the handler left of the body, so that the connection can serve again."""
        if self.archive_body is not None:
            self.archive_body.drain(self.app.options.drain_bytes)
