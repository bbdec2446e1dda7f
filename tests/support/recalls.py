"""A recall service at work, and ways to speak to the tape API that stands on it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from pacifica.archiveinterface.tape.options import TapeOptions
from pacifica.archiveinterface.web.settings import Settings
from tests.support.service import TIMEOUT, Client, serving

ENDED = {"COMPLETED", "FAILED", "CANCELLED"}
DISCOVERY = "/.well-known/wlcg-tape-rest-api"
UNKNOWN = "00000000-0000-4000-8000-000000000000"  # the id of no request


def recalls_of(archive: AbstractBackendArchive, directory: Path, **options: Any) -> RecallService:
    """Return the recall service of *archive* with a database below *directory*; no recaller is at work."""
    quick = {"database": f"sqlite:///{directory}/recalls.sqlite3", "quiet_seconds": 0.0, "poll_seconds": 0.05}
    given = RecallOptions(**{**quick, **options})
    return RecallService(archive, Store(f"test:{archive.prefix}", given), given)


@dataclass
class TapeClient:
    """Speaks to the tape API of *service*, as the standard has it."""

    service: Client

    def ask(self, method: str, path: str, content: Any = None, **options: Any) -> requests.Response:
        """Send a request for *path* below the API; *content* is its JSON."""
        return self.service.request(method, f"/api/v1{path}", json=content, **options)

    def stage(self, *paths: str, **fields: Any) -> str:
        """Return the id of a new request for *paths*, each with the same *fields*."""
        answer = self.ask("POST", "/stage", {"files": [{"path": path, **fields} for path in paths]})
        assert answer.status_code == 201, answer.text
        request: str = answer.json()["requestId"]
        return request

    def poll(self, request: str) -> dict[str, Any]:
        """Return the answer to a poll."""
        answer = self.ask("GET", f"/stage/{request}")
        assert answer.status_code == 200, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def files(self, request: str) -> dict[str, dict[str, Any]]:
        """Return the files of the *request* by their paths, each of which has to be there once."""
        files = self.poll(request)["files"]
        found = {file["path"]: file for file in files}
        assert len(found) == len(files)
        return found

    def states(self, request: str) -> dict[str, str]:
        """Return how far the files of the *request* are, by their paths."""
        return {path: file["state"] for path, file in self.files(request).items()}

    def ended(self, request: str) -> dict[str, dict[str, Any]]:
        """Return the files of the *request* when all of them have ended."""
        deadline = time.monotonic() + TIMEOUT
        while not ENDED.issuperset(self.states(request).values()):
            assert time.monotonic() < deadline, self.poll(request)
            time.sleep(0.02)
        return self.files(request)

    def archiveinfo(self, *paths: str) -> list[dict[str, str]]:
        """Return what is told of *paths*."""
        answer = self.ask("POST", "/archiveinfo", {"paths": paths})
        assert answer.status_code == 200, answer.text
        content: list[dict[str, str]] = answer.json()
        return content

    def call(self, path: str, paths: Sequence[str]) -> int:
        """Return the status of the answer to a request that names *paths*."""
        answer = self.ask("POST", path, {"paths": paths})
        assert answer.status_code >= 400 or not answer.content
        return answer.status_code


@contextmanager
def tape_service(
    archive: AbstractBackendArchive,
    directory: Path,
    tape: TapeOptions | None = None,
    *,
    settings: Settings | None = None,
    **options: Any,
) -> Iterator[TapeClient]:
    """Serve *archive* with the tape API, its database below *directory*, and a recaller."""
    recalls = recalls_of(archive, directory, **options)
    with recalls.at_work(), serving(archive, settings, recalls=recalls, tape=tape) as service:
        yield TapeClient(service)


def detail_of(answer: requests.Response, status: int = 400) -> str:
    """Return the detail of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail
