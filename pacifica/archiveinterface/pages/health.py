"""The pages ``/-/health``, ``/-/ready`` and ``/-/version``: whether the process lives, and whether it can serve."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import cherrypy

from ..audit.log import AuditLog
from ..backends.abstract.archive import AbstractBackendArchive
from ..exception import ArchiveInterfaceError
from ..globals import VERSION
from ..http.answers import Answer, json_answer
from ..http.errors import error_content
from ..http.server_calls import PAUSE
from ..limits.service import LimitService
from ..recalls.service import RecallService
from ..web.writing import write
from .questions import Question, answers

_UNAVAILABLE = "503 Service Unavailable"


class Checks:
    """Finds out whether the service can serve."""

    def __init__(
        self,
        archive: AbstractBackendArchive,
        recalls: RecallService | None,
        limits: LimitService | None,
        audit: AuditLog | None,
        drain_file: str,
    ) -> None:
        """Check *archive*, the databases of *recalls* and *limits*, and *audit*; look for *drain_file* unless empty."""
        asked: dict[str, Callable[[], object]] = {**archive.checks()}
        if recalls and archive.has_tape:  # without tape, only requests to the tape API need the database
            asked["database"] = recalls.require_database
        if limits:
            asked["limits"] = limits.require_database
        if audit:
            asked["audit"] = audit.require_room
        self._questions = {name: Question(ask) for name, ask in asked.items()}
        self._drain_file = drain_file

    def results(self) -> dict[str, str]:
        """Return what each check says is wrong, empty for nothing."""
        said = dict(zip(self._questions, answers(self._questions.values()), strict=True))
        wrong = {
            name: str(answer) if isinstance(answer, ArchiveInterfaceError) else "" for name, answer in said.items()
        }
        return {**wrong, "draining": "the service is being stopped" if self._is_draining() else ""}

    def _is_draining(self) -> bool:
        if self._drain_file and os.path.exists(self._drain_file):
            return True
        goes_on = cherrypy.serving.request.wsgi_environ.get(PAUSE)
        return goes_on is not None and not goes_on(0)


def health_pages(archive: AbstractBackendArchive, checks: Checks) -> Mapping[str, object]:
    """Return the pages by their paths."""
    version = {"name": "Pacifica Archive Interface", "version": VERSION, "backend": archive.name, "api": "v1"}
    return {"/-/health": _Fixed({"status": "ok"}), "/-/version": _Fixed(version), "/-/ready": _Ready(checks)}


class _Fixed:
    def __init__(self, content: Mapping[str, str]) -> None:
        self._answer = _fresh(content)

    def GET(self, **_query: Any) -> Any:
        """Answer with the same content always: 200."""
        return write(self._answer)

    HEAD = GET


class _Ready:
    def __init__(self, checks: Checks) -> None:
        self._checks = checks

    def GET(self, **_query: Any) -> Any:
        """Answer with what each check says: 200, or 503 when one of them fails."""
        said = self._checks.results()
        checks = {name: {"ok": not text, **({"message": text} if text else {})} for name, text in said.items()}
        wrong = [f"{name}: {text}" for name, text in said.items() if text]
        if not wrong:
            return write(_fresh({"status": "ok", "checks": checks}))
        content = {**error_content(_UNAVAILABLE, "; ".join(wrong)), "checks": checks}
        return write(_fresh(content, _UNAVAILABLE))

    HEAD = GET


def _fresh(content: object, status: str = "200 OK") -> Answer:
    return json_answer(content, status, {"Cache-Control": "no-store"})
