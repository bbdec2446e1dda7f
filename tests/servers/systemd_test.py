"""What the services tell systemd, on a socket like its own."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from pacifica.archiveinterface.servers.systemd import Watchdog, notify_ready
from tests.servers.supervisor_test import Load, await_log
from tests.support.processes import BIN, clean_environment, killed_at_last, launcher, uwsgi
from tests.support.service import TIMEOUT
from tests.support.systemd import Notified, notified

NEVER = float("inf")
WORKERS = 2


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Notified]:
    """Who is notified."""
    with notified(tmp_path / "notify") as systemd:
        yield systemd


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_launcher_says_when_it_serves_that_it_answers_and_when_it_stops(prefix: Path, processes: str) -> None:
    with notified() as systemd:  # an abstract name
        variables = {**systemd.environment, "WATCHDOG_USEC": "400000"}
        with launcher(prefix, "--processes", processes, env=variables) as server:
            message = systemd.until("READY")
            assert f"serves {prefix} on {server.url}" in message["STATUS"]
            for _ in range(2):
                systemd.until("WATCHDOG")
            assert server.stop() == 0
        assert systemd.until("STOPPING")["STOPPING"] == "1"


def test_a_reload_begins_and_ends(systemd: Notified, prefix: Path, written: Callable[[str], str]) -> None:
    config = written("")
    with launcher(prefix, "--processes", "1", "-c", config, env=systemd.environment) as server:
        status = systemd.next()["STATUS"]
        for text, said in (("", status), ("[archive]\noverwrite = perhaps\n", "not reloaded: ")):
            Path(config).write_text(text)
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            server.process.send_signal(signal.SIGHUP)
            message = systemd.next()
            assert message["RELOADING"] == "1"
            assert before <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            message = systemd.next()
            assert message["READY"] == "1"
            assert said in message["STATUS"]
            assert "\n" not in message["STATUS"]


def test_the_watchdog_of_another_process_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
        assert Watchdog(listener).tend() == NEVER
        monkeypatch.delenv("WATCHDOG_USEC")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        assert Watchdog(listener).tend() == NEVER


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_watchdog_does_not_hear_of_a_service_that_hangs(
    systemd: Notified, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.environment["NOTIFY_SOCKET"])
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and answers nothing
        watchdog = Watchdog(listener, encrypted=encrypted)
        listener.settimeout(TIMEOUT)
        asked = None
        while not asked:
            watchdog.tend()
            listener.setblocking(False)
            asked = _accepted(listener)
    systemd.receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.next()


def _accepted(listener: socket.socket) -> object:
    try:
        return listener.accept()
    except BlockingIOError:
        return None


def test_a_socket_that_is_not_there_is_told_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/missing/notify")
    notify_ready("serves")
    assert "systemd cannot be told READY=1 at /missing/notify: No such file" in caplog.text


def test_uwsgi_says_when_it_serves_and_goes_on_after_a_reload(systemd: Notified, prefix: Path) -> None:
    (prefix / "1").write_bytes(b"x" * 1000)
    with uwsgi(prefix, "-p", str(WORKERS), env=systemd.environment) as server:
        assert systemd.until("READY")["READY"] == "1"
        with Load(server.url, b"x" * 1000).running() as load:
            load.await_answers(20)
            server.process.send_signal(signal.SIGHUP)
            await_log(server, "the master takes signals", 2)
            load.await_answers(20)
        answer = requests.get(f"{server.url}/1", timeout=TIMEOUT)
    assert answer.content == b"x" * 1000
    # uWSGI ends a worker that has accepted a connection and not begun to read from it.
    assert len(load.failures) <= WORKERS
    assert all("Connection reset by peer" in failure for failure in load.failures)


def test_the_recaller_begins_anew_at_sighup_unless_its_configuration_is_wrong(
    systemd: Notified, prefix: Path, written: Callable[[str], str]
) -> None:
    config = written("")
    command = [str(BIN / "pacifica-archiveinterface-cmd"), "-c", config, "--prefix", str(prefix), "recaller"]
    environment = {**clean_environment(), **systemd.environment}
    with killed_at_last(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)) as process:
        assert systemd.next() == {"READY": "1", "STATUS": "recalls files"}
        Path(config).write_text("[archive]\noverwrite = perhaps\n")
        process.send_signal(signal.SIGHUP)
        assert "RELOADING" in systemd.next()
        assert "not reloaded: " in systemd.next()["STATUS"]
        Path(config).write_text("")
        process.send_signal(signal.SIGHUP)
        assert "RELOADING" in systemd.next()
        assert systemd.next() == {"READY": "1", "STATUS": "recalls files"}
        process.terminate()
        assert "STOPPING" in systemd.next()
        assert process.wait(TIMEOUT) == 0
