"""Requests a second and transfers at a time: more are answered with 429, before anything is done."""

import socket
import threading
from pathlib import Path

import requests

from tests.limits.conftest import on_sqlite
from tests.support.limits import Limited
from tests.support.metrics import Metrics
from tests.support.service import Service
from tests.support.waiting import TIMEOUT, await_true

FEW = "requests 0.001/s, burst 3"
HEAD_ERROR = {"X-Pacifica-Messsage": "File Not found", "X-Pacifica-File": "File Not Found"}


def spend(service: Service, count: int = 3) -> None:
    """Send so many requests, which are all answered."""
    assert [service.request("GET", "/").status_code for _ in range(count)] == [200] * count


def test_more_requests_than_the_burst_are_refused(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, FEW).served() as service:
        spend(service)
        answer = service.request("PUT", "/1", data=b"x")
        assert answer.status_code == 429
        assert 900 < int(answer.headers["Retry-After"]) <= 1000
        assert "total_bytes" not in answer.json()


@on_sqlite
def test_a_refused_head_has_the_documented_headers(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, FEW).served() as service:
        spend(service)
        answer = service.request("HEAD", "/1")
        assert answer.status_code == 429
        assert HEAD_ERROR.items() <= answer.headers.items()


@on_sqlite
def test_the_pages_of_the_service_are_never_refused(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, FEW).served() as service:
        spend(service)
        assert service.request("GET", "/").status_code == 429
        for page in ("/-/health", "/-/ready"):
            assert [service.request("GET", page).status_code for _ in range(4)] == [200] * 4


@on_sqlite
def test_the_refusal_comes_before_the_body_and_instead_of_100_continue(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, FEW).served() as service:
        spend(service)
        with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
            head = b"PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 429 ")


@on_sqlite
def test_tokens_come_again(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, "requests 20/s, burst 1").served() as service:
        await_true(lambda: service.request("GET", "/").status_code == 429)
        await_true(lambda: service.request("GET", "/").status_code == 200)


@on_sqlite
def test_a_principal_that_has_used_up_its_own_takes_nothing_from_others(tmp_path: Path, url: str) -> None:
    others = tmp_path / "principals"
    others.write_text("anonymous = requests 1000/s\n")
    with Limited(tmp_path, url, FEW, principals_file=str(others)).served() as service:
        spend(service, 10)


def begun_upload(service: Service, file_id: bytes) -> socket.socket:
    """Return a connection on which the service waits for the body of an upload."""
    connection = socket.create_connection(("127.0.0.1", service.port), TIMEOUT)
    head = b"PUT /%b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    connection.sendall(head % file_id)
    assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
    return connection


def ended(upload: socket.socket) -> bool:
    """Send the body of an upload that has begun, and return whether the file was stored."""
    with upload:
        upload.sendall(b"xy")
        return upload.recv(1 << 16).startswith(b"HTTP/1.1 201 ")


def test_more_transfers_at_a_time_are_refused_until_one_ends(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, "transfers 2").served() as service:
        uploads = [begun_upload(service, file_id) for file_id in (b"1", b"2")]
        assert service.request("GET", "/1").status_code == 429
        refused = service.request("PUT", "/3", data=b"x")
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert service.request("HEAD", "/1").status_code == 404
        assert ended(uploads[0])
        await_true(lambda: service.request("GET", "/1").status_code == 200)
        assert ended(uploads[1])


@on_sqlite
def test_a_download_is_a_transfer_until_it_was_sent(tmp_path: Path, url: str) -> None:
    limited = Limited(tmp_path, url, "transfers 1")
    limited.archive.file("1").store([b"x" * 50_000_000], 1.0)
    with limited.served() as service:
        answer = requests.get(f"{service.url}/1", stream=True, timeout=TIMEOUT)
        assert answer.status_code == 200
        assert service.request("GET", "/1").status_code == 429
        assert len(answer.content) == 50_000_000
        await_true(lambda: service.request("GET", "/1").status_code == 200)


@on_sqlite
def test_services_that_share_a_database_count_together(tmp_path: Path, url: str) -> None:
    with Limited(tmp_path, url, FEW).served() as one, Limited(tmp_path, url, FEW).served() as other:
        found = [service.request("GET", "/").status_code for service in (one, other, one, other, one)]
        assert found == [200, 200, 200, 429, 429]


def test_requests_at_once_take_no_more_than_there_are(tmp_path: Path, url: str) -> None:
    limited = Limited(tmp_path, url, "requests 0.001/s, burst 20")
    with limited.served() as service:
        found: list[int] = []

        def ask() -> None:
            found.append(service.request("GET", "/").status_code)

        threads = [threading.Thread(target=ask) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [200] * 20 + [429] * 20


@on_sqlite
def test_refusals_are_counted_by_their_limit(tmp_path: Path, url: str) -> None:
    def counted() -> dict[str, float]:
        return Metrics(service.url).values_of("limit", "limit_refusals_total")

    with Limited(tmp_path, url, FEW, quota_bytes=1).served() as service:
        before = counted()
        assert service.request("PUT", "/1", data=b"xx").status_code == 507
        spend(service, 2)
        assert [service.request("GET", "/").status_code for _ in range(3)] == [429] * 3
    with Limited(tmp_path, url, "transfers 1").served() as service:
        upload = begun_upload(service, b"2")
        assert [service.request("GET", "/1").status_code for _ in range(2)] == [429] * 2
        assert ended(upload)
        after = counted()
    more = {limit: after[limit] - number for limit, number in before.items()}
    assert more == {"quota": 1, "requests": 3, "transfers": 2}
