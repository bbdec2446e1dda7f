"""Answers, written to CherryPy's response here and nowhere else."""

import html
import sys
import traceback

import cherrypy

from ..exception import ArchiveInterfaceError
from ..http.answers import Answer, Stream
from ..http.errors import Asked, error_answer, refusal
from ..http.headers.request_head import without_credentials

# An answer that failed after it was written has set them.
_OF_THE_FILE = ("Accept-Ranges", "Content-Length", "Content-Range", "Digest", "ETag", "Last-Modified", "Repr-Digest")


def write(answer: Answer) -> bytes | Stream:
    """Give status and headers of *answer* to CherryPy's response, and return the body, as a handler does."""
    response = cherrypy.serving.response
    response.status = answer.status
    headers = response.headers
    if "Content-Type" not in answer.headers:
        headers.pop("Content-Type", None)  # CherryPy's default
    # Not by update(), which does not title-case names: CherryPy would not find ETag then.
    for name, value in answer.headers.items():
        headers[name] = value
    response.stream = not isinstance(answer.body, bytes)
    return answer.body


def error_response() -> None:
    """Answer the request with the error that is being handled; CherryPy's hook for it."""
    error = sys.exc_info()[1]
    assert error is not None
    request, response = cherrypy.serving.request, cherrypy.serving.response
    trace = "".join(traceback.format_exception(error)) if request.show_tracebacks else ""
    for name in _OF_THE_FILE:
        response.headers.pop(name, None)
    request.refusal = str(error) if isinstance(error, ArchiveInterfaceError) else type(error).__name__
    response.body = write(error_answer(error, _asked(), trace))


def error_page_default(status: str, message: str, traceback: str, version: str) -> bytes | Stream:
    """Return the body for an error that CherryPy or a tool found; *message* is HTML, *version* CherryPy's."""
    cherrypy.serving.request.refusal = html.unescape(message)
    return write(refusal(status, html.unescape(message), _asked(), traceback or ""))


def _asked() -> Asked:
    request = cherrypy.serving.request
    return Asked(request.method, without_credentials(request.request_line), str(request.unique_id), request.path_info)
