"""Requests that are made to fail, or whose server is killed, and what must hold afterwards."""

import hashlib
import os
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.forked import forked_launcher
from tests.support.processes import Server
from tests.support.service import TIMEOUT
from tests.support.tracing import Call, traced

OLD = b"old" * 1000
_REFUSE = "overwrite = refuse\n"  # the file gets its name by a link then, not by a rename
NEW = bytes(range(256)) * 5000  # more than a MiB: space is reserved for it, and it is written in several blocks


class Site:
    """An archive with its service, and two directories that files are moved from."""

    def __init__(self, place: Path, far: Path, options: str = "", threads: int = 1, user: str | None = None) -> None:
        """Keep the archive below *place*; *far* is on another file system, *options* are lines for ``[archive]``.

        With one thread, the calls of a request follow each other. The service runs as *user*, who can reach *place*.
        """
        self.prefix, self.near, self.far = place / "archive", place / "uploads", far
        self.user = user
        for directory in (self.prefix, self.near):
            directory.mkdir()
        for directory in (self.prefix, self.near, self.far):
            self.give(directory)
        self._config, self._settings = place / "config.ini", place / "server.conf"
        self._config.write_text(
            f"[posix]\nuse_id2filename = true\n[archive]\nmove_roots = {self.near}:{self.far}\n{options}"
        )
        self._settings.write_text(f"[global]\nserver.thread_pool: {threads}\n")
        self._stack = ExitStack()
        self.server: Server

    def start(self) -> None:
        """Start the service, anew if it has died."""
        self._stack.close()
        options = ("-c", str(self._config), "--cherrypy-config", str(self._settings))
        self.server = self._stack.enter_context(forked_launcher(self.prefix, *options, user=self.user))

    def give(self, path: Path) -> None:
        """Let *path* belong to the user that the service runs as."""
        if self.user:
            shutil.chown(path, self.user)

    def stop(self) -> None:
        """Stop the service."""
        self._stack.close()

    def request(self, method: str, file_id: int, **options: Any) -> requests.Response | None:
        """Send a request and return its answer, None when none came."""
        try:
            return requests.request(method, f"{self.server.url}/{file_id}", timeout=TIMEOUT, **options)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return None

    def put(self, file_id: int, content: bytes) -> None:
        """Store *content*, which has to succeed."""
        answer = self.request("PUT", file_id, data=content)
        assert answer is not None
        assert answer.status_code == 201, answer.text

    def await_descriptors(self, count: int) -> bool:
        """Wait until the service has no more than *count* files open; return whether it came to that."""
        deadline = time.monotonic() + TIMEOUT
        while self.descriptors() > count and time.monotonic() < deadline:
            time.sleep(0.05)  # it closes a connection after the client has seen the answer
        return self.descriptors() <= count

    def descriptors(self) -> int:
        """Return how many files the service has open."""
        return len(os.listdir(f"/proc/{self.server.pid}/fd"))

    def content(self, file_id: int) -> bytes | None:
        """Return what the service serves as *file_id*, None when it has none. Raises ValueError for anything else."""
        answer = self.request("GET", file_id)
        if answer is None or answer.status_code not in (200, 404):
            raise ValueError(f"GET was answered with {answer and answer.text}")
        if answer.status_code == 404:
            return None
        told = answer.headers.get("Repr-Digest")
        if told not in (None, f"sha-256=:{b64encode(hashlib.sha256(answer.content).digest()).decode()}:"):
            raise ValueError(f"GET gave {len(answer.content)} bytes that are not those of {told}")
        return answer.content


