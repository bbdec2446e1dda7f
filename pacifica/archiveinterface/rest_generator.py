"""The REST interface: one resource, the six verbs, and nothing about storage."""

import json
from collections.abc import Iterable
from contextlib import closing
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import cherrypy

from . import digests
from .archive_utils import un_abs_path
from .backends.abstract.archive import AbstractBackendArchive
from .backends.abstract.file import Reader
from .backends.abstract.options import ArchiveOptions
from .backends.abstract.precondition import Precondition
from .backends.abstract.status import AbstractStatus
from .exception import (
    ByteRangeError,
    DamagedFileError,
    FileIdError,
    MediaTypeError,
    MethodError,
    RequestError,
    UncheckedFileError,
)
from .http import digest_fields
from .http.conditions import Conditions
from .http.dates import get_http_modified_time
from .http.errors import error_page_default, error_response, set_headers
from .http.file_headers import file_status
from .http.options import HttpOptions
from .http.ranges import Segment, clip, parse_byte_range, parse_range_header
from .http.request_body import RequestBody
from .http.response_body import HashedResponseBody, ResponseBody, content_range, multipart
from .http.sendfile import redirection

ROOT_METHODS = "GET, HEAD, OPTIONS"
FILE_TYPE = "application/octet-stream"
JSON_TYPE = "application/json"
RETRY_AFTER = "30"  # seconds; a tape is rarely faster
AT_ONCE = 1 << 16  # bytes; an answer no longer than this is read before it begins, and can still become an error
MOST_JSON = 1 << 16  # bytes; a path is shorter


class ArchiveInterfaceGenerator:
    """The archive as a CherryPy resource for the MethodDispatcher."""

    exposed = True

    def __init__(self, archive: AbstractBackendArchive, options: HttpOptions | None = None) -> None:
        """Serve the files of *archive*, which all threads share; without *options*, the defaults hold."""
        self._archive = archive
        self._options = options or HttpOptions()
        # For other applications than ours: the handlers read the body, and errors have our form.
        self._cp_config = {
            "request.process_request_body": False,
            "request.error_response": error_response,
            "request.show_tracebacks": self._options.show_tracebacks,
            "error_page.default": error_page_default,
        }

    def GET(self, /, *_path: str, byte_range: Any = None, **_query: Any) -> Any:
        """Answer with the bytes of the file, or some of them: 200, 206, 304."""
        file_id = _file_id()
        if not file_id:
            return _root()
        wanted = None if byte_range is None else _parse_byte_range_query(byte_range)
        file = self._archive.open(file_id, "r")
        try:
            answer = _file_answer(self._archive, file, wanted, self._options.sendfile)
        except BaseException:
            file.close()
            raise
        if isinstance(answer, bytes):
            file.close()
        return answer

    def HEAD(self, /, *_path: str, **_query: Any) -> Any:
        """Answer with what is known of the file, in headers: 204, or 200 with ``[http] head = standard``."""
        file_id = _file_id()
        if not file_id:
            return _root()
        status = self._archive.file(file_id).status()
        _refuse_damaged(status)
        if Conditions(_request_headers()).not_modified(status):
            return _not_modified(status)
        set_headers({**file_status(status), "ETag": status.etag, "Accept-Ranges": "bytes", "Content-Type": JSON_TYPE})
        set_headers(_digest_headers(status))
        cherrypy.serving.response.status = 204
        if self._options.head == "standard":
            cherrypy.serving.response.status = 200
            set_headers({"Last-Modified": _http_date(status.mtime), "Content-Length": str(status.filesize)})
        return b""

    def PUT(self, /, *_path: str, **_query: Any) -> Any:
        """Store the body as the file, replacing what was there: 201."""
        file_id, body = _required_file_id(), _request_body()
        body.require()
        request_headers = cherrypy.serving.request.headers
        if "Content-Range" in request_headers:
            raise RequestError("PUT stores whole files: Content-Range, part of a file, is not supported")
        mod_time, announced = get_http_modified_time(request_headers), digest_fields.announced(request_headers)
        hasher = digests.Hasher({*self._archive.archive_options.digests, *announced})

        def checked() -> digests.Digests:
            computed = hasher.digests()
            digests.check(announced, computed)
            return computed

        with closing(body.hashed_blocks(hasher)) as blocks:
            status = self._archive.file(file_id).store(
                blocks, mod_time, checked, length=body.length, precondition=_precondition()
            )
        cherrypy.serving.response.status = 201
        set_headers({"ETag": status.etag, **_digest_headers(status)})
        # A string, sic. ingest treats the upload as successful if this number is right, and looks at nothing else.
        return _json({"message": "File added to archive", "total_bytes": str(status.filesize)})

    def POST(self, /, *_path: str, **_query: Any) -> Any:
        """Stage the file: 200 when it is on disk, 202 while it is being recalled."""
        file_id = _required_file_id()
        if self._archive.file(file_id).stage():
            return _json({"file": f"/{file_id}", "message": "File was staged"})
        cherrypy.serving.response.status = 202
        cherrypy.serving.response.headers["Retry-After"] = RETRY_AFTER
        return _json({"file": f"/{file_id}", "message": "File is being staged"})

    def PATCH(self, /, *_path: str, **_query: Any) -> Any:
        """Move the file that the JSON body names, ``{"path": ...}``, to this id: 200."""
        file_id, body = _required_file_id(), _request_body()
        body.require()
        self._archive.patch(file_id, _path_in(body), _precondition())
        return _json({"message": "File Moved Successfully"})

    def DELETE(self, /, *_path: str, **_query: Any) -> Any:
        """Remove the file: 200."""
        self._archive.file(_required_file_id()).remove(_precondition())
        return _json({"message": "File deleted"})

    def OPTIONS(self, /, *_path: str, **_query: Any) -> Any:
        """Answer with the methods that the resource knows, in Allow: 200."""
        headers = cherrypy.serving.response.headers
        headers.pop("Content-Type", None)  # there is no body
        if not _file_id():
            headers["Allow"] = ROOT_METHODS
        return b""


