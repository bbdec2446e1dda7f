"""The REST interface: one resource, the six verbs, and nothing about storage."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import cherrypy

from . import digests
from .auth.permissions import Permission
from .backends.abstract.archive import AbstractBackendArchive
from .backends.abstract.file import ArchiveFile
from .backends.abstract.precondition import Precondition
from .backends.abstract.status import AbstractStatus
from .exception import MethodError, RequestError
from .http.answers import (
    Answer,
    json_answer,
    not_modified_answer,
    recalling_answer,
    root_answer,
    staged_answer,
    standard_status_answer,
    status_answer,
    stored_answer,
)
from .http.changes import deleted, moved, stored
from .http.file_answers import file_answer, redirect_answer, refuse_damaged
from .http.headers.conditions import Conditions
from .http.headers.dates import get_http_modified_time
from .http.headers.digest_fields import announced_digests
from .http.headers.ranges import Segment, wanted_by_query
from .http.headers.request_head import file_id_of
from .http.options import HttpOptions
from .http.properties import (
    LONGEST_QUERY,
    file_properties_answer,
    infinite_depth_answer,
    is_infinite,
    root_properties_answer,
)
from .http.request_body import RequestBody, path_in
from .http.sendfile import PRESIGNED
from .http.storing import kept_to_permissions, require_known
from .limits.counted import CountedFile
from .limits.service import LimitService
from .recalls.service import RecallService
from .web.auditing import begin, tell
from .web.limits import principal_name
from .web.principals import principal, require, require_one
from .web.writing import error_page_default, error_response, write

_SEEING = (Permission.READ, Permission.STAT)
_ROOT_METHODS = {"documented": "GET, HEAD, OPTIONS", "standard": "GET, HEAD, OPTIONS, PROPFIND"}


class ArchiveInterfaceGenerator:
    """The archive as a CherryPy resource for the MethodDispatcher."""

    exposed = True

    def __init__(
        self,
        archive: AbstractBackendArchive,
        options: HttpOptions | None = None,
        recalls: RecallService | None = None,
        limits: LimitService | None = None,
    ) -> None:
        """Serve the files of *archive*, which all threads share; without *options*, the defaults hold.

        *recalls* has files recalled from tape; without it, the storage is asked for each file at once. *limits* has the
        quotas of what is stored.
        """
        self._archive = archive
        self._quotas = limits if limits and limits.has_quotas else None
        self._recall = recalls.ask if recalls else lambda file_id: archive.file(file_id).stage()
        self._options = options or HttpOptions()
        if self._options.head == "standard":
            # Of this object alone: dispatchers take the methods of a resource from its attributes.
            self.PROPFIND = self._tell_properties
        # For other applications than ours: the handlers read the body, and errors have our form.
        self._cp_config = {
            "request.process_request_body": False,
            "request.error_response": error_response,
            "request.show_tracebacks": self._options.show_tracebacks,
            "error_page.default": error_page_default,
        }

    def GET(self, /, *_path: str, byte_range: Any = None, **_query: Any) -> Any:
        """Answer with the bytes of the file, or some of them: 200, 206, 304."""
        file_id = _allowed_file_id(Permission.READ)
        return write(self._read(file_id, byte_range) if file_id else root_answer())

    def HEAD(self, /, *_path: str, **_query: Any) -> Any:
        """Answer with what is known of the file, in headers: 204, or 200 with ``[http] head = standard``."""
        file_id = _allowed_file_id(*_SEEING)
        return write(self._look_up(file_id) if file_id else root_answer())

    def PUT(self, /, *_path: str, **_query: Any) -> Any:
        """Store the body as the file, replacing what was there: 201."""
        self._archive.archive_options.require_writable()
        file_id, request_headers = self._required_file_id(), _request_headers()
        with kept_to_permissions(principal(), Permission.WRITE, file_id, _precondition()) as precondition:
            status = self._store(file_id, request_headers, precondition)
        tell(stored(file_id, status))
        return write(stored_answer(request_headers, status))

    def POST(self, /, *_path: str, **_query: Any) -> Any:
        """Stage the file: 200 when it is on disk, 202 while it is being recalled."""
        file_id = self._required_file_id(Permission.STAGE)
        begin("POST", file_id)
        is_online = self._recall(file_id)
        return write(staged_answer(file_id) if is_online else recalling_answer(file_id))

    def PATCH(self, /, *_path: str, **_query: Any) -> Any:
        """Move the file that the JSON body names, ``{"path": ...}``, to this id: 200."""
        self._archive.archive_options.require_writable()
        file_id, body = self._required_file_id(Permission.MOVE), _required_body()
        old_path = path_in(body, _request_headers())
        self._require_movable(old_path)
        with kept_to_permissions(principal(), Permission.MOVE, file_id, _precondition()) as precondition:
            begin("PATCH", file_id, {"from": old_path})
            replaced = self._changed(file_id).move_in(old_path, precondition)
        tell(moved(file_id, old_path, replaced))
        return write(json_answer({"message": "File Moved Successfully"}))

    def DELETE(self, /, *_path: str, **_query: Any) -> Any:
        """Remove the file: 200."""
        self._archive.archive_options.require_deletable()
        file_id = self._required_file_id(Permission.DELETE)
        precondition = _precondition()
        require_known(principal(), file_id, precondition)
        begin("DELETE", file_id)
        tell(deleted(file_id, self._changed(file_id).remove(precondition)))
        return write(json_answer({"message": "File deleted"}))

    def OPTIONS(self, /, *_path: str, **_query: Any) -> Any:
        """Answer with the methods that the resource knows, in Allow, which the dispatcher has set: 200."""
        return write(Answer("200 OK", {} if _file_id() else {"Allow": _ROOT_METHODS[self._options.head]}))

    def _store(
        self, file_id: str, request_headers: Mapping[str, str], precondition: Precondition | None
    ) -> AbstractStatus:
        body = _required_body()
        if "Content-Range" in request_headers:
            raise RequestError("PUT stores whole files: Content-Range, part of a file, is not supported")
        mod_time, announced = get_http_modified_time(request_headers), announced_digests(request_headers)
        hasher = digests.Hasher({*self._archive.archive_options.digests, *announced})

        def checked() -> digests.Digests:
            computed = hasher.digests()
            digests.check(announced, computed)
            return computed

        begin("PUT", file_id)
        with closing(body.hashed_blocks(hasher)) as blocks:
            return self._changed(file_id).store(
                blocks, mod_time, checked, length=body.length, precondition=precondition
            )

    def _changed(self, file_id: str) -> ArchiveFile | CountedFile:
        """Return the file for a change by the principal that asks."""
        if self._quotas:
            return self._quotas.file(file_id, principal_name(cherrypy.serving.request))
        return self._archive.file(file_id)

    def _read(self, file_id: str, byte_range: object) -> Answer:
        wanted = wanted_by_query(byte_range)
        redirect = None
        if self._options.sendfile == PRESIGNED and not wanted:
            redirect = redirect_answer(_request_headers(), self._archive, self._archive.file(file_id), self._options)
        return redirect or self._send(file_id, wanted)

    def _send(self, file_id: str, wanted: Segment | None) -> Answer:
        file = self._archive.read_or_recall(file_id, lambda: self._recall(file_id))
        try:
            answer = file_answer(_request_headers(), self._archive, file, wanted, self._options)
        except BaseException:
            file.close()
            raise
        if isinstance(answer.body, bytes):
            file.close()
        return answer

    def _look_up(self, file_id: str) -> Answer:
        status, request_headers = self._archive.file(file_id).status(), _request_headers()
        refuse_damaged(status)
        if Conditions(request_headers).not_modified(status):
            return not_modified_answer(status)
        if self._options.head == "standard":
            return standard_status_answer(request_headers, status)
        return status_answer(request_headers, status)

    def _tell_properties(self, /, *_path: str, **_query: Any) -> Any:
        """Answer with the properties of the file or of the root, in XML: 207."""
        file_id, request_headers = _allowed_file_id(*_SEEING), _request_headers()
        _body().read_at_most(LONGEST_QUERY)  # which properties the client wants; it gets all there are
        if is_infinite(request_headers):
            return write(infinite_depth_answer())
        if not file_id:
            return write(root_properties_answer())
        status = self._archive.file(file_id).status()
        refuse_damaged(status)
        return write(file_properties_answer(file_id, status))

    def _required_file_id(self, *permissions: Permission) -> str:
        """Return the id that the request is for, if it may do with the file what the *permissions* are for."""
        file_id = _file_id()
        if not file_id:
            raise MethodError(_ROOT_METHODS[self._options.head])
        for permission in permissions:
            require(permission, file_id)
        return file_id

    def _require_movable(self, old_path: str) -> None:
        """Raise NotAllowedError if *old_path* is in the archive, and its file may not be moved by the principal."""
        if principal() is None:
            return
        path = self._archive.path_below(old_path)
        if path is not None:
            require(Permission.MOVE, self._archive.id_of(path))


def _allowed_file_id(*enough: Permission) -> str:
    """Return the id that the request is for, if one of the permissions is there that are *enough*; empty: the root."""
    file_id = _file_id()
    if file_id:
        require_one(enough, file_id)
    return file_id


def _file_id() -> str:
    return file_id_of(cherrypy.serving.request.wsgi_environ)


def _request_headers() -> Mapping[str, str]:
    # CherryPy's mapping, which tools may have changed. It finds a name in any case; a copy of it would find only
    # names in title case, and not Content-MD5.
    headers: Mapping[str, str] = cherrypy.serving.request.headers
    return headers


def _body() -> RequestBody:
    request = cherrypy.serving.request
    # Only our own application makes it before the handler runs.
    body: RequestBody = getattr(request, "archive_body", None) or RequestBody(request.wsgi_environ)
    return body


def _required_body() -> RequestBody:
    body = _body()
    body.require()
    return body


def _precondition() -> Precondition | None:
    return Conditions(_request_headers()).of_writing
