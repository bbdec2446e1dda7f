"""An answer: the status line, the headers and the body, as the one place in `web` writes them out."""

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from ..backends.abstract.status import AbstractStatus
from .headers.dates import http_date
from .headers.digest_fields import digest_headers
from .headers.file_headers import file_status

JSON_TYPE = "application/json"
RETRY_AFTER = "30"  # seconds; a tape is rarely faster


class Stream(Protocol):
    """A body in blocks, made while it is sent."""

    def __iter__(self) -> Iterator[bytes]:
        """Return the body itself."""

    def __next__(self) -> bytes:
        """Return the next block."""

    def close(self) -> None:
        """Let go of what the body needed, however much of it was sent."""


class Answer(NamedTuple):
    """What is sent; a Stream has to be closed after that.

    A header that an answer needs and that is not here is the server's: Date, Content-Length of bytes.
    """

    status: str
    headers: Mapping[str, str]
    body: bytes | Stream = b""


def json_answer(content: object, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer whose body is *content*."""
    return Answer(status, {"Content-Type": JSON_TYPE, **(headers or {})}, json.dumps(content).encode())


def root_answer() -> Answer:
    """Return the answer to a GET or HEAD of the root."""
    return json_answer({"message": "Pacifica Archive Interface Up and Running"})


def stored_answer(request_headers: Mapping[str, str], status: AbstractStatus) -> Answer:
    """Return the answer to a PUT that has stored the file with *status*."""
    # A string, sic. ingest treats the upload as successful if this number is right, and looks at nothing else.
    content = {"message": "File added to archive", "total_bytes": str(status.filesize)}
    return json_answer(content, "201 Created", {"ETag": status.etag, **digest_headers(status.digests, request_headers)})


def staged_answer(file_id: str) -> Answer:
    """Return the answer to a POST of a file that is on disk."""
    return json_answer({"file": f"/{file_id}", "message": "File was staged"})


def recalling_answer(file_id: str) -> Answer:
    """Return the answer to a POST of a file that is on its way to disk."""
    content = {"file": f"/{file_id}", "message": "File is being staged"}
    return json_answer(content, "202 Accepted", {"Retry-After": RETRY_AFTER})


def status_answer(request_headers: Mapping[str, str], status: AbstractStatus) -> Answer:
    """Return the documented answer to a HEAD of the file with *status*."""
    headers = {
        **file_status(status),
        "ETag": status.etag,
        "Accept-Ranges": "bytes",
        "Content-Type": JSON_TYPE,
        **digest_headers(status.digests, request_headers),
    }
    return Answer("204 No Content", headers)


def standard_status_answer(request_headers: Mapping[str, str], status: AbstractStatus) -> Answer:
    """Return the answer to a HEAD with ``[http] head = standard``."""
    headers = {"Last-Modified": http_date(status.mtime), "Content-Length": str(status.filesize)}
    return Answer("200 OK", {**status_answer(request_headers, status).headers, **headers})


def not_modified_answer(status: AbstractStatus) -> Answer:
    """Return the answer to a client that has the file with *status* already."""
    return Answer("304 Not Modified", {"ETag": status.etag, "Last-Modified": http_date(status.mtime)})
