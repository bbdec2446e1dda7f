"""Errors as HTTP answers: the one table of statuses, and the one JSON shape."""

import logging
from http import HTTPStatus
from typing import NamedTuple

from ..exception import (
    ArchiveInterfaceError,
    BackendUnavailableError,
    BeingStagedError,
    BodyTooLargeError,
    ConflictError,
    ForbiddenPathError,
    HttpVersionError,
    LateBodyError,
    LengthRequiredError,
    MediaTypeError,
    MethodError,
    MissingFileError,
    MissingPageError,
    MissingRequestError,
    NoSpaceError,
    NotAllowedError,
    PreconditionError,
    RangeNotSatisfiableError,
    RequestError,
    TooManyRequestsError,
    TransferCodingError,
    UnauthenticatedError,
    UnsupportedError,
)
from ..globals import LOG_NAME, VERSION
from ..metrics.definitions import AUTH_FAILURES, CELLS, LIMIT_REFUSALS
from .answers import Answer, json_answer
from .headers.file_headers import file_status

STATUS_OF: dict[type[ArchiveInterfaceError], HTTPStatus] = {
    RequestError: HTTPStatus.BAD_REQUEST,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenPathError: HTTPStatus.FORBIDDEN,
    NotAllowedError: HTTPStatus.FORBIDDEN,
    MissingFileError: HTTPStatus.NOT_FOUND,
    MissingPageError: HTTPStatus.NOT_FOUND,
    MissingRequestError: HTTPStatus.NOT_FOUND,
    MethodError: HTTPStatus.METHOD_NOT_ALLOWED,
    LateBodyError: HTTPStatus.REQUEST_TIMEOUT,
    ConflictError: HTTPStatus.CONFLICT,
    LengthRequiredError: HTTPStatus.LENGTH_REQUIRED,
    PreconditionError: HTTPStatus.PRECONDITION_FAILED,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RangeNotSatisfiableError: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    TooManyRequestsError: HTTPStatus.TOO_MANY_REQUESTS,
    TransferCodingError: HTTPStatus.NOT_IMPLEMENTED,
    UnsupportedError: HTTPStatus.NOT_IMPLEMENTED,
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

PROBLEM_TYPE = "application/problem+json"
TAPE_API = ("/.well-known/", "/api/v1/")
"""Path prefixes of the tape API, which has its own form of errors."""

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


class Asked(NamedTuple):
    """What error answers and the log tell of a request."""

    method: str
    line: str
    request_id: str
    path: str


def error_answer(error: BaseException, asked: Asked, trace: str = "") -> Answer:
    """Return the answer to a request in which *error* was raised, with the traceback *trace*; log and count it."""
    if isinstance(error, ArchiveInterfaceError) and error.auth_failure:
        CELLS.add(AUTH_FAILURES.change(error.auth_failure))
    if isinstance(error, ArchiveInterfaceError) and error.limit:
        CELLS.add(LIMIT_REFUSALS.change(error.limit))
    answer = refusal(status_line(error), _message_of(error, asked), asked, trace)
    return answer._replace(headers={**answer.headers, **_headers_of(error)})


def refusal(status: str, message: str, asked: Asked, trace: str = "") -> Answer:
    """Return the answer with the status line *status* of an error, in the form that errors have at the path."""
    if f"{asked.path}/".startswith(TAPE_API):
        return _problem(status, message, trace)
    headers = file_status(None) if asked.method == "HEAD" else {}  # a failed HEAD has all of its documented ones
    return json_answer(error_content(status, message, trace), status, headers)


def error_content(status: str, message: str, trace: str = "") -> dict[str, object]:
    """Return the one form of errors, with the status line *status* and the traceback *trace*."""
    return {"status": status, "message": message, "traceback": trace, "version": VERSION}


def _problem(status: str, message: str, trace: str) -> Answer:
    """Return the answer of an error as RFC 9457 (before: RFC 7807) has it."""
    number, _, title = status.partition(" ")
    content = {"type": "about:blank", "title": title, "status": int(number), "detail": message}
    return json_answer({**content, **({"traceback": trace} if trace else {})}, status, {"Content-Type": PROBLEM_TYPE})


def _headers_of(error: BaseException) -> dict[str, str]:
    headers = {}
    if isinstance(error, ArchiveInterfaceError) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, RangeNotSatisfiableError):
        headers["Content-Range"] = f"bytes */{error.filesize}"
    if isinstance(error, MethodError):
        headers["Allow"] = error.allow
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = error.scheme
    return headers


def _message_of(error: BaseException, asked: Asked) -> str:
    status = status_of(error)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return str(error)
    if status != HTTPStatus.INTERNAL_SERVER_ERROR:
        level = logging.INFO if isinstance(error, BeingStagedError) else logging.WARNING  # tapes take their time
        _log.log(level, "request %s, %a: %s", asked.request_id, asked.line, _reason_of(error))
        return str(error)
    _log.error("request %s, %a, failed", asked.request_id, asked.line, exc_info=error)
    reason = str(error) if isinstance(error, ArchiveInterfaceError) else "the service failed"
    return f"{reason}; its log tells more under request {asked.request_id}"


def _reason_of(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(cause) or f"{error} ({type(cause).__name__})"  # a time-out, for one, has no text
