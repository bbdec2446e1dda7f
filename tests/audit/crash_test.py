"""An audit log outlives its writers: wherever one dies or finds no space, the next one goes on, and nothing is lost."""

import errno
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.archiveinterface.audit.log import AuditLog
from pacifica.archiveinterface.audit.options import AuditOptions
from pacifica.archiveinterface.exception import NoSpaceError
from tests.support.audit import NODE, Home, home_in, verify
from tests.support.crashes import die, ends_well, runs_to_the_end, started
from tests.support.forked import forked_launcher
from tests.support.needs import PATH, need
from tests.support.process_tree import descendants
from tests.support.processes import Server, uwsgi
from tests.support.service import TIMEOUT

WRITES = ("write", "pwrite")
CALLS = (*WRITES, "open", "fsync", "fdatasync", "rename")  # with which a log changes


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Where the log is."""
    return home_in(tmp_path)


def write(home: Home, count: int, acknowledged: int = -1, **options: Any) -> None:
    """Write *count* changes, and each number that the log gives to them to the descriptor *acknowledged*."""
    given = {"sync": "all", "rotate_bytes": 900, **options}
    with closing(AuditLog(AuditOptions(str(home.directory), NODE, str(home.key_file), **given))) as log:
        for number in range(count):
            place = log.write({"event": "change", "id": str(number)})
            if acknowledged >= 0:
                os.writev(acknowledged, [b"%d\n" % place])  # no call that may fail here


@contextmanager
def failing_at(
    point: int, fail: Callable[[Callable[[], object]], None], calls: Sequence[str] = CALLS
) -> Iterator[None]:
    """Let the system call with the number *point*, of *calls*, be done by *fail*, which gets what does a part of it."""
    passed = 0

    def wrapped(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def do(first: Any, *rest: Any, **named: Any) -> Any:
            nonlocal passed
            passed += 1
            if passed == point:
                halves = (rest[0][:40], *rest[1:]) if name in WRITES else None
                fail((lambda: call(first, *halves)) if halves else (lambda: None))
            return call(first, *rest, **named)

        return do

    with pytest.MonkeyPatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, wrapped(name))
        yield


def die_halfway(do_half: Callable[[], object]) -> None:
    do_half()
    die(do_half)


def have_no_space(do_half: Callable[[], object]) -> None:
    do_half()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def dying(
    home: Home,
    point: int,
    fail: Callable[[Callable[[], object]], None],
    acknowledged: int,
    calls: Sequence[str] = CALLS,
) -> Callable[[], None]:
    """Return what writes five changes, and dies at the *point*."""

    def act() -> None:
        with failing_at(point, fail, calls):
            write(home, 5, acknowledged)

    return act


def numbers(home: Home) -> list[int]:
    """Return the numbers of the changes in the log."""
    found = []
    for path in home.directory.glob(f"{NODE}.log*"):
        for line in path.read_bytes().splitlines():
            if line.startswith(b'{"seq": ') and line.endswith(b'"}') and b'"event": "change"' in line:
                found.append(int(line[8 : line.index(b",")]))
    return found


@pytest.mark.parametrize(("fail", "calls"), [(die, CALLS), (die_halfway, WRITES)])
def test_wherever_a_writer_dies_the_next_one_goes_on(
    far: Path,
    capsys: pytest.CaptureFixture[str],
    fail: Callable[[Callable[[], object]], None],
    calls: Sequence[str],
) -> None:
    point, ended, sealed = 0, False, 0
    while not ended:
        point += 1
        (far / str(point)).mkdir()
        home = home_in(far / str(point))
        acknowledged = os.open(far / "acknowledged", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        ended = runs_to_the_end(dying(home, point, fail, acknowledged, calls))
        write(home, 1, acknowledged)
        verdict = verify(home, capsys)
        assert verdict.code == 0, (point, verdict.text)
        told = [int(line) for line in (far / "acknowledged").read_text().split()]
        assert Counter(told) - Counter(numbers(home)) == Counter(), point
        assert len(set(numbers(home))) == len(numbers(home)), point
        sealed += "sealed" in [kind for kind, _ in verdict.found]
        os.close(acknowledged)
    assert point > 3 * len(calls)
    assert sealed == (5 if fail is die_halfway else 0)


def test_wherever_the_one_that_seals_dies_another_one_seals(far: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point, ended = 0, False
    while not ended:
        point += 1
        (far / str(point)).mkdir()
        home = home_in(far / str(point))
        write(home, 1, rotate_bytes=0)
        home.log.write_bytes(home.log.read_bytes() + b'{"seq": 2, "time": "2026-11')
        ended = runs_to_the_end(dying(home, point, die_halfway, -1))
        write(home, 1)
        verdict = verify(home, capsys)
        assert verdict.code == 0, (point, verdict.text)
        assert ("sealed", f"{home.files[0].name}:2") in verdict.found, (point, verdict.text)
    assert point > 20


@pytest.mark.parametrize("left", [40, -1, None], ids=["part of a line", "all but its end", "a line"])
def test_what_a_dead_writer_left_in_a_file_that_was_rotated_is_part_of_the_log(
    home: Home, capsys: pytest.CaptureFixture[str], left: int | None
) -> None:
    write(home, 2, rotate_bytes=0)
    before = (home.directory / f"{NODE}.head").read_bytes()
    write(home, 1, rotate_bytes=0)
    (home.directory / f"{NODE}.head").write_bytes(before)  # it died before it could write the head
    first, second, third = home.log.read_bytes().splitlines(keepends=True)
    with home.log.open("r+b") as log:
        log.truncate(len(first + second + third[:left]))
    home.log.rename(home.directory / f"{NODE}.log.1")
    write(home, 1, rotate_bytes=0)
    verdict = verify(home, capsys)
    assert verdict.code == 0, verdict.text
    assert [kind for kind, _ in verdict.found] == (["sealed"] if left == 40 else [])
    assert sorted(numbers(home)) == ([1, 2, 4] if left == 40 else [1, 2, 3, 4])


def test_a_line_for_which_there_is_no_space_is_refused_and_sealed(
    far: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point, was_refused = 0, True
    while was_refused:
        point += 1
        (far / str(point)).mkdir()
        home = home_in(far / str(point))
        with closing(home.open()) as log:
            log.write({"event": "change"})
            with failing_at(point, have_no_space):
                try:
                    log.write({"event": "change"}, {"event": "change"})
                    was_refused = False
                except NoSpaceError:
                    was_refused = True
            log.write({"event": "change"})
        verdict = verify(home, capsys)
        assert verdict.code == 0, (point, verdict.text)
    assert point > 2


def test_what_is_cut_off_while_a_service_writes_is_missing_afterwards(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(home.open()) as log:
        for _ in range(3):
            log.write({"event": "change"})
        home.log.write_bytes(home.log.read_bytes()[:-100])
        log.write({"event": "change"})
    verdict = verify(home, capsys)
    assert verdict.found == [("malformed", f"{NODE}.log:3")], verdict.text
    assert verdict.code == 1


def test_a_line_that_others_append_while_a_service_writes_is_found(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(home.open()) as log:
        log.write({"event": "change"})
        with home.log.open("ab") as others:
            others.write(b'{"seq": 2, "event": "change"}\n')
        log.write({"event": "change"})
    assert verify(home, capsys).found == [("malformed", f"{NODE}.log:2")]


def test_several_processes_and_threads_write_one_log(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: write(home, 10, rotate_bytes=20_000), range(4)))

    children = [started(act) for _ in range(3)]
    assert [ends_well(child) for child in children] == [True] * 3
    assert sorted(numbers(home)) == list(range(1, 121))
    assert verify(home, capsys).code == 0


def test_what_threads_write_at_the_same_time_is_synced_together(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sync, syncs = os.fdatasync, list[int]()

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    options = AuditOptions(str(home.directory), NODE, str(home.key_file))
    with closing(AuditLog(options)) as log, ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: [log.write({"event": "change"}) for _ in range(20)], range(32)))
    assert sorted(numbers(home)) == list(range(1, 641))
    assert len(syncs) < 320
    assert verify(home, capsys).code == 0


class Uploads:
    """Clients that store files without a pause, and remember which requests were answered with 201."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self.acknowledged: list[str] = []
        self.failures: list[str] = []

    @contextmanager
    def running(self) -> Iterator["Uploads"]:
        """Store files until the block is left."""
        threads = [threading.Thread(target=self._store, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def await_more(self, count: int) -> None:
        """Wait until so many more were stored."""
        wanted, deadline = len(self.acknowledged) + count, time.monotonic() + TIMEOUT
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.failures[-5:]
            time.sleep(0.01)

    def _store(self, client: int) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            name = f"client-{client}-{number}"
            with suppress(requests.RequestException):  # the worker was killed
                answer = requests.put(
                    f"{self._url}/{client}", data=b"x", headers={"X-Request-Id": name}, timeout=TIMEOUT
                )
                if answer.status_code == 201:
                    self.acknowledged.append(name)
                else:
                    self.failures.append(answer.text)


@contextmanager
def service(kind: str, home: Home) -> Iterator[Server]:
    """Run a service of that kind whose log is that of *home*."""
    prefix = home.directory.parent / "archive"
    prefix.mkdir()
    with home.config.open("a") as config:
        config.write("[archive]\ndurability = none\n")
    if kind == "uwsgi":
        with uwsgi(prefix, "--enable-threads", env={"ARCHIVEINTERFACE_CONFIG": str(home.config)}) as server:
            yield server
    else:
        with forked_launcher(prefix, "--processes", "2", "-c", str(home.config)) as server:
            yield server


def require_each_once(home: Home, uploads: Uploads) -> None:
    """Fail unless each request that was answered is in the log once."""
    told = Counter(line["request_id"] for line in readable(home) if line["event"] == "change")
    assert [name for name in uploads.acknowledged if told[name] != 1] == []
    assert uploads.failures == []


def readable(home: Home) -> Iterator[dict[str, Any]]:
    for path in home.directory.glob(f"{NODE}.log*"):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):
                yield json.loads(line)


def await_workers(server: Server, count: int) -> None:
    """Wait until so many uploads are under way: a worker of uWSGI that is still starting loses the signal to stop."""
    host, _, port = server.url.rpartition("/")[2].partition(":")
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((host, int(port)), TIMEOUT))
            connection.sendall(b"PUT /99 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(1 << 10).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize("kind", ["launcher", "uwsgi"])
def test_every_change_that_was_answered_is_there_once_after_workers_were_killed(
    home: Home, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    with service(kind, home) as server, Uploads(server.url).running() as uploads:
        for round_ in range(8):
            uploads.await_more(15)
            workers = sorted(descendants(server.pid))
            with suppress(ProcessLookupError):
                os.kill(workers[round_ % len(workers)], signal.SIGKILL)
        uploads.await_more(15)
        await_workers(server, len(workers))
    with closing(home.open()) as log:
        log.require_usable()
    verdict = verify(home, capsys)
    assert verdict.code == 0, verdict.text
    require_each_once(home, uploads)


def test_a_log_is_rotated_under_load_by_its_size_and_by_logrotate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("logrotate")
    home = home_in(tmp_path, rotate_bytes=20_000)
    rules = tmp_path / "logrotate.conf"
    rules.write_text(f"{home.log} {{\n su root root\n rotate 100\n nocreate\n compress\n delaycompress\n}}\n")
    with service("launcher", home) as server, Uploads(server.url).running() as uploads:
        for _ in range(5):
            uploads.await_more(30)
            command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(rules)]
            subprocess.run(command, check=True, env={"PATH": PATH}, timeout=TIMEOUT)
        uploads.await_more(30)
    names = sorted(path.name for path in home.directory.iterdir())
    assert f"{NODE}.log.1" in names
    assert f"{NODE}.log.5.gz" in names
    assert [name for name in names if name.startswith(f"{NODE}.log.0")]
    verdict = verify(home, capsys)
    assert verdict.code == 0, verdict.text
