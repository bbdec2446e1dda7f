"""Errors as HTTP answers: the one table of statuses, and the one JSON shape."""

import html
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from http import HTTPStatus

import cherrypy

from ..exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    BeingStagedError,
    BodyTooLargeError,
    ConflictError,
    ForbiddenPathError,
    HttpVersionError,
    LengthRequiredError,
    MediaTypeError,
    MethodError,
    MissingFileError,
    NoSpaceError,
    PreconditionError,
    RangeNotSatisfiableError,
    RequestError,
    TransferCodingError,
)
from ..globals import LOG_NAME, VERSION
from .file_headers import file_status

STATUS_OF: dict[type[ArchiveInterfaceError], HTTPStatus] = {
    RequestError: HTTPStatus.BAD_REQUEST,
    ForbiddenPathError: HTTPStatus.FORBIDDEN,
    MissingFileError: HTTPStatus.NOT_FOUND,
    MethodError: HTTPStatus.METHOD_NOT_ALLOWED,
    ConflictError: HTTPStatus.CONFLICT,
    LengthRequiredError: HTTPStatus.LENGTH_REQUIRED,
    PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RangeNotSatisfiableError: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    TransferCodingError: HTTPStatus.NOT_IMPLEMENTED,
    BackendUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    HttpVersionError: HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    NoSpaceError: HTTPStatus.INSUFFICIENT_STORAGE,
    ArchiveInterfaceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# Python's own phrases changed with 3.13.
_RFC_9110_PHRASES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
}

# An answer that failed on its way may have them already.
_OF_THE_FILE = ("Accept-Ranges", "Content-Length", "Content-Range", "Digest", "ETag", "Last-Modified", "Repr-Digest")

_log = logging.getLogger(LOG_NAME)


def status_of(error: BaseException) -> HTTPStatus:
    """Return the status of the nearest ancestor of *error* in the table; 500 for what is not ours."""
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            return STATUS_OF[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def status_line(error: BaseException) -> str:
    """Return number and phrase of the status for *error*."""
    status = status_of(error)
    return f"{int(status)} {_RFC_9110_PHRASES.get(status, status.phrase)}"


def error_response() -> None:
    """Answer the request with the error that is being handled; CherryPy's hook for it."""
    error = sys.exc_info()[1]
    assert error is not None
    status = status_of(error)
    phrase = status_line(error)
    response = cherrypy.serving.response
    response.status = phrase
    for name in _OF_THE_FILE:
        response.headers.pop(name, None)
    set_headers(_headers_of(error))
    response.body = error_page_default(phrase, _message_of(error, status), _traceback_of(error))


def error_page_default(status: str, message: str, traceback: str = "", version: str = "") -> bytes:
    """Return the JSON body of an error and set the headers that go with it.

    CherryPy calls it too, for the errors it finds itself, with its own version and an HTML message.
    """
    request, response = cherrypy.serving.request, cherrypy.serving.response
    response.headers["Content-Type"] = "application/json"
    if request.method == "HEAD":
        set_headers(file_status(None))
    body = {"status": status, "message": html.unescape(message), "traceback": traceback or "", "version": VERSION}
    return json.dumps(body).encode()


def set_headers(headers: Mapping[str, str]) -> None:
    """Set *headers* of the answer. CherryPy finds them in any case then; update() would keep the case as written."""
    for name, value in headers.items():
        cherrypy.serving.response.headers[name] = value


def _headers_of(error: BaseException) -> dict[str, str]:
    headers = {}
    if isinstance(error, ArchiveInterfaceError) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RangeNotSatisfiableError):
        headers["Content-Range"] = f"bytes */{error.filesize}"
    if isinstance(error, MethodError):
        headers["Allow"] = error.allow
    return headers


def _message_of(error: BaseException, status: HTTPStatus) -> str:
    request = cherrypy.serving.request
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return str(error)
    if status != HTTPStatus.INTERNAL_SERVER_ERROR:
        # Clients ask again and again for a file that is being staged.
        level = logging.DEBUG if isinstance(error, BeingStagedError) else logging.WARNING
        _log.log(level, "request %s, %a: %s", request.unique_id, request.request_line, _reason_of(error))
        return str(error)
    _log.error("request %s, %a, failed", request.unique_id, request.request_line, exc_info=error)
    reason = str(error) if isinstance(error, ArchiveInterfaceError) else "the service failed"
    return f"{reason}; its log tells more under request {request.unique_id}"


def _reason_of(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(cause) or f"{error} ({type(cause).__name__})"  # a time-out, for one, has no text


def _traceback_of(error: BaseException) -> str:
    if not cherrypy.serving.request.show_tracebacks:
        return ""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))
