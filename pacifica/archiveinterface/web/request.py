"""What CherryPy does around each request, less what can be done once or is of no use here.

CherryPy finds the handler, reads all of its configuration and attaches hooks for every request anew,
and composes a line of the access log even if no log is configured. One resource with settings that
never change needs that once. Hooks and tools of a site's [global] and [/] run at CherryPy's hook
points. Cookies are not read, header values are not decoded (RFC 2047), and the events
``before_request`` and ``after_request`` are not published.
"""

import logging
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import cherrypy
from cherrypy import _cpreqbody
from cherrypy._cplogging import LogManager, NullHandler
from cherrypy._cprequest import HookMap, Request, Response, hookpoints
from cherrypy._cpwsgi import AppResponse
from cherrypy.lib.httputil import HeaderMap

from ..exception import HttpVersionError, MethodError, RequestError
from ..http.options import HttpOptions
from ..http.request_body import RequestBody
from ..http.request_head import request_id
from ..http.response_body import ResponseBody
from ..http.server_calls import LINGER, TRANSMIT
from ..rest_generator import ArchiveInterfaceGenerator
from .writing import error_page_default, error_response

_VERSIONS = ("HTTP/1.0", "HTTP/1.1")
# The parts of CherryPy's configuration that concern single requests.
_OF_REQUESTS = ("error_page", "hooks", "request", "response", "tools")
# What these say is decided by ArchiveRequest.
_FIXED = (
    "request.dispatch",
    "request.process_request_body",
    "request.error_response",
    "request.show_tracebacks",
    "error_page.default",
    # Clients read the raw stream and hash it.
    "tools.encode.on",
    "tools.gzip.on",
)


class ArchiveApplication(cherrypy.Application):
    """The CherryPy application around one resource."""

    def __init__(self, resource: ArchiveInterfaceGenerator, http: HttpOptions, most_bytes: int) -> None:
        """Serve *resource*; a body may have *most_bytes*, any number if 0."""
        super().__init__(resource, "")
        self.http = http
        self.most_bytes = most_bytes
        self.request_class = ArchiveRequest
        self.response_class = _Response
        self.wsgiapp.response_class = ArchiveAnswer
        # CherryPy's trap would append an error page to a file that breaks off.
        self.wsgiapp.pipeline = []
        self.log: LogManager = _Log(id(self))
        self.request_settings: dict[str, Any] = {}

    def merge(self, config: dict[str, dict[str, Any]]) -> None:
        """Take a site's settings, and CherryPy's own as they are now."""
        super().merge(config)
        settings = {**cherrypy.config, **self.config.get("/", {})}
        self.request_settings = {key: value for key, value in settings.items() if _matters(key, value)}

    def get_serving(self, local: Any, remote: Any, scheme: str, server_protocol: str) -> tuple[Request, Any]:
        """Return a request and its response; nobody listens to the events that CherryPy publishes here."""
        request, response = self.request_class(local, remote, scheme, server_protocol), self.response_class()
        request.app = self
        cherrypy.serving.load(request, response)
        return request, response

    def release_serving(self) -> None:
        """Let go of what get_serving returned."""
        try:
            cherrypy.serving.request.close()
        finally:
            cherrypy.serving.clear()


def _matters(key: str, value: Any) -> bool:
    if key in _FIXED or key.partition(".")[0] not in _OF_REQUESTS:
        return False
    return bool(value) or not (key.startswith("tools.") and key.endswith(".on"))  # tools are off unless switched on


class _OneResource(cherrypy.dispatch.MethodDispatcher):
    """Every path is the archive's: none is looked up among the attributes of Python objects."""

    def __init__(self) -> None:
        super().__init__()
        self._methods = tuple(name for name in dir(ArchiveInterfaceGenerator) if name.isupper())
        self._allow = ", ".join(self._methods)

    def __call__(self, path_info: str) -> None:
        request = cherrypy.serving.request
        request.config = request.app.request_settings
        cherrypy.serving.response.headers["Allow"] = self._allow
        if request.method not in self._methods:
            raise MethodError(self._allow)
        request.handler = getattr(request.app.root, request.method)
        if request.query_string:
            request.handler = cherrypy.dispatch.LateParamPageHandler(request.handler)


class _Hooks(HookMap):
    """CherryPy's hooks; a point without any is passed by."""

    def run(self, point: str) -> None:
        if self[point]:
            super().run(point)


def _hooks() -> _Hooks:
    def take_body() -> None:
        request = cherrypy.serving.request
        request.archive_body = RequestBody(request.wsgi_environ, request.app.most_bytes)

    def read_rest() -> None:
        cherrypy.serving.request.read_rest()

    def leave_rest() -> None:
        cherrypy.serving.request.leave_rest()

    hooks = _Hooks(hookpoints)
    hooks.attach("on_start_resource", take_body)
    hooks.attach("before_finalize", read_rest)
    hooks.attach("after_error_response", leave_rest)
    return hooks


