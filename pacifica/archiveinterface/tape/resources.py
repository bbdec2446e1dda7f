"""The tape API as CherryPy resources, one for each path."""

import threading
import time
from collections.abc import Callable
from typing import Any

import cherrypy

from ..auth.permissions import Permission, Principal
from ..backends.abstract.archive import AbstractBackendArchive
from ..http.answers import Answer
from ..http.request_body import RequestBody, parse_json, read_json
from ..recalls.progress import RequestProgress
from ..recalls.requests import Wish
from ..recalls.service import RecallService
from ..web.auditing import begin_for_files, note
from ..web.principals import principal
from ..web.writing import write
from .answers import DONE, accepted_answer, discovery_answer, localities_answer, progress_answer
from .bodies import Bodies
from .options import TapeOptions
from .permissions import require_all, require_some, require_whole, visible, with_refusals
from .times import moment_of

_LOCATING = (Permission.POLL, Permission.READ, Permission.STAGE)
_ROOM = 1 << 16  # bytes of a body, whatever it names
_ROOM_FOR_EACH = 1 << 10  # bytes for each file of a request


def tape_pages(archive: AbstractBackendArchive, recalls: RecallService, options: TapeOptions) -> dict[str, object]:
    """Return the resources of the tape API for *archive*, by their paths."""
    tape = _TapeApi(archive, recalls, options)
    return {
        "/.well-known/wlcg-tape-rest-api": Discovery(tape),
        "/api/v1/stage": Stage(tape),
        "/api/v1/stage/*": StageRequest(tape),
        "/api/v1/stage/*/cancel": Cancel(tape),
        "/api/v1/release/*": Release(tape),
        "/api/v1/archiveinfo": ArchiveInfo(tape),
    }


class _TapeApi:
    """What the resources share."""

    def __init__(self, archive: AbstractBackendArchive, recalls: RecallService, options: TapeOptions) -> None:
        self.recalls, self.options = recalls, options
        self.bodies = Bodies(archive.path_of, options, recalls.options.most_files)
        self._longest = _ROOM + _ROOM_FOR_EACH * recalls.options.most_files
        # Parsed JSON may need twenty times the memory of its text.
        self._parsing = threading.Lock()

    def uri(self) -> str:
        """Return the URL of the API as the client sees it."""
        request = cherrypy.serving.request
        return f"{self.options.public_url or request.base + request.script_name}/api/v1"

    def wishes(self, read: Callable[[object], list[Wish]]) -> list[Wish]:
        """Return what *read* makes of the JSON in the body of the request."""
        request = cherrypy.serving.request
        body: RequestBody = request.archive_body
        body.require()
        text = read_json(body, request.headers, self._longest)
        with self._parsing:
            return read(parse_json(text))


class _Resource:
    """A path of the API."""

    def __init__(self, tape: _TapeApi) -> None:
        self._tape, self._recalls = tape, tape.recalls

    def OPTIONS(self, /, *_path: str, **_query: Any) -> Any:
        """Answer with the methods that the resource knows, in Allow, which the router has set: 200."""
        return write(Answer("200 OK", {}))


class Discovery(_Resource):
    """Where the API is."""

    def GET(self, /, **_query: Any) -> Any:
        """Answer with the URL of the API and its limits: 200."""
        return write(discovery_answer(self._tape.uri(), self._tape.options.sitename, self._recalls.options))

    HEAD = GET


class Stage(_Resource):
    """Bulk requests."""

    def POST(self, /, **_query: Any) -> Any:
        """Have the files recalled that the body names: 201, with the id of the request."""
        wishes = with_refusals(self._tape.wishes(self._tape.bodies.files), principal(), Permission.STAGE)
        begin_for_files("tape submit", _ids(wishes))
        request = self._recalls.submit(wishes)
        note(request=request)
        return write(accepted_answer(self._tape.uri(), request))


class StageRequest(_Resource):
    """A bulk request."""

    def GET(self, request: str, /, since: Any = "0", **_query: Any) -> Any:
        """Answer with how far its files are, those that changed since then: 200."""
        asked_at = time.time()
        progress, asker = self._recalls.progress(request, moment_of(since)), principal()
        if asker is not None:
            progress = self._visible(progress, asker)
        return write(progress_answer(progress, asked_at))

    HEAD = GET

    def DELETE(self, request: str, /, **_query: Any) -> Any:
        """Cancel it and forget it: 200."""
        asker = principal()
        if asker is not None:
            require_whole(self._recalls.progress(request), asker, self._tape.bodies.id_of)
        begin_for_files("tape delete", (), request)
        self._recalls.delete(request)
        return write(DONE)

    def _visible(self, progress: RequestProgress, asker: Principal) -> RequestProgress:
        id_of = self._tape.bodies.id_of
        seen = visible(progress, asker, id_of)
        if not seen.files:  # perhaps none of those that the asker may see has changed
            require_some(self._recalls.progress(progress.id), asker, id_of)
        return seen


class Cancel(_Resource):
    """The end of recalls that nobody wants any more."""

    def POST(self, request: str, /, **_query: Any) -> Any:
        """Cancel the files of the request that the body names, all or none: 200."""
        wishes = require_all(self._tape.wishes(self._tape.bodies.paths), principal())
        begin_for_files("tape cancel", _ids(wishes), request)
        self._recalls.cancel(request, wishes)
        return write(DONE)


class Release(_Resource):
    """The end of pins."""

    def POST(self, request: str, /, **_query: Any) -> Any:
        """Unpin the files that the body names; neither they nor the request need exist: 200."""
        wishes = require_all(self._tape.wishes(self._tape.bodies.paths), principal())
        begin_for_files("tape release", _ids(wishes), request)
        self._recalls.release(request, wishes)
        return write(DONE)


class ArchiveInfo(_Resource):
    """Where files are."""

    def POST(self, /, **_query: Any) -> Any:
        """Answer with the locality of each file that the body names, of some if there are too many: 200."""
        wishes = with_refusals(self._tape.wishes(self._tape.bodies.some_paths), principal(), *_LOCATING)
        file_ids = {wish.file_id for wish in wishes if wish.file_id is not None}
        return write(localities_answer(wishes, self._recalls.residencies(file_ids)))


def _ids(wishes: list[Wish]) -> list[str]:
    return [wish.file_id for wish in wishes if wish.file_id is not None]
