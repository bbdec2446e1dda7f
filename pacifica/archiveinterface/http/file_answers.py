"""The answer to a GET of a file: which of its bytes, with which headers, and who sends them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..backends.abstract.archive import AbstractBackendArchive
from ..backends.abstract.file import ArchiveFile, Reader
from ..backends.abstract.options import ArchiveOptions
from ..backends.abstract.status import AbstractStatus
from ..digests import SUPPORTED
from ..exception import DamagedFileError, UncheckedFileError
from ..metrics.definitions import CELLS, DAMAGED_REFUSALS
from .answers import Answer, not_modified_answer
from .headers.conditions import Conditions
from .headers.dates import http_date
from .headers.digest_fields import digest_headers
from .headers.ranges import Segment, clip, parse_range_header
from .options import HttpOptions
from .response_body import HashedResponseBody, ResponseBody, content_range, multipart
from .sendfile import has_conditions, redirection

FILE_TYPE = "application/octet-stream"
AT_ONCE = 1 << 16  # bytes; a body no longer than this is read before the answer begins, and can still become an error


class _Selection(NamedTuple):
    """What is sent of a file: *length* bytes of *parts*, and the status and headers that say which."""

    status: str
    headers: Mapping[str, str]
    parts: list[Segment | bytes]
    length: int


def file_answer(
    request_headers: Mapping[str, str],
    archive: AbstractBackendArchive,
    file: Reader,
    wanted: Segment | None,
    options: HttpOptions,
) -> Answer:
    """Return the answer to a GET of the open *file* of *archive*, or of the bytes *wanted* by the query of the URL.

    The caller closes *file* unless the body is a ResponseBody, which owns it.
    """
    status = file.status()
    refuse_damaged(status)
    conditions = Conditions(request_headers)
    if conditions.not_modified(status):
        return not_modified_answer(status)
    headers = _headers(request_headers, status)
    selection = _selection(request_headers, conditions, status, wanted)
    algorithms = _algorithms_to_compute(archive.archive_options, status, selection)
    elsewhere = {} if wanted or algorithms else redirection(archive, status, request_headers, options.sendfile)
    if elsewhere:
        return Answer("200 OK", {**headers, **elsewhere})
    return _sent_here(file, status, headers, selection, algorithms)


def redirect_answer(
    request_headers: Mapping[str, str], archive: AbstractBackendArchive, file: ArchiveFile, options: HttpOptions
) -> Answer | None:
    """Return the answer to a GET that sends the client to the store for the bytes of *file*.

    None when the service has to send them itself: conditional answers, several ranges, files that are offline, and
    those that have to be hashed.
    """
    if archive.archive_options.verify_reads or has_conditions(request_headers):
        return None
    status = file.status()
    refuse_damaged(status)
    selection = _selection(request_headers, Conditions(request_headers), status, None)
    is_hashed = _algorithms_to_compute(archive.archive_options, status, selection)
    if not status.residency.is_online or is_hashed or len(selection.parts) > 1:
        return None
    headers = {**_headers(request_headers, status), "Location": file.presigned_url(options.presigned_seconds)}
    return Answer("307 Temporary Redirect", headers)


def _headers(request_headers: Mapping[str, str], status: AbstractStatus) -> dict[str, str]:
    return {
        "Content-Type": FILE_TYPE,
        "Last-Modified": http_date(status.mtime),
        "ETag": status.etag,
        "Accept-Ranges": "bytes",
        **digest_headers(status.digests, request_headers),
    }


def refuse_damaged(status: AbstractStatus) -> None:
    """Raise DamagedFileError when the file is known to be damaged."""
    if status.damaged:
        CELLS.add(DAMAGED_REFUSALS.change())
        raise DamagedFileError("the file is damaged: its bytes are not those that were stored")


def _sent_here(
    file: Reader,
    status: AbstractStatus,
    headers: Mapping[str, str],
    selection: _Selection,
    algorithms: Iterable[str],
) -> Answer:
    is_hashed = algorithms and _is_whole(selection, status)
    body = HashedResponseBody(file, status, algorithms) if is_hashed else ResponseBody(file, selection.parts)
    return Answer(
        selection.status,
        {**headers, **selection.headers, "Content-Length": str(selection.length)},
        b"".join(body) if selection.length <= AT_ONCE else body,
    )


def _selection(
    request_headers: Mapping[str, str], conditions: Conditions, status: AbstractStatus, wanted: Segment | None
) -> _Selection:
    """Return what to send. Raises RangeNotSatisfiableError."""
    if wanted:
        part = clip(wanted, status.filesize)
        return _Selection("200 OK", {}, [part], part.length)
    text = request_headers.get("Range")
    segments = parse_range_header(text, status.filesize) if text and conditions.allow_range(status) else None
    if not segments:
        return _Selection("200 OK", {}, [Segment(0, status.filesize)], status.filesize)
    if len(segments) == 1:
        span = {"Content-Range": content_range(segments[0], status.filesize)}
        return _Selection("206 Partial Content", span, [segments[0]], segments[0].length)
    boundary, length, parts = multipart(segments, status.filesize, FILE_TYPE)
    kind = {"Content-Type": f"multipart/byteranges; boundary={boundary}"}
    return _Selection("206 Partial Content", kind, parts, length)


def _is_whole(selection: _Selection, status: AbstractStatus) -> bool:
    return selection.parts == [Segment(0, status.filesize)]


def _algorithms_to_compute(options: ArchiveOptions, status: AbstractStatus, selection: _Selection) -> Iterable[str]:
    """Return the digests to compute of a whole file. Raises UncheckedFileError when it cannot be verified."""
    if not status.digests:
        return options.digests
    if not options.verify_reads:
        return ()
    algorithms = [name for name in status.digests if name in SUPPORTED]
    if not algorithms and _is_whole(selection, status):
        raise UncheckedFileError(f"the file cannot be verified: {', '.join(status.digests)} cannot be computed here")
    return algorithms
