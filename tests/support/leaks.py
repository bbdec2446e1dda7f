"""What a running service holds, and requests after which it must hold what it held before.

Each ordeal is one verb succeeding, or failing in one way, and leaves the archive with the files that it had.
"""

import json
import os
import re
import socket
import struct
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import md5
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from tests.support.service import TIMEOUT

SETTLE = 20.0  # seconds until what is still held counts as leaked; the service ends broken requests after the client
SETTLE_POOLS = 1.0  # seconds, when a pool of threads or of connections to the database may have grown
PASSES = 5  # no pool grows that often; what leaks does each time
LARGE_SIZE = 8 << 20  # bytes; more than the sockets hold
KEPT, LARGE, TAPE, MISSING, FRESH, MOVED = "12345", "70000", "70001", "404", "77777", "77778"
CONTENT = b"kept"
JSON = {"Content-Type": "application/json"}
NO_HEADERS: Mapping[str, str] = {}
_TO_DATABASE = "connections to the database"
_OF_POOLS = re.compile(rf"of (threads|locks|{_TO_DATABASE}|descriptors of .*/recalls-\w+\.sqlite3[\w-]*)$")
WARM_UP = 3  # rounds in which pools fill and modules are loaded late
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a reset instead of a proper end


Body = bytes | Iterator[bytes]


@dataclass(frozen=True)
class Holdings:
    """What the processes of a service have: numbers by name, and files."""

    numbers: Counter[str]
    files: frozenset[str]

    def beyond(self, before: "Holdings") -> list[str]:
        """Return what was not there *before*, as text."""
        more = [f"{count} more of {name}" for name, count in (self.numbers - before.numbers).items()]
        return [*more, *sorted(self.files - before.files)]