class ArchiveRequest(Request):
    """A request whose body the handlers read themselves, and whose errors are JSON from the start."""

    error_page = {"default": error_page_default}
    process_request_body = False
    dispatch = _OneResource()
    hooks = _hooks()
    archive_body: RequestBody | None = None
    _cherrypy_body: Any = None

    def run(
        self, method: str, path: str, query_string: str, req_protocol: str, headers: Any, rfile: Any
    ) -> cherrypy._cprequest.Response:
        """Answer the request; every answer carries its id."""
        self._has_known_version = req_protocol in _VERSIONS
        version = req_protocol if self._has_known_version else _VERSIONS[-1]  # CherryPy expects digits
        response = super().run(method, path, query_string, version, headers, rfile)
        response.header_list.append((b"X-Request-Id", str(self.unique_id).encode()))
        return response

    @property
    def body(self) -> Any:
        """CherryPy's reader of the body, for tools that ask for it; the handlers use archive_body."""
        if self._cherrypy_body is None:
            self._cherrypy_body = _cpreqbody.RequestBody(self.rfile, self.headers, request_params=self.params)
        return self._cherrypy_body

    @body.setter
    def body(self, chosen: Any) -> None:
        self._cherrypy_body = chosen

    def process_headers(self) -> None:
        """Take the header fields as they were sent."""
        for name, value in self.header_list:
            self.headers[name] = value.strip()
        self.unique_id = request_id(self.headers.get("X-Request-Id"))
        if not self._has_known_version:
            raise HttpVersionError("this service speaks HTTP/1.1 and HTTP/1.0")
        host = self.headers.get("Host")
        if host is None and self.protocol >= (1, 1):
            raise RequestError("HTTP/1.1 requires a Host header")
        if host and "," in host:
            raise RequestError("send Host once")
        self.base = f"{self.scheme}://{host or self.local.name or self.local.ip}"

    def process_query_string(self) -> None:
        """Read the parameters in the URL."""
        try:
            super().process_query_string()
        except (cherrypy.HTTPError, ValueError) as error:
            raise RequestError("the query of the URL is malformed") from error

    @property
    def show_tracebacks(self) -> bool:
        """Whether errors tell where they arose."""
        return bool(self.app and self.app.http.show_tracebacks)

    @property
    def error_response(self) -> Any:
        """What answers when a handler raised."""
        return error_response

    @error_response.setter
    def error_response(self, chosen_by_cherrypy: Any) -> None:
        """Let CherryPy set what it likes."""

    def get_resource(self, path: str) -> None:
        """Go to the one resource, whatever dispatcher a site's file names."""
        self.dispatch(path)

    def _do_respond(self, path_info: str) -> None:
        """Go through CherryPy's steps, but for its reader of bodies, and but for those that have nothing to do.

        It differs from CherryPy's own in these.
        """
        self.hooks = type(self).hooks.copy()
        self.toolmaps: dict[str, Any] = {}
        self.process_headers()
        self.get_resource(path_info)
        if self.config:
            self.namespaces(self.config)
        self.hooks.run("on_start_resource")
        if self.query_string:
            self.process_query_string()
        self.hooks.run("before_request_body")
        self.hooks.run("before_handler")
        if self.handler:
            cherrypy.serving.response.body = self.handler()
        self.hooks.run("before_finalize")
        cherrypy.serving.response.finalize()

    def read_rest(self) -> None:
        """Read what the handler left of the body, so that the connection can serve again."""
        if str(cherrypy.serving.response.status or HTTPStatus.OK.value) >= "400":  # a tool of the site refused it
            self.leave_rest()
        else:
            self._drain()

    def leave_rest(self) -> None:
        """Let the server read what the client still sends after the error, or read it now if the server cannot."""
        linger, body = self.wsgi_environ.get(LINGER), self.archive_body
        if linger and not (body and (body.complete or body.is_silent)):
            linger(self.app.http.drain_bytes)
        elif not linger:
            self._drain()

    def _drain(self) -> None:
        if self.archive_body is not None:
            self.archive_body.drain(self.app.http.drain_bytes)


_WRITTEN = {"Etag": "ETag"}  # names that are not in title case


class _Headers(HeaderMap):
    """CherryPy's headers; what needs no escape is encoded as it is."""

    def output(self) -> list[tuple[bytes, bytes]]:
        return [(_encoded(_WRITTEN.get(name, name)), _encoded(str(value))) for name, value in self.items()]


def _encoded(text: str) -> bytes:
    if text.isascii() and text.isprintable():
        return text.encode()
    encoded: bytes = HeaderMap.encode_header_item(text)
    return encoded


class _Response(Response):
    """CherryPy's response, with headers of ours."""

    headers: HeaderMap

    def __init__(self) -> None:
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

    def close(self) -> None:
        """Let go of the request and of what its body holds open."""
        try:
            self.cpapp.release_serving()
        finally:
            # Not CherryPy's way, which looks the signature of close() up for every answer.
            if close := getattr(self.iter_response, "close", None):
                close()


class _Log(LogManager):
    """CherryPy's log; a line that nobody reads is not written."""

    def access(self) -> None:
        if _is_heard(self.access_log):
            super().access()


def _is_heard(log: logging.Logger | None) -> bool:
    while log:
        if any(not isinstance(handler, NullHandler) for handler in log.handlers):
            return True
        log = log.parent if log.propagate else None
    return False
