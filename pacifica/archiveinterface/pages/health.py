"""The pages ``/-/health``, ``/-/ready`` and ``/-/version``: whether the process lives, and whether it can serve."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswerError
from typing import Any

import cherrypy

from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ArchiveInterfaceError, BackendUnavailableError
from ..globals import VERSION
from ..http.answers import Answer, json_answer
from ..http.errors import error_content
from ..http.server_calls import PAUSE
from ..recalls.service import RecallService
from ..web.writing import write

_UNAVAILABLE = "503 Service Unavailable"
LONGEST_WAIT = 2.0  # seconds that all checks together may take

Check = Callable[[], object]
"""Raises an ArchiveInterfaceError when something cannot be used."""


def health_pages(
    archive: AbstractBackendArchive, recalls: RecallService | None, drain_file: str
) -> Mapping[str, object]:
    """Return the pages by their paths; *drain_file* is the path of a file, or empty."""
    checks: dict[str, Check] = {**archive.checks()}
    if recalls and archive.has_tape:  # without tape, only requests to the tape API need the database
        checks["database"] = recalls.require_database
    return {
        "/-/health": _Fixed({"status": "ok"}),
        "/-/version": _Fixed(
            {"name": "Pacifica Archive Interface", "version": VERSION, "backend": archive.name, "api": "v1"}
        ),
        "/-/ready": _Ready(checks, drain_file),
    }


class _Fixed:
    def __init__(self, content: Mapping[str, str]) -> None:
        self._answer = _fresh(content)

    def GET(self, **_query: Any) -> Any:
        """Answer with the same content always: 200."""
        return write(self._answer)

    HEAD = GET


class _Ready:
    def __init__(self, checks: Mapping[str, Check], drain_file: str) -> None:
        self._checks = {name: _BoundedCheck(check) for name, check in checks.items()}
        self._drain_file = drain_file

    def GET(self, **_query: Any) -> Any:
        """Answer with what each check says: 200, or 503 when one of them fails."""
        end = time.monotonic() + LONGEST_WAIT
        begun = {name: check.begin() for name, check in self._checks.items()}
        said = {name: _message_of(check, end) for name, check in begun.items()}
        said["draining"] = "the service is being stopped" if self._is_draining() else ""
        checks = {name: {"ok": not text, **({"message": text} if text else {})} for name, text in said.items()}
        wrong = [f"{name}: {text}" for name, text in said.items() if text]
        if not wrong:
            return write(_fresh({"status": "ok", "checks": checks}))
        content = {**error_content(_UNAVAILABLE, "; ".join(wrong)), "checks": checks}
        return write(_fresh(content, _UNAVAILABLE))

    HEAD = GET

    def _is_draining(self) -> bool:
        if self._drain_file and os.path.exists(self._drain_file):
            return True
        goes_on = cherrypy.serving.request.wsgi_environ.get(PAUSE)
        return goes_on is not None and not goes_on(0)


class _BoundedCheck:
    """A check that runs in a thread of its own; one that hangs is waited for, not begun again."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._running: Future[object] | None = None

    def begin(self) -> "Future[object]":
        """Return the result to come."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                threading.Thread(target=self._run, args=(self._running,), name="check", daemon=True).start()
            return self._running

    def _run(self, result: "Future[object]") -> None:
        try:
            result.set_result(self._check())
        except ArchiveInterfaceError as error:
            result.set_exception(error)
        finally:
            if not result.done():
                result.set_exception(BackendUnavailableError("the check failed, the log tells why"))


def _message_of(check: "Future[object]", end: float) -> str:
    """Return what the *check* says is wrong until *end* of the monotonic clock; empty for nothing."""
    try:
        check.result(max(end - time.monotonic(), 0))
    except NoAnswerError:
        return f"no answer within {LONGEST_WAIT:g} seconds"
    except ArchiveInterfaceError as error:
        return str(error)
    return ""


def _fresh(content: object, status: str = "200 OK") -> Answer:
    return json_answer(content, status, {"Cache-Control": "no-store"})
