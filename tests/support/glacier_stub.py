"""Archive classes before a real store: a server that passes requests on, and restores objects as the test says.

SeaweedFS keeps the objects, checks conditions and signatures; this server remembers which objects are offline, being
restored or restored, refuses to read the first two, and answers RestoreObject in the dialect of one store or another.
"""

import functools
import http.client
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.seaweedfs import SeaweedFS, shared_store

DAY = 86400.0
ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE", "CLOUDTIER")
_NOT_PASSED_ON = {"connection", "expect", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_KEY = re.compile("<Key>(.*?)</Key>")


class Dialect(NamedTuple):
    """How a store speaks of restores; the defaults are those of AWS.

    *first*, *running*, *active*: status and code of the answer to RestoreObject of an offline object, of one that is
    being restored, and of one in no archive class. *idle*: x-amz-restore of an offline object. *has_size*: whether
    HEAD tells the size of an archived object. *is_listed*: whether lists have RestoreStatus.
    """

    first: int = 202
    running: tuple[int, str] = (409, "RestoreAlreadyInProgress")
    active: tuple[int, str] = (403, "InvalidObjectState")
    idle: str | None = None
    has_size: bool = True
    is_listed: bool = True


AWS = Dialect()
RGW = Dialect(has_size=False, is_listed=False)
VERSITYGW = Dialect(200, (200, ""), (200, ""), idle="", is_listed=False)
MINIO = Dialect(200, (200, ""), is_listed=False)


@dataclass
class Archived:
    """An object in an archive class: offline, being restored, or restored *until* then (None: for good)."""

    storage_class: str
    archive_status: str = ""
    state: str = "idle"  # running, restored
    days: int | None = None
    until: float | None = None

    def header(self, idle: str | None) -> str | None:
        """Return x-amz-restore, None for none."""
        if self.state == "running":
            return 'ongoing-request="true"'
        if self.state == "idle":
            return idle
        end = "" if self.until is None else f', expiry-date="{formatdate(self.until, usegmt=True)}"'
        return f'ongoing-request="false"{end}'

    def status(self) -> str:
        """Return RestoreStatus of a list."""
        if self.state == "idle":
            return ""
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.until))
        inside = f"<RestoreExpiryDate>{end}</RestoreExpiryDate>" if self.state == "restored" else ""
        running = str(self.state == "running").lower()
        return f"<RestoreStatus><IsRestoreInProgress>{running}</IsRestoreInProgress>{inside}</RestoreStatus>"


