"""What the observers of the application are told of each request."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from pacifica.archiveinterface.http.server_calls import TRANSMITTED_FROM
from pacifica.archiveinterface.web.exchange import Exchange
from tests.support.service import POSIX_FLAT, TIMEOUT, Service, serving
from tests.support.waiting import await_true

LARGE = 1 << 25  # bytes; more than the buffers of a connection hold
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing the socket resets the connection


@dataclass
class Observed:
    """A service, and the exchanges that its observers were told of."""

    service: Service
    exchanges: list[Exchange] = field(default_factory=list)

    def next(self) -> Exchange:
        """Wait for the next exchange, and return it."""
        await_true(lambda: self.exchanges)
        return self.exchanges.pop(0)

    def connection(self) -> socket.socket:
        """Return a new connection to the service; it is reset when it is closed."""
        connection = socket.create_connection(("127.0.0.1", self.service.port), TIMEOUT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return connection


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A service with file 7 of ten bytes and the large file 8; whoever is silent for a second is given up."""
    archive = POSIX_FLAT.make(tmp_path_factory.mktemp("archive"))
    for file_id, content in (("7", b"0123456789"), ("8", os.urandom(LARGE))):
        archive.file(file_id).store(iter([content]), time.time(), dict, length=len(content))
    with serving(archive, {"global": {"server.socket_timeout": 1}}) as service:
        observed = Observed(service)
        service.application.observers.append(observed.exchanges.append)
        yield observed


def test_it_tells_who_asked_for_what_and_when(observed: Observed) -> None:
    headers = {"X-Request-Id": "mine", "Referer": "http://a/b", "User-Agent": "Test/1 (it)"}
    before = time.time()
    observed.service.request("GET", "//7?byte_range=2-5", headers=headers)
    told = observed.next()
    assert before <= told.begun <= time.time()
    assert 0 < told.first_byte <= told.seconds < TIMEOUT
    asked = (told.request_id, told.method, told.target, told.protocol, told.client, told.user)
    assert asked == ("mine", "GET", "//7?byte_range=2-5", "HTTP/1.1", "127.0.0.1", None)
    assert (told.referer, told.user_agent) == ("http://a/b", "Test/1 (it)")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "sent"),
    [
        ("GET", "/7", {}, 200, 10),
        ("GET", "/8", {}, 200, LARGE),
        ("GET", "/7", {"Range": "bytes=2-4"}, 206, 3),
        ("GET", "/8", {"Range": f"bytes=1-{TRANSMITTED_FROM + 1}"}, 206, TRANSMITTED_FROM + 1),
        ("GET", "/7", {"If-None-Match": "*"}, 304, 0),
        ("HEAD", "/7", {}, 204, 0),
        ("HEAD", "/404", {}, 404, 0),
    ],
)
def test_it_counts_the_bytes_of_the_body_that_were_sent(
    observed: Observed, method: str, path: str, headers: dict[str, str], status: int, sent: int
) -> None:
    observed.service.request(method, path, headers=headers)
    told = observed.next()
    assert (told.status, told.sent, told.received, told.broke_off) == (status, sent, 0, False)


def test_the_message_of_an_error_counts_as_well(observed: Observed) -> None:
    answer = observed.service.request("GET", "/404")
    told = observed.next()
    assert (told.status, told.sent) == (404, len(answer.content))


@pytest.mark.parametrize("headers", [{}, {"Content-Md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}], ids=["stored", "refused"])
def test_it_counts_the_bytes_of_an_upload(observed: Observed, headers: dict[str, str]) -> None:
    observed.service.request("PUT", "/9", data=b"x" * 70_000, headers=headers)
    told = observed.next()
    assert (told.status, told.received) == (400 if headers else 201, 70_000)


def test_the_framing_of_chunks_does_not_count(observed: Observed) -> None:
    observed.service.request("PUT", "/9", data=iter([b"12345", b"678"]))
    assert observed.next().received == 8


@pytest.mark.parametrize(("stalls", "status"), [(True, 408), (False, 400)])
def test_an_upload_that_breaks_off_counts_as_far_as_it_came(observed: Observed, stalls: bool, status: int) -> None:
    with closing(observed.connection()) as connection:
        connection.sendall(b"PUT /9 HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n" + b"x" * 300_000)
        if not stalls:
            connection.shutdown(socket.SHUT_WR)
        told = observed.next()
    assert (told.method, told.status, told.received) == ("PUT", status, 300_000)


@pytest.mark.parametrize("ranges", ["0-", "0-9,20-"], ids=["by sendfile", "in blocks"])
def test_a_download_that_breaks_off_counts_as_far_as_it_went(observed: Observed, ranges: str) -> None:
    with closing(observed.connection()) as connection:
        connection.sendall(b"GET /8 HTTP/1.1\r\nHost: a\r\nRange: bytes=%s\r\n\r\n" % ranges.encode())
        received = len(connection.makefile("rb").read(1 << 21))
    told = observed.next()
    assert (told.status, told.broke_off) == (206, True)
    assert received // 2 < told.sent < LARGE


def test_what_the_server_answers_by_itself_is_no_exchange(observed: Observed) -> None:
    assert observed.service.raw(b"GET\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    observed.service.request("HEAD", "/7")
    assert observed.next().method == "HEAD"
