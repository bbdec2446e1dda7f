"""Quotas: what is stored is counted, and more than a quota is refused before its body is read."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.limits.conftest import on_sqlite
from tests.support.limits import Limited
from tests.support.service import Service

pytestmark = on_sqlite


@pytest.fixture
def limited(tmp_path: Path, url: str) -> Limited:
    """An archive for 1000 bytes in 4 files."""
    return Limited(tmp_path, url, quota_bytes=1000, quota_files=4)


@pytest.fixture
def service(limited: Limited) -> Iterator[Service]:
    """That archive, served."""
    with limited.served() as service:
        yield service


def put(service: Service, file_id: str, size: int) -> int:
    """Store *size* bytes and return the status of the answer."""
    return service.request("PUT", f"/{file_id}", data=b"x" * size).status_code


def test_what_is_stored_counts_until_it_is_deleted(limited: Limited, service: Service) -> None:
    assert put(service, "1", 600) == 201
    assert put(service, "2", 400) == 201
    assert limited.used() == (1000, 2)
    assert service.request("DELETE", "/1").status_code == 200
    assert limited.used() == (400, 1)
    assert limited.used_by("anonymous") == (400, 1)
    assert put(service, "3", 600) == 201


def test_more_than_the_quota_is_refused_and_changes_nothing(limited: Limited, service: Service) -> None:
    assert put(service, "1", 600) == 201
    answer = service.request("PUT", "/2", data=b"x" * 401)
    assert answer.status_code == 507
    assert "quota" in answer.json()["message"]
    assert "total_bytes" not in answer.json()
    assert put(service, "1", 1001) == 507
    assert service.request("GET", "/1").content == b"x" * 600
    assert service.request("GET", "/2").status_code == 404
    assert limited.used() == (600, 1)
    assert put(service, "2", 400) == 201


def test_files_have_a_quota_as_well(limited: Limited, service: Service) -> None:
    assert [put(service, file_id, 0) for file_id in "12345"] == [201, 201, 201, 201, 507]
    assert put(service, "1", 10) == 201


def test_a_replacement_counts_the_difference(limited: Limited, service: Service) -> None:
    assert put(service, "1", 900) == 201
    assert put(service, "1", 1000) == 201
    assert put(service, "1", 200) == 201
    assert limited.used() == (200, 1)
    assert put(service, "2", 800) == 201


def test_a_replaced_file_stays_its_owners(limited: Limited) -> None:
    limited.store("1", b"x" * 100, "alice")
    limited.store("1", b"x" * 300, "bob")
    assert limited.used_by("alice") == (300, 1)
    assert limited.used_by("bob") == (0, 0)


def test_the_refusal_comes_before_the_body_and_instead_of_100_continue(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        head = b"PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 507 ")


@pytest.mark.parametrize(("size", "status"), [(1000, 201), (1001, 507), (40_000_000, 507)])
def test_a_body_without_a_length_is_counted_as_it_comes(
    limited: Limited, service: Service, size: int, status: int
) -> None:
    assert put(service, "1", 7) == 201
    blocks = (b"x" * min(1_000_000, size - start) for start in range(0, size, 1_000_000))
    answer = service.request("PUT", "/1", data=blocks)
    assert answer.status_code == status
    assert limited.used() == ((size, 1) if status == 201 else (7, 1))
    assert len(service.request("GET", "/1").content) == (size if status == 201 else 7)
    assert put(service, "2", 1000 - limited.used()[0]) == 201


def test_an_upload_that_fails_gives_back_what_was_kept_free(limited: Limited, service: Service) -> None:
    headers = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    assert service.request("PUT", "/1", data=b"x" * 1000, headers=headers).status_code == 400
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.request("PUT", "/1", body=b"x" * 10, headers={"Content-Length": "1000"})
    connection.sock.shutdown(socket.SHUT_WR)
    assert connection.getresponse().status == 400
    assert limited.used() == (0, 0)
    assert put(service, "1", 1000) == 201


def move(service: Service, file_id: str, path: Path | str) -> int:
    """Move the file at *path* to the id, and return the status of the answer."""
    body = json.dumps({"path": str(path)})
    return service.request("PATCH", f"/{file_id}", data=body, headers={"Content-Type": "application/json"}).status_code


def test_a_file_that_is_moved_in_counts_as_an_upload(limited: Limited, service: Service) -> None:
    small, large = limited.outside / "small", limited.outside / "large"
    small.write_bytes(b"x" * 900)
    large.write_bytes(b"x" * 901)
    assert put(service, "1", 100) == 201
    assert move(service, "2", large) == 507
    assert large.exists()
    assert move(service, "2", small) == 200
    assert limited.used() == (1000, 2)
    assert move(service, "3", "/etc/passwd") == 403
    assert move(service, "3", limited.outside / "none") == 404


def test_a_file_that_is_moved_in_the_archive_stays_its_owners(limited: Limited, service: Service) -> None:
    limited.store("1", b"x" * 600, "alice")
    limited.store("2", b"x" * 400, "bob")
    assert move(service, "2", Path(limited.archive.prefix, limited.archive.path_of("1"))) == 200
    assert limited.used() == (600, 1)
    assert limited.used_by("alice") == (600, 1)
    assert limited.used_by("bob") == (0, 0)
    assert move(service, "2", Path(limited.archive.prefix, limited.archive.path_of("2"))) == 200
    assert limited.used_by("alice") == (600, 1)


def test_a_principal_has_a_quota_of_its_own(tmp_path: Path, url: str) -> None:
    overrides = tmp_path / "principals"
    overrides.write_text("# those who may store more\nalice = bytes 1K, files 2\nanonymous = bytes 5\n")
    limited = Limited(tmp_path, url, "bytes 100", principals_file=str(overrides))
    limited.store("1", b"x" * 1000, "alice")
    limited.store("2", b"x" * 100, "bob")
    with limited.served() as service:
        assert put(service, "3", 6) == 507
        assert put(service, "3", 5) == 201
    assert limited.used() == (1105, 3)
