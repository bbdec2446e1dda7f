"""The launcher with worker processes: they are replaced when they die, reloaded and ended without losing a request."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.servers.launcher_test import await_closed_port, await_partials, begin_upload
from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.processes import Server, suspend
from tests.support.service import TIMEOUT, free_port
from tests.support.waiting import await_true

CONTENT = os.urandom(1000)


def workers(server: Server) -> list[int]:
    """Return the process ids of the supervisor's children."""
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def await_log(server: Server, words: str, count: int = 1) -> None:
    """Wait until *server* has logged *words* that often."""
    await_true(lambda: server.stderr.count(words) >= count)


@pytest.fixture
def prefix(prefix: Path) -> Path:
    """An archive that holds file 1."""
    (prefix / "1").write_bytes(CONTENT)
    return prefix


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An empty configuration file."""
    path = tmp_path / "config.ini"
    path.write_text("")
    return path


@pytest.fixture
def server(prefix: Path, config: Path) -> Iterator[Server]:
    """The launcher with two worker processes."""
    with forked_launcher(prefix, "--processes", "2", "-c", str(config)) as running:
        yield running


class Load:
    """Clients that ask for file 1 without a pause, half of them on connections that stay open."""

    def __init__(self, url: str, content: bytes = CONTENT) -> None:
        self._url, self._content = url, content
        self._stopping = threading.Event()
        self.answered = 0
        self.failures: list[str] = []

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Ask until the block is left."""
        threads = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def await_answers(self, more: int) -> None:
        """Wait until *more* requests have been answered."""
        wanted = self.answered + more
        await_true(lambda: self.answered >= wanted or bool(self.failures))

    def _ask(self, keeps_open: bool) -> None:
        session = requests.Session()
        while not self._stopping.is_set():
            try:
                answer = (session if keeps_open else requests).get(f"{self._url}/1", timeout=TIMEOUT)
                if answer.status_code != 200 or answer.content != self._content:
                    self.failures.append(f"{answer.status_code} {answer.text}")
            except requests.RequestException as error:
                self.failures.append(str(error))
            self.answered += 1


def messages(log: str) -> list[str]:
    """Return the lines of *log* but for those that requests have got."""
    return [line for line in log.splitlines() if " HTTP/1.1" not in line]


@pytest.mark.parametrize("stopped", [0, 1])
def test_each_worker_answers_when_the_other_one_does_not(server: Server, stopped: int) -> None:
    pid = workers(server)[stopped]
    suspend(pid)  # until it is stopped, it may accept a connection
    try:
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == CONTENT
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_worker_that_is_killed_is_replaced_and_requests_go_on(server: Server) -> None:
    before = workers(server)
    os.kill(before[0], signal.SIGKILL)
    for number in range(20):
        assert requests.put(f"{server.url}/{number + 2}", data=b"x", timeout=TIMEOUT).status_code == 201
    await_true(lambda: len(set(workers(server)) - set(before)) == 1 and len(workers(server)) == 2)
    assert f"worker process {before[0]} has ended (SIGKILL)" in server.stderr


def test_what_a_killed_worker_left_half_written_is_removed_by_the_next(server: Server, prefix: Path) -> None:
    with begin_upload(server, 7):
        await_partials(prefix, 1)
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
        await_partials(prefix, 0)
    assert requests.get(f"{server.url}/7", timeout=TIMEOUT).status_code == 404


def test_a_worker_that_dies_again_and_again_is_started_once_a_second(prefix: Path) -> None:
    with forked_launcher(prefix, "--processes", "1") as server:
        for deaths in (1, 2):
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            await_true(lambda: len(workers(server)) == 1)
            started = start_of(workers(server)[0])
            os.kill(workers(server)[0], signal.SIGKILL)
            await_log(server, "has ended (SIGKILL)", deaths)
            await_true(lambda: len(workers(server)) == 1)
            assert start_of(workers(server)[0]) - started > 0.9
            assert start_of(workers(server)[0]) >= began - 0.1


def test_a_worker_that_cannot_start_is_started_less_and_less_often(server: Server, prefix: Path) -> None:
    away = prefix.rename(prefix.with_name("away"))
    os.kill(workers(server)[0], signal.SIGKILL)
    for seconds in (2, 4):
        await_log(server, f"does not start: prefix '{prefix}': no such file or directory; next attempt in {seconds} ")
    away.rename(prefix)
    await_true(lambda: len(workers(server)) == 2)
    assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == CONTENT


