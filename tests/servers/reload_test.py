"""SIGHUP makes the launcher read everything anew, without an option too, and no request notices."""

import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cherrypy
import pytest
import requests

from pacifica.archiveinterface.servers.connection import Connection
from pacifica.archiveinterface.servers.launcher import ArchiveServer
from pacifica.archiveinterface.servers.options import LauncherOptions
from tests.servers.supervisor_test import await_log
from tests.support.certificates import make_self_signed
from tests.support.forked import refusal_of_main
from tests.support.processes import LAUNCHER, clean_environment, launcher
from tests.support.service import TIMEOUT, at_work, free_port
from tests.support.waiting import await_true

CONTENT = os.urandom(1 << 26)


@contextmanager
def launched(*options: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the launcher until the block is left; the block begins when it serves."""
    with subprocess.Popen([LAUNCHER, *options], env=clean_environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            await_line(process, " serves ")
            yield process
        finally:
            process.terminate()


def await_line(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what *process* logs up to a line with *words*."""
    assert process.stderr
    assert any(words in line for line in process.stderr)


def test_a_reload_reads_certificates_anew(prefix: Path, tmp_path: Path, written: Callable[[str], str]) -> None:
    certificate = tmp_path / "certificate.pem"
    make_self_signed(certificate)
    settings = tmp_path / "server.conf"
    keys = ("ssl_certificate", "ssl_private_key")
    settings.write_text("[global]\n" + "".join(f"server.{key}: {str(certificate)!r}\n" for key in keys))
    place = ("127.0.0.1", free_port())
    with launched("-p", str(place[1]), "--prefix", str(prefix), "--cherrypy-config", str(settings)) as process:
        before = ssl.get_server_certificate(place, timeout=TIMEOUT)
        make_self_signed(certificate)
        process.send_signal(signal.SIGHUP)
        await_line(process, "reloaded: ")
        # The old process may accept connections until it notices that it is to end.
        await_true(lambda: ssl.get_server_certificate(place, timeout=TIMEOUT) != before)
        after = ssl.get_server_certificate(place, timeout=TIMEOUT)
    assert after.split() == certificate.read_text().partition("-----BEGIN PRIVATE")[0].split()


def test_a_transfer_under_way_has_all_the_time_that_it_takes(prefix: Path, written: Callable[[str], str]) -> None:
    (prefix / "1").write_bytes(CONTENT)
    config = written("[http]\ndrain_seconds = 0\n")
    with launcher(prefix, "--processes", "1", "-c", config) as server:
        (old,) = workers_of(server.pid)
        download = requests.get(f"{server.url}/1", headers={"Connection": "close"}, stream=True, timeout=TIMEOUT)
        server.process.send_signal(signal.SIGHUP)
        await_log(server, "reloaded: ")
        assert requests.get(server.url, timeout=TIMEOUT).ok  # by the new worker
        assert b"".join(download.iter_content(1 << 20)) == CONTENT
        await_true(lambda: old not in workers_of(server.pid))


def workers_of(pid: int) -> list[int]:
    """Return the process ids of the children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_workers_serve_a_local_socket(prefix: Path, tmp_path: Path) -> None:
    settings, place = tmp_path / "server.conf", tmp_path / "socket"
    settings.write_text(f"[global]\nserver.socket_file: {str(place)!r}\n")
    for _ in range(2):  # the second finds the file of the first
        with launched("--prefix", str(prefix), "--cherrypy-config", str(settings), "--processes", "2") as process:
            assert status_line(place) == b"HTTP/1.1 200 OK"
            process.send_signal(signal.SIGHUP)
            await_line(process, "reloaded: ")
            assert status_line(place) == b"HTTP/1.1 200 OK"


def status_line(place: Path) -> bytes:
    """Return the first line of the answer of the service on the socket *place*."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(place))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return connection.makefile("rb").readline().strip()


def test_a_connection_is_a_client_as_soon_as_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    is_accepted, is_drained = threading.Event(), threading.Event()

    class SlowConnection(Connection):
        def __init__(self, *arguments: Any) -> None:
            is_accepted.set()
            assert is_drained.wait(TIMEOUT)
            super().__init__(*arguments)

    monkeypatch.setattr(ArchiveServer, "ConnectionClass", SlowConnection)
    monkeypatch.setattr(cherrypy.server, "socket_port", 0)
    server = ArchiveServer(no_content, LauncherOptions(), drain_seconds=5)
    with at_work(server), socket.create_connection(server.bind_addr, TIMEOUT) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert is_accepted.wait(TIMEOUT)
        server.drain()
        has_clients = server.has_clients()
        is_drained.set()
        assert has_clients
        with connection.makefile("rb") as answer:
            assert answer.read().startswith(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n")
        await_true(lambda: not server.has_clients())


def no_content(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("204 No Content", [])
    return []


def test_a_configuration_is_checked_without_serving(prefix: Path, written: Callable[[str], str]) -> None:
    checked = subprocess.run(
        [LAUNCHER, "--check", "--prefix", str(prefix)], env=clean_environment(), capture_output=True, timeout=TIMEOUT
    )
    assert (checked.returncode, checked.stderr) == (0, b"")
    wrong = written("[archive]\noverwrite = perhaps\n")
    assert "overwrite" in refusal_of_main("--check", "--prefix", str(prefix), "-c", wrong)
    missing = str(prefix / "missing")
    assert missing in refusal_of_main("--check", "--prefix", missing)
