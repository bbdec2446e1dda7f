"""The service under real uWSGI."""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.servers.launcher_test import await_closed_port, await_partials, begin_upload
from tests.support.needs import need
from tests.support.process_tree import children
from tests.support.processes import UWSGI, Server, uwsgi
from tests.support.service import TIMEOUT, free_port, tree_of
from tests.support.waiting import await_true

# As deploy/uwsgi.ini has it.
GRACEFUL = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all", "--shutdown-sockets")
PRODUCTION = (*GRACEFUL, "--enable-threads", "--processes", "4", "--buffer-size", "12288")
CHECKED = {"X-Pacifica-Chunked": "checked"}
BIG = os.urandom(1 << 25)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the files that `server` serves."""
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def server(prefix: Path) -> Iterator[Server]:
    """A service for all tests that leave it as it was."""
    with uwsgi(prefix) as running:
        yield running


@pytest.fixture(scope="module")
def impatient_prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the files that `impatient` serves."""
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def impatient(impatient_prefix: Path) -> Iterator[Server]:
    """A service of one worker that waits one second for the rest of a body, which may be no larger than BIG."""
    settings = impatient_prefix.with_name("server.conf")
    settings.write_text(f"[global]\nserver.max_request_body_size: {len(BIG)}\n")
    environment = {"ARCHIVEINTERFACE_CPCONFIG": str(settings)}
    with uwsgi(impatient_prefix, "-p", "1", "--socket-timeout", "1", env=environment) as running:
        yield running


def _connected(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), TIMEOUT)


def _answer(server: Server, request: bytes) -> bytes:
    with _connected(server) as connection:
        connection.sendall(request)
        return _rest_of(connection)


def _rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_files_go_in_and_come_back(server: Server) -> None:
    content = os.urandom(5_000_000)
    answer = requests.put(f"{server.url}/12345", data=content)
    assert answer.json() == {"message": "File added to archive", "total_bytes": "5000000"}
    assert requests.get(f"{server.url}/12345").content == content
    assert requests.get(f"{server.url}/12345", headers={"Range": "bytes=-10"}).content == content[-10:]
    assert requests.get(f"{server.url}//12345").content == content
    head = requests.head(f"{server.url}/12345")
    assert head.status_code == 204
    assert head.headers["X-Content-Length"] == "5000000"


def test_a_client_is_told_that_the_connection_closes(server: Server, prefix: Path) -> None:
    with requests.Session() as session:
        for number in range(3):
            source = prefix / "incoming"
            source.write_bytes(b"x")
            answer = session.patch(f"{server.url}/{number}", json={"path": str(source)})
            assert answer.json() == {"message": "File Moved Successfully"}
            assert answer.headers["Connection"] == "close"
        assert session.get(f"{server.url}/404").headers["Connection"] == "close"


def test_chunked_bodies_that_a_proxy_has_checked_are_taken(server: Server) -> None:
    content = os.urandom(2_000_000)
    for size in (100, 65536, 500_000):
        body = (content[start : start + size] for start in range(0, len(content), size))
        answer = requests.put(f"{server.url}/7", data=body, headers=CHECKED)
        assert answer.json()["total_bytes"] == "2000000"
        assert requests.get(f"{server.url}/7").content == content


