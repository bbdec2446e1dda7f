"""The service under real uWSGI."""

import os
import signal
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest
import requests

from .launcher_test import await_closed_port, await_partials, begin_upload
from .needs import need
from .processes import UWSGI, uwsgi
from .support import TIMEOUT, tree_of

PRODUCTION = ("--die-on-term", "--processes", "4", "--buffer-size", "12288")


def test_files_go_in_and_come_back(tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    with uwsgi(tmp_path) as server:
        answer = requests.put(f"{server.url}/12345", data=content)
        assert answer.json() == {"message": "File added to archive", "total_bytes": "5000000"}
        assert requests.get(f"{server.url}/12345").content == content
        assert requests.get(f"{server.url}/12345", headers={"Range": "bytes=-10"}).content == content[-10:]
        assert requests.get(f"{server.url}//12345").content == content
        head = requests.head(f"{server.url}/12345")
        assert head.status_code == 204
        assert head.headers["X-Content-Length"] == "5000000"


def test_a_client_is_told_that_the_connection_closes(tmp_path: Path) -> None:
    with uwsgi(tmp_path) as server, requests.Session() as session:
        for number in range(3):
            source = tmp_path / "incoming"
            source.write_bytes(b"x")
            answer = session.patch(f"{server.url}/{number}", json={"path": str(source)})
            assert answer.json() == {"message": "File Moved Successfully"}
            assert answer.headers["Connection"] == "close"
        assert session.get(f"{server.url}/404").headers["Connection"] == "close"


@pytest.mark.parametrize("size", [100, 65536, 500_000])
def test_chunked_bodies_are_taken(tmp_path: Path, size: int) -> None:
    content = os.urandom(2_000_000)
    with uwsgi(tmp_path) as server:
        body = (content[start : start + size] for start in range(0, len(content), size))
        assert requests.put(f"{server.url}/7", data=body).json()["total_bytes"] == "2000000"
        assert requests.get(f"{server.url}/7").content == content


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234",
        b"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
    ],
)
def test_a_broken_body_stores_nothing(tmp_path: Path, request_bytes: bytes) -> None:
    with uwsgi(tmp_path, "--socket-timeout", "1") as server:
        requests.put(f"{server.url}/8", data=b"stays")
        before = tree_of(tmp_path)
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as connection:
            connection.sendall(request_bytes)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"total_bytes" not in answer
        assert tree_of(tmp_path) == before
        assert list((tmp_path / ".partial").iterdir()) == []


def test_hostile_paths_and_missing_lengths_are_json_errors(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with uwsgi(tmp_path / "archive") as server:
        host, port = server.url.removeprefix("http://").split(":")
        refused = dict.fromkeys(("/../x", "/..%2fx", "/%00", "/%2F1", "/1/", "/.partial"), b"400")
        for path, status in {**refused, "/1": b"411"}.items():
            length = "" if path == "/1" else "Content-Length: 0\r\n"
            with socket.create_connection((host, int(port)), TIMEOUT) as connection:
                connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n".encode())
                answer = b"".join(iter(partial(connection.recv, 65536), b""))
            assert answer.split()[1] == status
            assert b'"status": "%s ' % status in answer
    assert tree_of(tmp_path) == {"archive": None}


def test_the_site_s_limit_holds(tmp_path: Path) -> None:
    settings = tmp_path / "server.conf"
    settings.write_text("[global]\nserver.max_request_body_size: 10\n")
    with uwsgi(tmp_path, env={"ARCHIVEINTERFACE_CPCONFIG": str(settings)}) as server:
        assert requests.put(f"{server.url}/7", data=b"x" * 11).status_code == 413
        assert requests.put(f"{server.url}/7", data=b"x" * 10).status_code == 201


def test_a_file_that_shrinks_under_a_download_breaks_it_off(tmp_path: Path) -> None:
    place = tmp_path / "7"
    with uwsgi(tmp_path) as server:
        place.write_bytes(b"x" * (1 << 25))
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as connection:
            connection.sendall(b"GET /7 HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = connection.recv(1 << 12)
            os.truncate(place, 1 << 20)
            answer += b"".join(iter(lambda: connection.recv(1 << 16), b""))
        body = answer.partition(b"\r\n\r\n")[2]
        assert len(body) < 1 << 25
        assert not body.strip(b"x")  # no error page behind the bytes


def test_the_production_form_finishes_requests_when_it_is_stopped(tmp_path: Path) -> None:
    with uwsgi(tmp_path, *PRODUCTION) as server:
        upload = begin_upload(server, 7)
        await_partials(tmp_path, 1)
        server.process.send_signal(signal.SIGTERM)
        await_closed_port(server)
        upload.sendall(b"56789")
        assert upload.recv(65536).startswith(b"HTTP/1.1 201 ")
        server.process.wait(TIMEOUT)
    assert (tmp_path / "7").read_bytes() == b"0123456789"


def test_an_idle_service_that_has_served_ends_when_it_is_stopped(tmp_path: Path) -> None:
    with uwsgi(tmp_path, *PRODUCTION) as server:
        for _ in range(20):
            requests.get(server.url)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(TIMEOUT / 2)  # its mercy for workers that do not end is longer


@pytest.mark.parametrize(
    ("environment", "word"),
    [({"PAI_PREFIX": "/nonexistent"}, "/nonexistent"), ({"PAI_BACKEND_TYPE": "tape"}, "tape")],
)
def test_a_wrong_configuration_ends_it_with_code_2(environment: dict[str, str], word: str) -> None:
    need(UWSGI)
    command = [UWSGI, "--http-socket", "127.0.0.1:0", "--master", "--module", "pacifica.archiveinterface.wsgi"]
    ended = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, timeout=TIMEOUT)
    assert ended.returncode == 2
    assert [line for line in ended.stderr.decode().splitlines() if line.startswith("wsgi: ") and word in line]


def test_workers_started_together_share_the_archive(tmp_path: Path) -> None:
    with uwsgi(tmp_path, *PRODUCTION) as server:
        for number in range(50):
            requests.put(f"{server.url}/{number}", data=b"%d" % number)
        assert [requests.get(f"{server.url}/{number}").content for number in range(50)] == [
            b"%d" % number for number in range(50)
        ]