@dataclass(frozen=True)
class Ordeal:
    """A request to an id that holds *old* and should hold *new*, None for nothing; a PATCH brings it from *source*.

    *options* are lines for ``[archive]``.
    """

    name: str
    verb: str
    old: bytes | None
    new: bytes | None
    source: str = ""
    options: str = ""

    def __str__(self) -> str:
        return self.name

    def prepare(self, site: Site, file_id: int) -> None:
        """Bring about what is there before the request."""
        if self.old is not None:
            site.put(file_id, self.old)
        elif site.content(file_id) is not None:
            site.request("DELETE", file_id)
        if self.source and self.new is not None:
            source = self._source(site, file_id)
            source.unlink(missing_ok=True)
            source.write_bytes(self.new)
            site.give(source)

    def send(self, site: Site, file_id: int) -> requests.Response | None:
        """Send the request and return its answer, None when none came."""
        if self.verb == "PATCH":
            return site.request("PATCH", file_id, json={"path": str(self._source(site, file_id))})
        return site.request(self.verb, file_id, data=self.new)

    def faults(self, site: Site, file_id: int, answer: requests.Response | None) -> Iterator[str]:
        """Yield what is wrong with what the request has left, given its answer."""
        try:
            found = site.content(file_id)
        except ValueError as error:
            yield str(error)
            return
        waiting = self._waiting(site, file_id)
        if answer is not None and answer.ok:
            if found != self.new:
                yield f"answered with {answer.status_code}, and the id holds {_described(found)}"
            if waiting is not None:
                yield f"answered with {answer.status_code}, and the source is still there"
        elif found not in (self.old, self.new):
            yield f"not acknowledged, and the id holds {_described(found)}"
        elif self.source and waiting != self.new and found != self.new:
            yield f"the file is neither moved nor there: {_described(waiting)}"
        elif answer is not None and self.new is not None and found == self.new and (not self.source or waiting):
            yield f"answered with {answer.status_code}, and the old file is gone"
        yield from left_overs(site)

    def repeat(self, site: Site, file_id: int) -> Iterator[str]:
        """Do it all once more, in peace, and yield what is wrong then."""
        self.prepare(site, file_id)
        answer = self.send(site, file_id)
        if answer is None or not answer.ok:
            yield f"the next request was answered with {answer and answer.text}"
        yield from self.faults(site, file_id, answer)

    def _source(self, site: Site, file_id: int) -> Path:
        return (site.near if self.source == "near" else site.far) / str(file_id)

    def _waiting(self, site: Site, file_id: int) -> bytes | None:
        if not self.source or not self._source(site, file_id).exists():
            return None
        return self._source(site, file_id).read_bytes()


ORDEALS = [
    Ordeal("a new file", "PUT", None, NEW),
    Ordeal("an overwrite", "PUT", OLD, NEW),
    Ordeal("a move", "PATCH", None, NEW, "near"),
    Ordeal("a move over a file", "PATCH", OLD, NEW, "near"),
    Ordeal("a move across file systems", "PATCH", None, NEW, "far"),
    Ordeal("a move across file systems over a file", "PATCH", OLD, NEW, "far"),
    Ordeal("a new file that replaces none", "PUT", None, NEW, options=_REFUSE),
    Ordeal("a move that replaces none", "PATCH", None, NEW, "near", options=_REFUSE),
    Ordeal("a delete", "DELETE", OLD, None),
]


def left_overs(site: Site) -> Iterator[str]:
    """Yield what an unfinished request has left in the archive."""
    for path in site.prefix.rglob("*"):
        if path.is_file() and ".partial" in path.parts:
            yield f"{path} was left"
        elif path.is_file() and path.stat().st_mode & 0o777 != 0o444:
            yield f"{path} has mode {path.stat().st_mode:o}"


def _described(content: bytes | None) -> str:
    return "nothing" if content is None else f"{len(content)} bytes beginning with {content[:8]!r}"


def ids_of(ordeal: Ordeal) -> Iterator[int]:
    """Yield ids whose directories, but the topmost, are all their own, so that each request makes the same calls."""
    # id2filename: 0x1_02_02_10 -> /10/02/02/1020210
    for number in range(256):
        yield 0x1_00_00_00 | number << 16 | number << 8 | 0x10 + ORDEALS.index(ordeal)


@contextmanager
def site_in(place: Path, far: Path, options: str = "", threads: int = 1, user: str | None = None) -> Iterator[Site]:
    """Give a site whose service runs, as *user*."""
    site = Site(place, far, options, threads, user)
    try:
        site.start()
        yield site
    finally:
        site.stop()


def calls_of(ordeal: Ordeal, site: Site, ids: Iterator[int], names: Sequence[str]) -> list[Call]:
    """Return the calls *names* that the ordeal makes in peace, each time again."""
    # The first time makes calls of its own: modules, the topmost directory.
    assert list(ordeal.repeat(site, next(ids))) == []
    file_id = next(ids)
    ordeal.prepare(site, file_id)
    with traced(site.server.pid, names) as trace:
        answer = ordeal.send(site, file_id)
    assert list(ordeal.faults(site, file_id, answer)) == []
    return trace.calls


def error_faults(answer: requests.Response, status: int) -> Iterator[str]:
    """Yield what is wrong with an error answer that should have *status*."""
    if answer.status_code != status:
        yield f"answered with {answer.status_code}: {answer.text}"
    if answer.headers.get("Content-Type") != "application/json":
        yield f"an error of type {answer.headers.get('Content-Type')}"
    elif set(answer.json()) != {"status", "message", "traceback", "version"}:
        yield f"an error of another shape: {answer.text}"