def test_chunked_bodies_that_nobody_has_checked_are_refused(impatient: Server) -> None:
    requests.put(f"{impatient.url}/7", data=b"stays")
    for headers, body, status in (
        ("", b"5\r\nhello\r\n0\r\n\r\n", b"411"),
        ("", b"5\r\nhello\r\nzz\r\nx", b"411"),
        ("", b"zebra\r\n", b"411"),
        ("X-Pacifica-Chunked: perhaps\r\n", b"0\r\n\r\n", b"411"),
        ("X-Pacifica-Chunked: checked\r\nContent-Length: 5\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"400"),
        ("X-Pacifica-Chunked: checked\r\n", b"5\r\nhel", b"400"),
    ):
        head = f"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
        assert _answer(impatient, head.encode() + body).split()[1] == status
        assert requests.get(f"{impatient.url}/7").content == b"stays"


def test_no_other_coding_is_taken(server: Server, prefix: Path) -> None:
    before = tree_of(prefix)
    for coding in ("gzip, chunked", "gzip", "chunked, chunked", "chunked;q=1"):
        head = f"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\nX-Pacifica-Chunked: checked\r\n\r\n"
        assert _answer(server, head.encode() + b"0\r\n\r\n").split()[1] in (b"400", b"501")
    assert tree_of(prefix) == before


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234", 408),
        (
            b"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Pacifica-Chunked: checked\r\n\r\n"
            b"5\r\n0123\r\n",
            400,
        ),
    ],
)
def test_a_broken_body_stores_nothing(
    impatient: Server, impatient_prefix: Path, request_bytes: bytes, status: int
) -> None:
    requests.put(f"{impatient.url}/8", data=b"stays")
    before = tree_of(impatient_prefix)
    answer = _answer(impatient, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close\r\n" in answer
    assert b"total_bytes" not in answer
    assert tree_of(impatient_prefix) == before
    assert list((impatient_prefix / ".partial").iterdir()) == []


def test_hostile_paths_and_missing_lengths_are_json_errors(server: Server, prefix: Path) -> None:
    before = tree_of(prefix)
    refused = dict.fromkeys(("/../x", "/..%2fx", "/%00", "/%2F1", "/1/", "/.partial"), b"400")
    for path, status in {**refused, "/1": b"411"}.items():
        length = "" if path == "/1" else "Content-Length: 0\r\n"
        answer = _answer(server, f"PUT {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n".encode())
        assert answer.split()[1] == status
        assert b'"status": "%s ' % status in answer
    assert tree_of(prefix) == before


def test_the_site_s_limit_holds(impatient: Server) -> None:
    assert requests.put(f"{impatient.url}/7", data=BIG).status_code == 201
    head = b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (len(BIG) + 1)
    assert _answer(impatient, head).startswith(b"HTTP/1.1 413 ")


def test_a_file_that_shrinks_under_a_download_breaks_it_off(server: Server, prefix: Path) -> None:
    place = prefix / "70"
    place.write_bytes(b"x" * (1 << 25))
    with _connected(server) as connection:
        connection.sendall(b"GET /70 HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = connection.recv(1 << 12)
        os.truncate(place, 1 << 20)
        answer += b"".join(iter(lambda: connection.recv(1 << 16), b""))
    body = answer.partition(b"\r\n\r\n")[2]
    assert len(body) < 1 << 25
    assert not body.strip(b"x")  # no error page behind the bytes


def test_the_body_is_asked_for_when_it_is_wanted(server: Server) -> None:
    with _connected(server) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert _rest_of(connection).startswith(b"HTTP/1.1 201 ")


def test_the_body_is_not_asked_for_when_the_head_is_wrong(server: Server) -> None:
    for request in (
        "PUT /a/b HTTP/1.1\r\nContent-Length: 5",
        "PUT /7 HTTP/1.1\r\nTransfer-Encoding: chunked",
        "PUT /7 HTTP/1.1\r\nContent-Length: 5\r\nLast-Modified: never",
        "PUT /404 HTTP/1.1\r\nContent-Length: 5\r\nIf-Match: *",
        "FETCH /7 HTTP/1.1\r\nContent-Length: 5",
    ):
        answer = _answer(server, f"{request}\r\nHost: a\r\nExpect: 100-continue\r\n\r\n".encode())
        assert answer.split()[1].startswith(b"4")
        assert b"100 Continue" not in answer


def test_a_client_of_http_1_0_is_not_asked(server: Server) -> None:
    request = b"PUT /7 HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
    assert b" 201 Created\r\n" in _answer(server, request).partition(b"\n")[0] + b"\n"


def test_an_absolute_target_is_a_path(server: Server) -> None:
    requests.put(f"{server.url}/7", data=b"hello")
    for target in (b"http://archive:80/7", b"HTTP://archive/7?x=y", b"http://archive//7"):
        assert _answer(server, b"GET %b HTTP/1.1\r\nHost: archive\r\n\r\n" % target).endswith(b"\r\n\r\nhello")
    assert b" 200 " in _answer(server, b"GET http://archive HTTP/1.1\r\nHost: archive\r\n\r\n")


def test_clients_that_leave_and_what_is_not_http_log_no_traceback(impatient: Server) -> None:
    requests.put(f"{impatient.url}/7", data=BIG)
    for headers in ("", "Range: bytes=0-20000000,20000002-30000000\r\n"):
        with _connected(impatient) as connection:
            connection.sendall(f"GET /7 HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
            connection.recv(1000)
    with _connected(impatient) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    for garbage in (b"GET /7 FOO/9", b"GET /7 HTTP/x.y", b"GET /7", b"\x16\x03\x01"):
        assert not _answer(impatient, garbage + b"\r\n\r\n").partition(b"\r\n")[0].endswith(b" 200 OK")
    assert requests.get(f"{impatient.url}/7").content == BIG
    assert "Traceback" not in impatient.stderr


def test_a_stalled_upload_is_given_up_after_one_time_out(impatient: Server) -> None:
    before = impatient.stderr.count("Timeout reading")
    answer = _answer(impatient, b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert impatient.stderr.count("Timeout reading") == before + 1


def test_a_worker_that_is_ended_is_replaced(tmp_path: Path) -> None:
    with uwsgi(tmp_path, "-p", "1") as server:
        upload = begin_upload(server, 7)
        (partial,) = await_partials(tmp_path, 1)
        (worker,) = map(int, Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())
        os.kill(worker, signal.SIGINT)
        assert upload.recv(1) == b""
        for number in (8, 9):
            assert requests.put(f"{server.url}/{number}", data=b"x").status_code == 201
        assert not partial.exists()  # the new worker has swept


def test_a_worker_ends_though_the_signal_reaches_another_thread_than_the_main_one(tmp_path: Path) -> None:
    with uwsgi(tmp_path, "-p", "1", "--enable-threads") as server:
        requests.put(f"{server.url}/7", data=b"x")
        (worker,) = children(server.pid)
        main, stopping, *_ = sorted(map(int, os.listdir(f"/proc/{worker}/task")))
        assert main == worker
        os.kill(stopping, signal.SIGTERM)  # the kernel gives it to this thread unless that blocks it
        await_true(lambda: worker not in children(server.pid))
        assert requests.get(f"{server.url}/7").content == b"x"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_plain_command_loses_nothing_when_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    with uwsgi(tmp_path, "-p", "2") as server:
        requests.put(f"{server.url}/7", data=b"stays")
        with begin_upload(server, 7) as upload:
            await_partials(tmp_path, 1)
            server.process.send_signal(number)
            assert _rest_of(upload) == b""
        assert (tmp_path / "7").read_bytes() == b"stays"


def test_a_reload_lets_requests_finish(tmp_path: Path) -> None:
    with uwsgi(tmp_path, "-p", "2") as server, begin_upload(server, 7) as upload:
        await_partials(tmp_path, 1)
        server.process.send_signal(signal.SIGHUP)
        server.await_line("Gracefully killing worker")
        upload.sendall(b"56789")
        assert _rest_of(upload).startswith(b"HTTP/1.1 201 ")


def test_the_production_form_finishes_requests_when_it_is_stopped(tmp_path: Path) -> None:
    with uwsgi(tmp_path, *PRODUCTION, "--socket-timeout", str(TIMEOUT)) as server:
        upload = begin_upload(server, 7)
        await_partials(tmp_path, 1)
        server.process.send_signal(signal.SIGTERM)
        await_closed_port(server)
        upload.sendall(b"56789")
        assert upload.recv(65536).startswith(b"HTTP/1.1 201 ")
        server.process.wait(TIMEOUT)
    assert (tmp_path / "7").read_bytes() == b"0123456789"


def test_the_production_form_finishes_downloads_when_it_is_stopped(tmp_path: Path) -> None:
    with uwsgi(tmp_path, *PRODUCTION) as server:
        requests.put(f"{server.url}/7", data=BIG)
        with _connected(server) as whole, _connected(server) as parts:
            for download, ranges in ((whole, "bytes=0-"), (parts, "bytes=0-20000000,20000002-")):
                download.sendall(f"GET /7 HTTP/1.1\r\nHost: a\r\nRange: {ranges}\r\n\r\n".encode())
                download.recv(1)
            server.process.send_signal(signal.SIGTERM)
            await_closed_port(server)
            server.process.send_signal(signal.SIGTERM)
            assert BIG[-1000:] in _rest_of(whole)
            assert BIG[-1000:] in _rest_of(parts)
        assert server.process.wait(TIMEOUT) == 0


def test_an_idle_service_that_has_served_ends_when_it_is_stopped(tmp_path: Path) -> None:
    with uwsgi(tmp_path, *PRODUCTION) as server:
        for _ in range(20):
            requests.get(server.url)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(TIMEOUT / 2)  # its mercy for workers that do not end is longer


def test_a_worker_that_still_starts_ends_with_the_others(tmp_path: Path) -> None:
    uploads = ("--http-socket", f"127.0.0.1:{free_port()}", "--map-socket", "1:4")
    local = ("--uwsgi-socket", str(tmp_path / "local"))
    with uwsgi(tmp_path, *PRODUCTION, *uploads, *local, "--hook-post-fork", "callint:sleep 2") as server:
        workers = set(children(server.pid))
        os.kill(min(workers), signal.SIGKILL)
        await_true(lambda: set(children(server.pid)) - workers)  # another one starts, and sleeps
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(TIMEOUT / 2) == 0


@pytest.mark.parametrize(
    ("environment", "word"),
    [({"PAI_PREFIX": "/missing/prefix"}, "/missing/prefix"), ({"PAI_BACKEND_TYPE": "tape"}, "tape")],
)
def test_a_wrong_configuration_ends_it_with_code_2(environment: dict[str, str], word: str) -> None:
    need(UWSGI)
    command = [UWSGI, "--http-socket", "127.0.0.1:0", "--master", "--module", "pacifica.archiveinterface.wsgi"]
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=TIMEOUT)
    assert ended.returncode == 2
    assert [line for line in ended.stderr.decode().splitlines() if line.startswith("wsgi: ") and word in line]


def test_workers_started_together_share_the_archive(server: Server) -> None:
    for number in range(100, 150):
        requests.put(f"{server.url}/{number}", data=b"%d" % number)
    assert [requests.get(f"{server.url}/{number}").content for number in range(100, 150)] == [
        b"%d" % number for number in range(100, 150)
    ]


def test_a_recaller_whose_worker_has_ended_before_it_ends_as_well(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as worker:
        pass
    command = [sys.executable, "-m", "pacifica.archiveinterface.commands.recaller", str(worker.pid)]
    environment = {"PAI_BACKEND_TYPE": "posix", "PAI_PREFIX": str(tmp_path), "ARCHIVEINTERFACE_CONFIG": os.devnull}
    assert subprocess.run(command, env={**os.environ, **environment}, timeout=TIMEOUT).returncode == 0
