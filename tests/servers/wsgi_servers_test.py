"""The same application under each server that docs/servers.md names."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.servers.wsgi_servers import APPLICATION, SERVERS, WsgiServer
from tests.support.needs import need
from tests.support.processes import BIN
from tests.support.service import TIMEOUT, await_service, free_port
from tests.support.waiting import await_true

LARGE = 32 << 20  # bytes
_BLOCK = os.urandom(1 << 20)


class Running(NamedTuple):
    """A server that serves the files below *prefix*."""

    server: WsgiServer
    prefix: Path
    log: Path
    port: int

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def raw(self, request: bytes) -> bytes:
        """Send *request* as it is, end the sending side, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return _rest_of(connection)


def _rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Each server, with file 7 stored."""
    prefix = tmp_path_factory.mktemp("archive")
    log = tmp_path_factory.mktemp("log") / "stderr"
    with request.param.running(prefix, log) as port:
        started = Running(request.param, prefix, log, port)
        requests.put(f"{started.url}/7", data=b"0123456789", timeout=TIMEOUT)
        yield started


def test_a_listener_gets_one_event_and_is_told_when_to_ask_again(running: Running) -> None:
    answer = requests.get(f"{running.url}/-/recalls/events", timeout=TIMEOUT)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    retry, known, content, *rest = answer.text.split("\n")
    assert retry.startswith("retry: ")
    assert content.startswith("data: {")
    assert rest == ["", ""]
    again = {"Last-Event-ID": known.removeprefix("id: ")}
    assert requests.get(answer.url, headers=again, timeout=TIMEOUT).text == f"{retry}\n\n"


def test_a_large_file_comes_back_as_it_went(running: Running, tmp_path: Path) -> None:
    source, expected = tmp_path / "source", sha256()
    with source.open("wb") as file:
        for number in range(LARGE // len(_BLOCK)):
            block = number.to_bytes(4, "big") + _BLOCK[4:]
            file.write(block)
            expected.update(block)
    with source.open("rb") as file:
        answer = requests.put(f"{running.url}/100", data=file, timeout=TIMEOUT)
    assert answer.json()["total_bytes"] == str(LARGE)
    received = sha256()
    with requests.get(f"{running.url}/100", stream=True, timeout=TIMEOUT) as answer:
        for block in answer.iter_content(1 << 20):
            received.update(block)
    assert received.digest() == expected.digest()


def test_chunked_bodies_are_decoded_or_refused(running: Running) -> None:
    blocks = [_BLOCK[:70000], b"x", _BLOCK]
    answer = requests.put(f"{running.url}/8", data=iter(blocks), timeout=TIMEOUT)
    if running.server.takes_chunked:
        assert answer.json()["total_bytes"] == str(sum(map(len, blocks)))
        assert (running.prefix / "8").read_bytes() == b"".join(blocks)
    else:
        assert answer.status_code == 411
        assert not (running.prefix / "8").exists()


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 10\r\n\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\nno\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nshort\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n",
    ],
)
def test_a_broken_body_leaves_what_was_there(running: Running, rest: bytes) -> None:
    answer = running.raw(b"PUT /7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + rest)
    assert b"total_bytes" not in answer
    assert requests.get(f"{running.url}/7", timeout=TIMEOUT).content == b"0123456789"


def test_one_range_and_several_are_served(running: Running) -> None:
    one = requests.get(f"{running.url}/7", headers={"Range": "bytes=2-4"}, timeout=TIMEOUT)
    assert (one.status_code, one.content, one.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    several = requests.get(f"{running.url}/7", headers={"Range": "bytes=0-1,8-"}, timeout=TIMEOUT)
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    assert b"\r\n\r\n01\r\n--" in several.content
    assert requests.get(f"{running.url}/7", headers={"Range": "bytes=99-"}, timeout=TIMEOUT).status_code == 416


def test_the_status_comes_in_headers(running: Running) -> None:
    answer = requests.head(f"{running.url}/7", timeout=TIMEOUT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["X-Content-Length"] == "10"
    assert answer.headers["X-Pacifica-File-Storage-Media"] == "disk"
    modified = answer.headers["Last-Modified"]
    assert modified.endswith("1970 00:00:00 GMT") if running.server.name == "mod_wsgi" else float(modified) > 0
    missing = requests.head(f"{running.url}/404", timeout=TIMEOUT)
    assert (missing.status_code, missing.headers["X-Pacifica-File"]) == (404, "File Not Found")


def test_errors_are_json(running: Running) -> None:
    for path, status in {"/404": 404, "/a%2Fb": 400, "/.hidden": 400}.items():
        answer = requests.get(running.url + path, timeout=TIMEOUT)
        assert answer.status_code == status
        assert answer.json()["status"].startswith(str(status))


def test_a_client_that_waits_is_asked_once(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.port), TIMEOUT) as connection:
        head = b"PUT /9 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        asked = connection.recv(1 << 10)
        assert asked.startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b"hello")
        answer = asked + _rest_of(connection)
    assert answer.count(b" 100 Continue\r\n") == 1
    assert b"HTTP/1.1 201 Created\r\n" in answer


def test_files_are_moved_and_deleted(running: Running) -> None:
    (running.prefix / "incoming").write_bytes(b"x")
    moved = requests.patch(f"{running.url}/10", json={"path": str(running.prefix / "incoming")}, timeout=TIMEOUT)
    assert moved.json() == {"message": "File Moved Successfully"}
    assert requests.delete(f"{running.url}/10", timeout=TIMEOUT).json() == {"message": "File deleted"}


def test_each_request_has_its_line_in_the_log(running: Running) -> None:
    identified = {"X-Request-Id": "mine"}
    requests.put(f"{running.url}/11", data=b"x" * 100_000, headers=identified, timeout=TIMEOUT)
    requests.get(f"{running.url}/11", headers={**identified, "Range": "bytes=5-"}, timeout=TIMEOUT)
    requests.head(f"{running.url}/11", headers=identified, timeout=TIMEOUT)
    await_true(lambda: running.log.read_text().count(" mine -\n") == 3)
    told = sorted(re.findall(r'"(.*) HTTP/1.1" (\d+) (\d+) .* (\d+) complete mine -', running.log.read_text()))
    assert told[2][:2] + told[2][3:] == ("PUT /11", "201", "100000")
    assert told[:2] == [("GET /11", "206", "99995", "0"), ("HEAD /11", "204", "0", "0")]


_WSGIREF = """
from wsgiref.simple_server import make_server
from pacifica.archiveinterface.wsgi import application
make_server("127.0.0.1", {port}, application).serve_forever()
"""


def test_a_server_that_decodes_no_chunks_stores_none(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "PAI_PREFIX": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _WSGIREF.format(port=port)], env=environment) as process:
        try:
            await_service(process, f"http://127.0.0.1:{port}")
            for body in (b"whole", iter([b"in", b"pieces"])):
                answer = requests.put(f"http://127.0.0.1:{port}/7", data=body, timeout=TIMEOUT)
                assert answer.status_code == (201 if body == b"whole" else 411)
            assert (tmp_path / "7").read_bytes() == b"whole"
        finally:
            process.kill()


def test_granian_is_refused(tmp_path: Path) -> None:
    program = BIN / "granian"
    need(program)
    command = [str(program), "--interface", "wsgi", "--port", str(free_port()), APPLICATION]
    environment = {**os.environ, "PAI_PREFIX": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        try:
            assert any(line.startswith("wsgi: granian ") for line in process.stderr)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