@dataclass
class Target:
    """A service: its address and first process, the directories it may write to, and what is special to it."""

    url: str
    pid: int
    directories: list[Path]
    outside: Path | None = None  # a directory on another file system, named by move_roots
    takes_chunked: bool = True
    has_tape: bool = False  # the file TAPE waits for its recall, and the stager has refused it
    database_port: int | None = None  # of a database server on this machine that the backend asks
    more: Callable[[], dict[str, int]] = dict  # numbers that only the backend tells
    _path_of_fresh: str = field(default="", init=False)

    def holdings(self) -> Holdings:
        """Return what the service has now."""
        numbers = Counter(self.more())
        for pid in _family(self.pid):
            with suppress(FileNotFoundError, ProcessLookupError):
                numbers.update(_numbers_of(pid, self.database_port))
        # Directories that fan files out stay, a bounded number of them.
        files = (str(path) for place in self.directories for path in place.rglob("*") if not path.is_dir())
        return Holdings(numbers, frozenset(files))

    def leaked_since(self, before: Holdings) -> list[str]:
        """Return what the service holds beyond *before*, once it has had the time to end what was broken off."""
        start = time.monotonic()
        while leaked := self.holdings().beyond(before):
            waited = time.monotonic() - start
            if waited > (SETTLE_POOLS if only_pools(leaked) else SETTLE):
                break
            time.sleep(0.01)
        return leaked

    # How requests are made

    def connect(self) -> HTTPConnection:
        """Return a connection of its own."""
        return HTTPConnection(self.url.removeprefix("http://"), timeout=TIMEOUT)

    def ask(
        self, expected: int, verb: str, path: str, body: Body = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        """Send a request, which must be answered with status *expected*."""
        connection = self.connect()
        try:
            connection.request(verb, f"/{path}", body or None, headers, encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == expected, (verb, path, headers, answer.status, content[:300])
        finally:
            connection.close()

    def patch(self, expected: int, file_id: str, path: str) -> None:
        """Send a PATCH that moves *path*."""
        self.ask(expected, "PATCH", file_id, json.dumps({"path": path}).encode(), JSON)

    def path_of_fresh(self) -> str:
        """Return where the file FRESH is on the backend, as HEAD tells."""
        if not self._path_of_fresh:
            connection = self.connect()
            connection.request("HEAD", f"/{FRESH}")
            self._path_of_fresh = connection.getresponse().getheader("X-Pacifica-File") or ""
            connection.close()
        return self._path_of_fresh

    @contextmanager
    def begun(self, head: str, body: bytes = b"") -> Iterator[socket.socket]:
        """Send *head* and what there is of a body, and reset the connection at the end of the block."""
        host, port = self.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            yield connection
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


Ordeal = Callable[[Target], object]


def refusals(verb: str, *cases: tuple[str, int, str, dict[str, str]]) -> dict[str, Ordeal]:
    """Return an ordeal for each case: its name, and status, path and headers of a request without a body."""

    def ordeal(status: int, path: str, headers: dict[str, str]) -> Ordeal:
        return lambda target: target.ask(status, verb, path, headers=headers)

    return {f"{verb} {name}": ordeal(status, path, headers) for name, status, path, headers in cases}


def put_and_delete(target: Target) -> None:
    """Store a file, replace it, and delete it."""
    for body in (b"first", b"second"):
        target.ask(201, "PUT", FRESH, body, {"Content-MD5": b64encode(md5(body).digest()).decode()})
    target.ask(200, "DELETE", FRESH)


def put_chunked(target: Target) -> None:
    """Store a file whose length is not announced, and delete it; some servers refuse it."""
    stored = 201 if target.takes_chunked else 411
    target.ask(stored, "PUT", FRESH, iter([b"one", b"two"]), {"Transfer-Encoding": "chunked"})
    target.ask(200 if target.takes_chunked else 404, "DELETE", FRESH)


def move(target: Target) -> None:
    """Move a file within the prefix, and delete it."""
    target.ask(201, "PUT", FRESH, b"moved")
    target.patch(200, MOVED, target.path_of_fresh())
    target.ask(200, "DELETE", MOVED)


def move_from_outside(target: Target) -> None:
    """Move a file from another file system, and delete it."""
    assert target.outside
    source = target.outside / "upload"
    source.write_bytes(b"from elsewhere")
    target.patch(200, MOVED, str(source))
    target.ask(200, "DELETE", MOVED)


def break_off_download(target: Target) -> None:
    """Read the beginning of a file and reset the connection."""
    with target.begun(f"GET /{LARGE} HTTP/1.1\nHost: a") as connection:
        assert connection.recv(1 << 10).startswith(b"HTTP/1.1 200")


def end_download_early(target: Target) -> None:
    """Read the beginning of a file and close the connection."""
    with target.begun(f"GET /{LARGE} HTTP/1.1\nHost: a") as connection:
        assert connection.recv(1 << 10).startswith(b"HTTP/1.1 200")
        connection.shutdown(socket.SHUT_RDWR)


def break_off_upload(target: Target) -> None:
    """Send half of a body and reset the connection."""
    with target.begun(f"PUT /{FRESH} HTTP/1.1\nHost: a\nContent-Length: 20", b"0123456789"):
        pass


def break_off_chunked_upload(target: Target) -> None:
    """Send half of a chunk and reset the connection."""
    with target.begun(f"PUT /{FRESH} HTTP/1.1\nHost: a\nTransfer-Encoding: chunked", b"14\r\n0123456789"):
        pass


def put_without_length(target: Target) -> None:
    """Send a PUT that announces no body, and read the refusal."""
    with target.begun(f"PUT /{FRESH} HTTP/1.1\nHost: a") as connection:
        assert _status_on(connection) == 411


def send_short_body(target: Target) -> None:
    """Send half of a body, end it, and read the refusal."""
    with target.begun(f"PUT /{FRESH} HTTP/1.1\nHost: a\nContent-Length: 20", b"0123456789") as connection:
        connection.shutdown(socket.SHUT_WR)
        assert _status_on(connection) == 400


def break_off_move(target: Target) -> None:
    """Send half of the JSON of a PATCH and reset the connection."""
    head = f"PATCH /{MOVED} HTTP/1.1\nHost: a\nContent-Type: application/json\nContent-Length: 30"
    with target.begun(head, b'{"path": '):
        pass


def _status_on(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


WRONG_DIGEST = {"Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"}  # that of no bytes

ORDEALS: dict[str, Ordeal] = {
    **refusals(
        "GET",
        ("a file", 200, KEPT, {}),
        ("a range", 206, KEPT, {"Range": "bytes=1-2"}),
        ("two ranges", 206, KEPT, {"Range": "bytes=0-0,2-2"}),
        ("no range", 416, KEPT, {"Range": "bytes=100-"}),
        ("not modified", 304, KEPT, {"If-None-Match": "*"}),
        ("precondition failed", 412, KEPT, {"If-Match": '"other"'}),
        ("missing", 404, MISSING, {}),
        ("bad id", 400, "..%2Fx", {}),
        ("bad byte range", 400, f"{KEPT}?byte_range=9-2", {}),
    ),
    "GET broken off": break_off_download,
    "GET ended early": end_download_early,
    **refusals("HEAD", ("a file", 204, KEPT, {}), ("missing", 404, MISSING, {}), ("bad id", 400, "007", {})),
    **refusals("POST", ("a file", 200, KEPT, {}), ("missing", 404, MISSING, {}), ("bad id", 400, "x", {})),
    **refusals("OPTIONS", ("a file", 200, KEPT, {})),
    **refusals("BREW", ("unknown", 405, KEPT, {})),
    "PUT and DELETE": put_and_delete,
    "PUT chunked": put_chunked,
    "PUT digest mismatch": lambda target: target.ask(400, "PUT", FRESH, b"some", WRONG_DIGEST),
    "PUT bad date": lambda target: target.ask(400, "PUT", FRESH, b"some", {"Last-Modified": "yesterday"}),
    "PUT bad id": lambda target: target.ask(400, "PUT", "x", b"some"),
    "PUT precondition failed": lambda target: target.ask(412, "PUT", KEPT, b"some", {"If-None-Match": "*"}),
    "PUT without a length": put_without_length,
    "PUT short body": send_short_body,
    "PUT broken off": break_off_upload,
    "PUT chunked broken off": break_off_chunked_upload,
    "PATCH": move,
    "PATCH missing source": lambda target: target.patch(404, MOVED, f"{target.path_of_fresh()}0"),
    "PATCH forbidden source": lambda target: target.patch(403, MOVED, "/etc/passwd"),
    "PATCH directory": lambda target: target.patch(400, MOVED, os.path.dirname(target.path_of_fresh())),
    "PATCH bad JSON": lambda target: target.ask(400, "PATCH", MOVED, b"{", JSON),
    "PATCH no JSON": lambda target: target.ask(415, "PATCH", MOVED, b"{}", {"Content-Type": "text/plain"}),
    "PATCH broken off": break_off_move,
    **refusals(
        "DELETE",
        ("missing", 404, MISSING, {}),
        ("bad id", 400, "x", {}),
        ("precondition failed", 412, KEPT, {"If-Match": '"other"'}),
    ),
}
FROM_OUTSIDE: dict[str, Ordeal] = {"PATCH across file systems": move_from_outside}
OF_TAPE = {
    **refusals("GET", ("on tape", 503, TAPE, {})),
    **refusals("POST", ("on tape", 202, TAPE, {})),
    **refusals("HEAD", ("on tape", 204, TAPE, {})),
}
OF_REFUSAL: dict[str, Ordeal] = {
    "PUT other bytes": lambda target: target.ask(409, "PUT", KEPT, b"other"),
    "PUT same bytes": lambda target: target.ask(201, "PUT", KEPT, CONTENT),
}


def ordeals_of(target: Target) -> dict[str, Ordeal]:
    """Return the ordeals that *target* can go through."""
    return {**ORDEALS, **(FROM_OUTSIDE if target.outside else {}), **(OF_TAPE if target.has_tape else {})}


def fill(target: Target) -> None:
    """Store the files that stay."""
    target.ask(201, "PUT", KEPT, CONTENT)
    target.ask(201, "PUT", LARGE, bytes(LARGE_SIZE))


def leaks(target: Target, ordeals: dict[str, Ordeal], rounds: int) -> dict[str, list[str]]:
    """Return what each of *ordeals* has left behind, gone through *rounds* times."""
    for _ in range(WARM_UP):
        for ordeal in ordeals.values():
            ordeal(target)
    found = {name: leaks_of(target, ordeal, rounds) for name, ordeal in ordeals.items()}
    return {name: leaked for name, leaked in found.items() if leaked}


def leaks_of(target: Target, ordeal: Ordeal, rounds: int) -> list[str]:
    """Return what *ordeal* has left behind, gone through *rounds* times; again when only pools may have grown."""
    leaked: list[str] = []
    for _ in range(PASSES):
        before = target.holdings()
        for _ in range(rounds):
            ordeal(target)
        leaked = target.leaked_since(before)
        if not leaked or not only_pools(leaked):
            break
    return leaked


def only_pools(leaked: list[str]) -> bool:
    """Return whether nothing is more than before but threads, and what connections to databases have.

    A recaller opens one more to that of recalls when it renews its lease while it waits for the storage, and the
    backend one more to its own when the recaller looks at a recall while a client asks for a file.
    """
    return all(_OF_POOLS.search(what) for what in leaked)


def _family(pid: int) -> list[int]:
    """Return *pid* and the processes that descend from it, those included that nobody has waited for."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _numbers_of(pid: int, database_port: int | None) -> Counter[str]:
    process = Path("/proc", str(pid))
    numbers = Counter({"processes": 1, "threads": len(os.listdir(process / "task"))})
    for descriptor in os.listdir(process / "fd"):
        with suppress(FileNotFoundError):
            name = os.readlink(process / "fd" / descriptor)
            is_to_database = name.startswith("socket:") and database_port in _remote_ports(name)
            numbers[_TO_DATABASE if is_to_database else f"descriptors of {name.split(':')[0]}"] += 1
            numbers["locks"] += (process / "fdinfo" / descriptor).read_text().count("lock:")
    return numbers


def _remote_ports(socket_name: str) -> list[int]:
    """Return the port that a socket, named as in /proc/PID/fd, is connected to over IPv4, if any."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[2].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" == socket_name]