@dataclass
class GlacierStub:
    """The server before *store*; *objects* are those in archive classes, by ``/bucket/key``.

    *calls* counts the requests by their kind, *restores* are those that began one, with their days and tiers.
    *faults* are statuses and codes of the next answers to RestoreObject. *refuses_states*: lists with the state of
    restores are refused. *passed* seconds are added to its clock.
    """

    store: SeaweedFS
    dialect: Dialect = AWS
    passed: float = 0.0
    refuses_states: bool = False
    objects: dict[str, Archived] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    restores: list[tuple[str, int | None, str]] = field(default_factory=list)
    faults: deque[tuple[int, str]] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)
    endpoint: str = ""

    def start(self) -> None:
        """Listen on a free port of the loopback address, until the process ends."""
        handler = type("Handler", (_Handler,), {"stub": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def reset(self, dialect: Dialect = AWS) -> None:
        """Forget all objects and counts."""
        self.dialect, self.passed, self.refuses_states = dialect, 0.0, False
        for each in (self.objects, self.broken, self.calls, self.restores, self.faults):
            each.clear()

    def write_credentials(self) -> Path:
        """Write the keys of the store as boto3 reads them, and return the path."""
        return self.store.write_credentials()

    def now(self) -> float:
        """Return the time of this server's clock."""
        return time.time() + self.passed

    def archive(self, path: str, storage_class: str = "GLACIER", archive_status: str = "") -> None:
        """Move the object ``bucket/key`` to an archive class, or to an archive tier of Intelligent-Tiering."""
        self.objects[f"/{path}"] = Archived(storage_class, archive_status)

    def finish(self) -> None:
        """End all restores: each gives a copy, until midnight after its days, or fails."""
        with self.lock:
            for path, each in list(self.objects.items()):
                if each.state == "running":
                    self.objects[path] = replace(each, state="idle") if path in self.broken else self._restored(each)
            self.objects = {path: each for path, each in self.objects.items() if each.storage_class}

    def _restored(self, each: Archived) -> Archived:
        if each.archive_status:
            return Archived("")  # it is back in a tier that can be read
        return replace(each, state="restored", until=None if each.days is None else self.end_of(each.days))

    def end_of(self, days: int) -> float:
        """Return the midnight after so many *days*."""
        return ((self.now() + days * DAY) // DAY + 1) * DAY

    def state_of(self, path: str) -> Archived | None:
        """Return what is archived at *path*; a copy that has expired is gone."""
        each = self.objects.get(path)
        if each and each.state == "restored" and each.until is not None and each.until <= self.now():
            each.state = "idle"
        return each

    def restore(self, path: str, days: int | None, tier: str) -> tuple[int, str]:
        """Return status and code of the answer to RestoreObject."""
        each = self.state_of(path)
        if self.faults:
            return self.faults.popleft()
        if each is None:
            return self.dialect.active
        if each.state == "running":
            return self.dialect.running
        if each.archive_status and days is not None:
            return 400, "MalformedXML"
        self.restores.append((path, days, tier))
        if each.state == "restored":
            each.until = None if days is None else self.end_of(days)
            return 200, ""
        self.objects[path] = replace(each, state="running", days=days)
        return self.dialect.first, ""


@functools.cache
def shared_stub() -> GlacierStub:
    """Return the server that the tests of this process share, before the store that they share."""
    stub = GlacierStub(shared_store())
    stub.start()
    return stub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: GlacierStub
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPConnection(self.stub.store.endpoint.removeprefix("http://"))

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def do_HEAD(self) -> None:
        self._count("HEAD")
        status, headers, _ = self._pass_on()
        each = self.stub.state_of(self._path)
        if each and status == 200:
            headers |= self._headers_of(each)
            if each.state != "restored" and not self.stub.dialect.has_size:
                headers["content-length"] = "0"
        self._answer(status, headers)

    def do_GET(self) -> None:
        if "list-type" in self._query:
            self._count("LIST")
            self._list()
            return
        self._count("GET")
        each = self.stub.state_of(self._path)
        if each and each.state != "restored":
            self._refuse(403, "InvalidObjectState")
            return
        status, headers, body = self._pass_on()
        self._answer(status, {**headers, **(self._headers_of(each) if each else {})}, body)

    def do_PUT(self) -> None:
        self._count("PUT")
        source = unquote(self.headers.get("x-amz-copy-source", ""))
        offline = self.stub.state_of(source if source.startswith("/") else f"/{source}") if source else None
        if offline and offline.state != "restored":
            self._refuse(403, "ObjectNotInActiveTierError")
            return
        status, headers, body = self._pass_on()
        if status == 200 and "uploadId" not in self._query:
            self._stored(self.headers.get("x-amz-storage-class", ""))
        self._answer(status, headers, body)

    def do_POST(self) -> None:
        if "restore" in self._query:
            self._count("RESTORE")
            self._restore()
            return
        self._count("POST")
        status, headers, body = self._pass_on()
        if status == 200 and "uploads" in self._query:
            self.stub.objects[f"upload of {self._path}"] = Archived(self.headers.get("x-amz-storage-class", ""))
        elif status == 200 and "uploadId" in self._query:
            self._stored(self.stub.objects.pop(f"upload of {self._path}", Archived("")).storage_class)
        self._answer(status, headers, body)

    def do_DELETE(self) -> None:
        self._count("DELETE")
        status, headers, body = self._pass_on()
        if status == 204 and "uploadId" not in self._query:
            self._stored("")
        self._answer(status, headers, body)

    def _stored(self, storage_class: str) -> None:
        self.stub.objects.pop(self._path, None)
        if storage_class in ARCHIVE_CLASSES:
            self.stub.objects[self._path] = Archived(storage_class)

    def _restore(self) -> None:
        content = self._body().decode()
        days, tier = re.search("<Days>(.*?)</Days>", content), re.search("<Tier>(.*?)</Tier>", content)
        with self.stub.lock:
            said = int(days[1]) if days else None, tier[1] if tier else ""
            status, code = self.stub.restore(self._path, *said)
        if status >= 300:
            self._refuse(status, code)
        else:
            self._answer(status, {})

    def _list(self) -> None:
        is_asked = "RestoreStatus" in self.headers.get("x-amz-optional-object-attributes", "")
        if is_asked and self.stub.refuses_states:
            self._refuse(400, "InvalidArgument")
            return
        status, headers, body = self._pass_on()
        change = functools.partial(self._entry, is_asked and self.stub.dialect.is_listed)
        self._answer(status, headers, re.sub("<Contents>.*?</Contents>", change, body.decode()).encode())

    def _entry(self, is_listed: bool, match: re.Match[str]) -> str:
        entry, key = match[0], _KEY.search(match[0])
        each = self.stub.state_of(f"{self._path.rstrip('/')}/{unquote(key[1])}") if key else None
        if not each:
            return entry
        entry = re.sub("<StorageClass>.*?<", f"<StorageClass>{each.storage_class}<", entry)
        if not self.stub.dialect.has_size:
            entry = re.sub("<Size>.*?<", "<Size>0<", entry)
        return entry.replace("</Contents>", f"{each.status() if is_listed else ''}</Contents>")

    def _headers_of(self, each: Archived) -> dict[str, str]:
        said = {
            "x-amz-storage-class": each.storage_class,
            "x-amz-archive-status": each.archive_status or None,
            "x-amz-restore": each.header(self.stub.dialect.idle),
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def _path(self) -> str:
        return unquote(urlsplit(self.path).path)

    @property
    def _query(self) -> Mapping[str, Any]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _count(self, kind: str) -> None:
        with self.stub.lock:
            self.stub.calls[kind] += 1

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _pass_on(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of what the store answers."""
        body = self._body()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        headers["Content-Length"] = str(len(body))
        self._upstream.request(self.command, self.path, body, headers)
        answer = self._upstream.getresponse()
        content = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        length = {"content-length": found["content-length"]} if self.command == "HEAD" else {}
        return answer.status, {**{n: v for n, v in found.items() if n not in _NOT_PASSED_ON}, **length}, content

    def _refuse(self, status: int, code: str) -> None:
        error = f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>"
        self._answer(status, {"content-type": "application/xml"}, error.encode())

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.send_header("Date", formatdate(self.stub.now(), usegmt=True))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *details: Any) -> None:
        """Say nothing."""
