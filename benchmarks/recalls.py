"""What many recalls cost the service: ``python -m benchmarks.recalls DIRECTORY``.

Starts the service in a process of its own, on the HPSS simulator and on SQLite, without a recaller, and prints as
JSON lines the median of each figure over all rounds, with the lowest and the highest: ten thousand files in one
request against as many POSTs; a poll of ten thousand files against a bare CherryPy answer of the same bytes; and
what a million files in a thousand requests take.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.recaller.recaller import Recaller
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.backends.hpss.support import NEWEST, archive_on, simulator_of
from tests.support.service import free_port, serving

from .library import Library

TIMEOUT = 600.0  # seconds

_fresh = count(1_000_000)  # ids that no request has named


def serve(place: Path, port: int) -> None:
    """Serve the archive at *place*, made before, until standard input ends."""
    archive = archive_on(simulator_of(NEWEST, place / "archive"), place / "archive")
    options = RecallOptions(database=f"sqlite:///{place / 'recalls.sqlite3'}")
    service = RecallService(archive, Store("benchmark", options), options)
    with serving(archive, {"global": {"server.socket_port": port}}, recalls=service):
        sys.stdin.read()


class Connection:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        """Connect to *port* of this machine."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, TIMEOUT)

    def ask(self, method: str, path: str, content: object = None) -> bytes:
        """Return the body of the answer, which must be a success."""
        body = None if content is None else json.dumps(content)
        headers = {"Content-Type": "application/json"} if body else {"Content-Length": "0"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        read = answer.read()
        assert answer.status in (200, 201, 202), (answer.status, read)
        return read

    def stage(self, ids: Sequence[object]) -> str:
        """Make one request for *ids* and return its id."""
        answer = self.ask("POST", "/api/v1/stage", {"files": [{"path": f"/{file_id}"} for file_id in ids]})
        return str(json.loads(answer)["requestId"])


@contextmanager
def started(*command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of this package until the block is left."""
    program = [sys.executable, "-m", *command]
    with subprocess.Popen(program, stdin=subprocess.PIPE, env={**os.environ, **environment}) as process:
        try:
            yield process
        finally:
            process.terminate()


def connected(port: int) -> Connection:
    """Return a connection to *port*, as soon as something answers there."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            connection = Connection(port)
            connection.ask("GET", "/")
            return connection
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answers at port {port}")


def seconds_of(action: Callable[[], object]) -> float:
    """Return how long it takes to call *action*."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def report(what: str, values: Sequence[float], **more: object) -> None:
    """Print the median of *values*, the lowest and the highest."""
    figures = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    print(json.dumps({"what": what, **{name: round(value, 3) for name, value in figures.items()}, **more}), flush=True)


def bulk(service: Connection, ids: list[str], given: argparse.Namespace) -> None:
    """Compare one request for many files with a POST for each, by the time for each file."""
    ratios = []
    for turn in range(given.rounds):
        some = ids[turn * given.posts : (turn + 1) * given.posts]
        began = time.perf_counter()
        for file_id in some:
            service.ask("POST", f"/{file_id}")
        one_by_one = (time.perf_counter() - began) / given.posts
        many = [next(_fresh) for _ in range(given.files)]
        ratios.append(one_by_one / (seconds_of(partial(service.stage, many)) / given.files))
    report("POST of one file / its share of a request, seconds", ratios, files=given.files)


def poll(service: Connection, given: argparse.Namespace) -> None:
    """Compare a poll of many files with a bare CherryPy answer of the same bytes."""
    path = f"/api/v1/stage/{service.stage([next(_fresh) for _ in range(given.files)])}"
    answer = service.ask("GET", path)
    with floor_of(answer) as floor:
        ratios = []
        for _ in range(given.rounds):
            bare = statistics.median(seconds_of(lambda: floor.ask("GET", "/poll")) for _ in range(20))
            ours = statistics.median(seconds_of(lambda: service.ask("GET", path)) for _ in range(5))
            ratios.append(ours / bare)
        report("poll / bare CherryPy answer of the same bytes, seconds", ratios, files=given.files, bytes=len(answer))


@contextmanager
def floor_of(content: bytes) -> Iterator[Connection]:
    """Serve *content* as /poll with nothing but CherryPy."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "poll").write_bytes(content)
        port = free_port()
        with started("benchmarks.floors", "cherrypy", str(port), FLOOR_FILES=directory):
            yield connected(port)


def million(service: Connection, process: subprocess.Popen[bytes], requests: int) -> None:
    """Queue many requests of a thousand files; print what the first and the last tenth of them take, and memory."""
    tenth = max(1, requests // 10)
    first, request = _queue(service, tenth)
    early = _resident(process.pid)
    for _ in range(8):
        _queue(service, tenth)
    last, request = _queue(service, tenth)
    polls = [seconds_of(lambda: service.ask("GET", f"/api/v1/stage/{request}")) for _ in range(5)]
    report("seconds of a request for 1,000 files, first tenth", first, resident_mebibytes=early)
    report("seconds of a request for 1,000 files, last tenth", last, resident_mebibytes=_resident(process.pid))
    report(f"seconds of a poll of 1,000 of {requests * 1000} files", polls)


def recaller(place: Path, turns: int) -> None:
    """Let a recaller look where the files are that wait, of a million none, and print its memory in between."""
    archive = archive_on(simulator_of(NEWEST, place / "archive"), place / "archive")
    options = RecallOptions(database=f"sqlite:///{place / 'recalls.sqlite3'}")
    working = Recaller(archive, Store("benchmark", options), options)
    times, resident = [], []
    for _ in range(turns):
        times.append(seconds_of(working.turn))
        resident.append(_resident(os.getpid()))
    report("seconds of a turn of the recaller, 500 files", times, resident_mebibytes=[resident[1], resident[-1]])


def _queue(service: Connection, requests: int) -> tuple[list[float], str]:
    times, request = [], ""
    for _ in range(requests):
        began = time.perf_counter()
        request = service.stage([next(_fresh) for _ in range(1000)])
        times.append(time.perf_counter() - began)
    return times, request


def _resident(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line]
    return round(int(line.split()[1]) / 1024, 1)


def main() -> None:
    """Run the benchmark below a directory, or be its server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--posts", type=int, default=1000, help="of one file each, in a round")
    parser.add_argument("--files", type=int, default=10_000, help="of a large request")
    parser.add_argument("--requests", type=int, default=1000, help="of a thousand files each")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.port:
        serve(given.directory, given.port)
        return
    with tempfile.TemporaryDirectory(dir=given.directory) as directory, ExitStack() as stack:
        place, port = Path(directory).resolve(), free_port()
        library = Library(place, given.posts * given.rounds, 20)
        process = stack.enter_context(started("benchmarks.recalls", str(place), "--port", str(port)))
        service = connected(port)
        bulk(service, library.ids, given)
        poll(service, given)
        million(service, process, given.requests)
        recaller(place, min(given.requests, 200))


if __name__ == "__main__":
    main()