def _file_id() -> str:
    """Return the one path segment of the request, empty for the root. Raises FileIdError."""
    environ = cherrypy.serving.request.wsgi_environ
    # PATH_INFO is decoded, and by some servers tidied: what the client really wrote is in REQUEST_URI.
    written = environ.get("REQUEST_URI", "").partition("?")[0]
    if (
        "#" in written
        or "%2f" in written.lower()
        or any(unquote(segment) in (".", "..") for segment in written.split("/"))
    ):
        raise FileIdError("a file id is one path segment, without slash, encoded or not, and not a dot segment")
    try:
        return un_abs_path(environ["PATH_INFO"].encode("latin-1").decode())
    except UnicodeDecodeError as error:
        raise FileIdError("a file id is UTF-8") from error


def _required_file_id() -> str:
    file_id = _file_id()
    if not file_id:
        raise MethodError(ROOT_METHODS)
    return file_id


def _request_headers() -> dict[str, str]:
    # CherryPy's own headers fold the case of every name they are asked for.
    return dict(cherrypy.serving.request.headers)


def _request_body() -> RequestBody:
    request = cherrypy.serving.request
    body: RequestBody | None = getattr(request, "archive_body", None)  # only our own application makes it early
    return RequestBody(request.wsgi_environ) if body is None else body


def _precondition() -> Precondition | None:
    return Conditions(_request_headers()).of_writing


def _root() -> bytes:
    return _json({"message": "Pacifica Archive Interface Up and Running"})


def _json(content: dict[str, str]) -> bytes:
    cherrypy.serving.response.headers["Content-Type"] = JSON_TYPE
    return json.dumps(content).encode()


def _http_date(mtime: float) -> str:
    return _date_of_second(int(mtime))


@lru_cache(maxsize=4096)
def _date_of_second(second: int) -> str:
    return formatdate(second, usegmt=True)


def _parse_byte_range_query(text: Any) -> Segment:
    if not isinstance(text, str):  # CherryPy's list of a key that was given twice
        raise ByteRangeError("byte_range is given once")
    return parse_byte_range(text)