def start_of(pid: int) -> float:
    """Return when the process began, in seconds since the system did."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def test_a_reload_under_load_loses_no_request(server: Server) -> None:
    before = set(workers(server))
    with Load(server.url).running() as load:
        for count in (1, 2):
            load.await_answers(20)
            server.process.send_signal(signal.SIGHUP)
            await_log(server, "reloaded:", count)
        load.await_answers(20)
        await_true(lambda: not before & set(workers(server)) and len(workers(server)) == 2)
    assert load.failures == []


def test_a_reload_takes_the_new_configuration(server: Server, config: Path) -> None:
    config.write_text("[http]\nhead = standard\n")
    assert requests.head(f"{server.url}/1", timeout=TIMEOUT).status_code == 204
    server.process.send_signal(signal.SIGHUP)
    await_log(server, "reloaded:")
    await_true(lambda: requests.head(f"{server.url}/1", timeout=TIMEOUT).status_code == 200)


@pytest.mark.parametrize("text", ["[archive]\noverwrite = never\n", "[archive]\nreserve_bytes = all\n"])
def test_a_wrong_configuration_keeps_the_workers_and_is_one_line_in_the_log(
    server: Server, config: Path, text: str
) -> None:
    before, said = workers(server), len(server.stderr)
    config.write_text(text)
    server.process.send_signal(signal.SIGHUP)
    await_log(server, "not reloaded")
    assert len(messages(server.stderr[said:])) == 1
    assert "config.ini" in server.stderr[said:]
    assert workers(server) == before
    assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == CONTENT


def test_what_only_a_worker_can_find_wrong_keeps_the_workers_too(prefix: Path, tmp_path: Path) -> None:
    settings = tmp_path / "server.conf"
    settings.write_text("[global]\n")
    with forked_launcher(prefix, "--processes", "2", "--cherrypy-config", str(settings)) as server:
        before, said = workers(server), len(server.stderr)
        settings.write_text(f"[global]\nlog.access_file: '{tmp_path}/missing/access.log'\n")
        server.process.send_signal(signal.SIGHUP)
        await_log(server, "not reloaded")
        assert len(messages(server.stderr[said:])) == 1
        assert "access.log cannot be written" in server.stderr[said:]
        await_true(lambda: workers(server) == before)
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == CONTENT


def test_an_upload_in_flight_survives_a_reload(server: Server, prefix: Path) -> None:
    upload = begin_upload(server, 7)
    await_partials(prefix, 1)
    server.process.send_signal(signal.SIGHUP)
    await_log(server, "reloaded:")
    upload.sendall(b"56789")
    assert b"Connection: close" in upload.recv(65536)
    assert (prefix / "7").read_bytes() == b"0123456789"


def test_a_stop_drains_frees_the_port_and_leaves_no_process(prefix: Path) -> None:
    options = ("--processes", "2", "-p", str(free_port()))
    with forked_launcher(prefix, *options) as server:
        children = workers(server)
        upload = begin_upload(server, 7)
        await_partials(prefix, 1)
        server.process.send_signal(signal.SIGTERM)
        await_closed_port(server)
        upload.sendall(b"56789")
        assert upload.recv(65536).startswith(b"HTTP/1.1 201 ")
        assert server.process.wait(TIMEOUT) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    with forked_launcher(prefix, *options) as server:
        assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == b"0123456789"


def test_a_stop_waits_for_no_request_for_ever(prefix: Path, config: Path) -> None:
    config.write_text("[http]\ndrain_seconds = 1\n")
    with forked_launcher(prefix, "--processes", "2", "-c", str(config)) as server, begin_upload(server, 7):
        await_partials(prefix, 1)
        assert server.stop() == 0
    assert list((prefix / ".partial").iterdir()) == []


def test_workers_end_when_their_supervisor_is_killed(server: Server) -> None:
    children = workers(server)
    server.process.kill()
    server.process.wait()
    await_true(lambda: not any(is_alive(pid) for pid in children))


def is_alive(pid: int) -> bool:
    """Return whether the process is there and not waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_configuration_that_a_worker_refuses_ends_the_start(prefix: Path, tmp_path: Path) -> None:
    settings = tmp_path / "server.conf"
    settings.write_text(f"[global]\nlog.access_file: '{tmp_path}/missing/access.log'\n")
    line = refusal_of_main("--prefix", str(prefix), "--processes", "2", "-p", "0", "--cherrypy-config", str(settings))
    assert "access.log cannot be written" in line


def test_a_port_that_is_taken_is_named(server: Server, prefix: Path) -> None:
    port = server.url.rpartition(":")[2]
    line = refusal_of_main("--prefix", str(prefix), "--processes", "2", "-p", port)
    assert f"127.0.0.1:{port}: address already in use" in line
