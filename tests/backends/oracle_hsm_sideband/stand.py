"""A service on an emulated SAM-QFS host, and what a test does to it."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.id2filename import id2filename
from tests.samqfs_emulator.host import SCHEMA, HsmHost
from tests.support.service import Client, serving

CONTENT = b"eighteen bytes ..."
FILE = "12345"


@dataclass(frozen=True)
class Answer:
    """What HEAD said of a file."""

    code: int
    media: str
    levels: tuple[int, ...]

    @classmethod
    def of(cls, response: requests.Response) -> "Answer":
        """Take it from *response*."""
        levels = response.headers["X-Pacifica-Bytes-Per-Level"]
        found = response.status_code == 204
        return cls(
            response.status_code,
            response.headers["X-Pacifica-File-Storage-Media"],
            tuple(ast.literal_eval(levels)) if found else (),
        )


class Stand:
    """A service below the prefix *below* of the mount of *host*."""

    def __init__(self, host: HsmHost, service: Client, below: str = "") -> None:
        self.host = host
        self.service = service
        self.prefix = host.filesystem.mount / below if below else host.filesystem.mount

    def path(self, file_id: str = FILE) -> Path:
        """Return where the file is."""
        return self.prefix / id2filename(int(file_id))[1:]

    def put(self, file_id: str = FILE, content: bytes = CONTENT) -> None:
        """Store a file, with a time in the past as Pacifica does."""
        stored = self.service.request(
            "PUT", f"/{file_id}", data=content, headers={"Last-Modified": "Tue, 13 Sep 2016 22:34:19 GMT"}
        )
        assert stored.status_code == 201, stored.text

    def archive(self, file_id: str = FILE, **how: Any) -> None:
        """Store a file unless it is there, make a copy of it and let the updater do its work."""
        if not self.path(file_id).exists():
            self.put(file_id)
        self.host.filesystem.archive(self.path(file_id), **how)
        self.host.updater.run_once()

    def tape(self, file_id: str = FILE) -> None:
        """Have a file on tape only, and the updater know."""
        self.archive(file_id)
        assert self.host.filesystem.release(self.path(file_id))
        self.host.updater.run_once()

    def head(self, file_id: str = FILE) -> Answer:
        """Return what HEAD answers."""
        return Answer.of(self.service.request("HEAD", f"/{file_id}"))

    def is_recalled(self, file_id: str = FILE) -> bool:
        """Return whether HEAD says that a recall is under way."""
        return "X-Pacifica-Recall" in self.service.request("HEAD", f"/{file_id}").headers

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Change the sideband database directly."""
        return self.host.server.execute(*statements, database=SCHEMA)


@contextmanager
def standing(host: HsmHost, below: str = "", archive: ArchiveOptions | None = None, **options: Any) -> Iterator[Stand]:
    """Serve the files of *host* with some *options* of the backend changed, until the block is left."""
    prefix = host.filesystem.mount / below if below else host.filesystem.mount
    prefix.mkdir(parents=True, exist_ok=True)
    own = host.options(**{"sam_qfs_prefix": f"/{below}", **options})
    with serving(HsmSidebandBackendArchive(str(prefix), archive, own)) as service:
        yield Stand(host, service, below)