def _file_answer(
    archive: AbstractBackendArchive, file: Reader, wanted: Segment | None, sendfile: str
) -> bytes | ResponseBody:
    """Return the whole answer, or a body that owns *file* from now on."""
    status = file.status()
    _refuse_damaged(status)
    conditions = Conditions(_request_headers())
    if conditions.not_modified(status):
        return _not_modified(status)
    set_headers(
        {
            "Content-Type": FILE_TYPE,
            "Last-Modified": _http_date(status.mtime),
            "ETag": status.etag,
            "Accept-Ranges": "bytes",
            **_digest_headers(status),
        }
    )
    parts = _requested_parts(status.filesize, wanted, conditions.allow_range(status))
    algorithms = _algorithms_to_compute(archive.archive_options, status)
    is_whole = parts == [Segment(0, status.filesize)]
    if is_whole and status.digests and not algorithms and archive.archive_options.verify_reads:
        raise UncheckedFileError(f"the file cannot be verified: {', '.join(status.digests)} cannot be computed here")
    elsewhere = {} if wanted or algorithms else redirection(archive, status, _request_headers(), sendfile)
    if elsewhere:
        del cherrypy.serving.response.headers["Content-Length"]
        set_headers(elsewhere)
        return b""
    body = HashedResponseBody(file, status, algorithms) if algorithms and is_whole else ResponseBody(file, parts)
    if int(cherrypy.serving.response.headers["Content-Length"]) <= AT_ONCE:
        return b"".join(body)
    cherrypy.serving.response.stream = True
    return body


def _algorithms_to_compute(options: ArchiveOptions, status: AbstractStatus) -> Iterable[str]:
    if not status.digests:
        return options.digests
    return [name for name in status.digests if name in digests.SUPPORTED] if options.verify_reads else ()


def _refuse_damaged(status: AbstractStatus) -> None:
    if status.damaged:
        raise DamagedFileError("the file is damaged: its bytes are not those that were stored")


def _digest_headers(status: AbstractStatus) -> dict[str, str]:
    if not status.digests:
        return {}
    request_headers = _request_headers()
    headers = {"Repr-Digest": digest_fields.repr_digest(status.digests, request_headers.get("Want-Repr-Digest"))}
    if "Want-Digest" in request_headers:
        headers["Digest"] = digest_fields.digest(status.digests, request_headers["Want-Digest"])
    return {name: value for name, value in headers.items() if value}


def _requested_parts(filesize: int, wanted: Segment | None, range_allowed: bool) -> list[Segment | bytes]:
    """Return what to send of the file and set the status and headers that say so."""
    headers = cherrypy.serving.response.headers
    text = _request_headers().get("Range")
    segments = [clip(wanted, filesize)] if wanted else None
    if segments is None and text and range_allowed:
        segments = parse_range_header(text, filesize)
        cherrypy.serving.response.status = 206 if segments else 200
        if segments and len(segments) == 1:
            headers["Content-Range"] = content_range(segments[0], filesize)
    if segments and len(segments) > 1:
        boundary, length, parts = multipart(segments, filesize, FILE_TYPE)
        set_headers({"Content-Type": f"multipart/byteranges; boundary={boundary}", "Content-Length": str(length)})
        return parts
    part = segments[0] if segments else Segment(0, filesize)
    headers["Content-Length"] = str(part.length)
    return [part]


def _not_modified(status: AbstractStatus) -> bytes:
    headers = cherrypy.serving.response.headers
    headers.pop("Content-Type", None)
    set_headers({"ETag": status.etag, "Last-Modified": _http_date(status.mtime)})
    cherrypy.serving.response.status = 304
    return b""


def _path_in(body: RequestBody) -> str:
    media_type = _request_headers().get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != JSON_TYPE:
        raise MediaTypeError(f"send the path as {JSON_TYPE}")
    try:
        content = json.loads(body.read_at_most(MOST_JSON))
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is not JSON") from error
    path = content.get("path") if isinstance(content, dict) else None
    if not isinstance(path, str):
        raise RequestError('the body is {"path": "/absolute/path/of/the/file"}')
    return path
