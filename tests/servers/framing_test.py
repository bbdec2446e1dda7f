"""How the launcher reads requests: heads, framing, waiting for heads, and what it says to a malformed one."""

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from tests import fuzz
from tests.support.forked import forked_launcher
from tests.support.service import POSIX_FLAT, TIMEOUT, Service, serving, tree_of
from tests.support.tracing import Call, require_tracing, traced

HOST = b"Host: a\r\n"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of this module are."""
    return tmp_path_factory.mktemp("framing") / "archive"


@pytest.fixture(scope="module")
def running(prefix: Path) -> Iterator[Service]:
    """One service for all of this module."""
    with serving(POSIX_FLAT.make(prefix)) as service:
        yield service


@pytest.fixture
def service(running: Service, prefix: Path) -> Service:
    """The service, with nothing stored but the file 7, which holds ``old``."""
    for path in prefix.glob("[0-9]*"):
        path.unlink()
    running.request("PUT", "/7", data=b"old")
    return running


def refused(service: Service, prefix: Path, request: bytes) -> int:
    """Send *request*, which has to be refused, and return the status; the connection closes and nothing changes."""
    head, _, body = service.raw(request).partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert b"\r\nConnection: close" in head
    assert b"\r\nX-Request-Id: " in head
    assert b"\r\nContent-Type: application/json" in head
    if not request.startswith(b"HEAD"):
        error = json.loads(body)  # and nothing behind it: one request, one answer
        assert error["status"].startswith(str(status))
        assert error["traceback"] == ""
    assert tree_of(prefix) == {"7": b"old"}
    return status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 5\r\nContent-Length: 0\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: 5 5\r\n", 400),
        (b"Content-Length: \xb2\r\n", 400),
        (b"Content-Length:\r\n", 400),
        (b"Content-Length: 9223372036854775808\r\n", 413),
        (b"Content-Length: 9999999999999999999\r\n", 413),
        (b"Content-Length: %s\r\n" % (b"9" * 10_000), 413),
        (b"Content-Length : 5\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501),
        (b"Transfer-Encoding: chunked, gzip\r\n", 400),
        (b"Transfer-Encoding: gzip\r\n", 400),
        (b"Transfer-Encoding: identity\r\n", 400),
        (b"Transfer-Encoding: chunked, chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked;q=1\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 400),
        (b"Transfer-Encoding:\r\n", 400),
        (b"Transfer_Encoding: chunked\r\n", 411),
        (b"Content_Length: 5\r\n", 411),
        (b"Content-Length: 5\r\nContent-Range: bytes 5-9/10\r\n", 400),
        (b"Content-Length: 5\r\nLast-Modified: 1\r\nLast-Modified: 2\r\n", 400),
        (b"Content-Length: 5\r\nContent-MD5: a\r\nContent-MD5: b\r\n", 400),
        (b"Content-Length: 5\r\nHost: b\r\n", 400),
        (b" Folded: 1\r\nContent-Length: 5\r\n", 400),
        (b"X: 1\r\n folded\r\nContent-Length: 5\r\n", 400),
        (b"X: \0\r\nContent-Length: 5\r\n", 400),
        (b"X: a\rb\r\nContent-Length: 5\r\n", 400),
        (b"X: 1\nContent-Length: 5\r\n", 400),
        (b": 1\r\nContent-Length: 5\r\n", 400),
        (b"X\xe9: 1\r\nContent-Length: 5\r\n", 400),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(
    service: Service, prefix: Path, headers: bytes, status: int
) -> None:
    assert refused(service, prefix, b"PUT /7 HTTP/1.1\r\n" + HOST + headers + b"\r\nhello") == status


def test_no_transfer_coding_with_http_1_0(service: Service, prefix: Path) -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert refused(service, prefix, b"PUT /7 HTTP/1.0\r\n" + chunked) == 400


@pytest.mark.parametrize(
    "chunks",
    [
        b"5;a\r=b\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 a\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n",
    ],
)
def test_malformed_chunks_are_refused(service: Service, prefix: Path, chunks: bytes) -> None:
    head = b"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refused(service, prefix, head + chunks) == 400


def test_an_underscore_makes_another_header(service: Service, prefix: Path) -> None:
    answer = service.raw(
        b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent_Length: 3\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    )
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert tree_of(prefix) == {"7": b"hello"}


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /7 HTTP/01.1", 400),
        (b"GET /7 HTTP/1.-5", 400),
        (b"GET /7 HTTP/1.1 ", 400),
        (b"GET  /7 HTTP/1.1", 400),
        (b"GET\t/7 HTTP/1.1", 400),
        (b"GET /7 http/1.1", 400),
        (b"GET /7", 400),
        (b"GET 7 HTTP/1.1", 400),
        (b"GET ftp://a/7 HTTP/1.1", 400),
        (b"GET /7#part HTTP/1.1", 400),
        (b"G(T /7 HTTP/1.1", 400),
        (b"CONNECT a:80 HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET /7 HTTP/2.0", 505),
        (b"GET /7 HTTP/0.9", 505),
        (b"HEAD /7 HTTP/2.0", 505),
    ],
)
def test_a_malformed_request_line_is_refused(service: Service, prefix: Path, line: bytes, status: int) -> None:
    assert refused(service, prefix, line + b"\r\nHost: a\r\n\r\n") == status


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET http://else.where:80/7 HTTP/1.1", 200),
        (b"GET HTTPS://a/7?byte_range=0-1 HTTP/1.1", 200),
        (b"GET http://a HTTP/1.1", 200),
        (b"GET http://a?x=1 HTTP/1.1", 200),
        (b"GET //7 HTTP/1.1", 200),
        (b"GET /7 HTTP/1.2", 200),
        (b"OPTIONS * HTTP/1.1", 200),
        (b"GET http://a/no-such HTTP/1.1", 404),
        (b"GET /7?self=1 HTTP/1.1", 200),
        (b"GET /7?%ff HTTP/1.1", 400),
        (b"GET /7?1,2x HTTP/1.1", 400),
        (b"delete /7 HTTP/1.1", 405),
        (b"BREW /7 HTTP/1.1", 405),
        (b"HEAD / HTTP/1.0", 200),
    ],
)
def test_a_request_line_that_is_read(service: Service, line: bytes, status: int) -> None:
    answer = service.raw(line + b"\r\nHost: a\r\n\r\n")
    assert int(answer.split()[1]) == status
    assert service.request("GET", "/7").content == b"old"


def test_header_values_are_not_decoded(service: Service) -> None:
    for value in (b"=?nosuch?q?a?=", b"=?utf-8?q?=FF?=", b"=?utf-8?b?!?="):
        for name in (b"X", b"If-None-Match", b"Host", b"Want-Digest"):
            head = b"GET /7 HTTP/1.1\r\n" + (b"" if name == b"Host" else HOST) + name + b": " + value + b"\r\n\r\n"
            assert service.raw(head).startswith(b"HTTP/1.1 200 ")


def test_cookies_are_not_read(service: Service) -> None:
    for cookie in (b'a="' + b'\\"' * 20_000, b"a b=c", b"expires"):
        assert service.raw(b"GET /7 HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + b"\r\n\r\n").startswith(
            b"HTTP/1.1 200 "
        )


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /7 HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /7 HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 20_000 + b"\r\n", 431),
        (b"GET /7 HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000, 431),
        (b"GET /" + b"7" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ],
    ids=["one header", "many headers", "no end", "target"],
)
def test_a_head_is_bounded(service: Service, prefix: Path, request_bytes: bytes, status: int) -> None:
    assert refused(service, prefix, request_bytes) == status


def test_digests_on_two_lines_are_one_list(service: Service) -> None:
    wrong, right = b"sha-256=:" + b"A" * 43 + b"=:", b"md5=:XUFAKrxLKna5cZ2REBfFkg==:"
    for first, second, status in ((wrong, right, 400), (right, wrong, 400), (right, right, 201)):
        head = b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n"
        digests = b"Repr-Digest: " + first + b"\r\nRepr-Digest: " + second + b"\r\n\r\n"
        assert int(service.raw(head + digests + b"hello").split()[1]) == status


def test_entity_tags_on_two_lines_are_one_list(service: Service) -> None:
    tag = service.request("GET", "/7").headers["ETag"].encode()
    for lines in ((tag, b'"x"'), (b'"x"', tag)):
        tags = b"".join(b"If-None-Match: " + line + b"\r\n" for line in lines)
        assert service.raw(b"GET /7 HTTP/1.1\r\nHost: a\r\n" + tags + b"\r\n").startswith(b"HTTP/1.1 304 ")


def connect(service: Service) -> socket.socket:
    """Return a connection to the service."""
    return socket.create_connection(("127.0.0.1", service.port), TIMEOUT)


def answer_on(connection: socket.socket) -> bytes:
    """Return all that the service sends until it closes *connection*."""
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@pytest.mark.parametrize(
    "head",
    [
        b"PUT /.. HTTP/1.1\r\nContent-Length: 5\r\n",
        b"PUT /7 HTTP/1.1\r\nContent-Length: 5\r\nLast-Modified: never\r\n",
        b"PUT /7 HTTP/1.1\r\nContent-Length: 5\r\nIf-None-Match: *\r\n",
        b"PUT /7 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nRepr-Digest: x\r\n",
        b"BREW /7 HTTP/1.1\r\nContent-Length: 5\r\n",
        b"PATCH /7 HTTP/1.1\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n",
    ],
)
def test_an_error_known_from_the_head_is_answered_before_the_body_is_asked_for(service: Service, head: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(head + b"Host: a\r\nExpect: 100-continue\r\n\r\n")
        answer = answer_on(connection)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"100 Continue" not in answer
    assert b"\r\nConnection: close" in answer


def test_a_body_is_asked_for_once_when_it_is_wanted(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n")
        assert connection.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 201 ")
    assert service.request("GET", "/7").content == b"hello"


def test_a_site_s_tool_that_refuses_is_heard_before_the_body_is_asked_for(tmp_path: Path) -> None:
    realm = {
        "tools.auth_basic.on": True,
        "tools.auth_basic.realm": "r",
        "tools.auth_basic.checkpassword": lambda *_: False,
    }
    with serving(POSIX_FLAT.make(tmp_path / "archive"), {"/": realm}) as locked, connect(locked) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = answer_on(connection)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == "401 Unauthorized"


def test_an_error_does_not_wait_for_the_rest_of_the_body(service: Service) -> None:
    with connect(service) as connection:
        connection.sendall(b"PUT /.. HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart")
        assert answer_on(connection).startswith(b"HTTP/1.1 400 ")  # though nothing more was sent


@pytest.mark.parametrize(
    ("given", "kept"), [("a.B-9_z", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("", False)]
)
@pytest.mark.parametrize("path", ["/7", "/no-such", "/.."])
def test_every_answer_has_the_id_of_its_request(service: Service, path: str, given: str, kept: bool) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "BREW"):
        answer = service.request(method, path, headers={"X-Request-Id": given})
        assert (answer.headers["X-Request-Id"] == given) is kept
        assert 0 < len(answer.headers["X-Request-Id"]) <= 64


def test_the_id_is_in_the_answer_to_a_malformed_request_too(service: Service) -> None:
    answer = service.raw(b"PUT /7 HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\nContent-Length: x\r\n\r\n")
    assert b"\r\nX-Request-Id: mine\r\n" in answer


def test_requests_may_follow_each_other_on_a_connection(service: Service) -> None:
    put = b"PUT /8 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    answer = service.raw(
        put + b"GET /8 HTTP/1.1\r\nHost: a\r\n\r\nGET /7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 2") == 3
    assert answer.endswith(b"old")


def test_a_head_may_arrive_byte_by_byte(service: Service) -> None:
    with connect(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"PUT /8 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello":
            connection.sendall(bytes([byte]))
        assert answer_on(connection).startswith(b"HTTP/1.1 201 ")
    assert service.request("GET", "/8").content == b"hello"


def test_connections_without_a_whole_request_keep_no_thread(prefix: Path, service: Service) -> None:
    threads = 2
    with (
        serving(POSIX_FLAT.make(prefix), {"global": {"server.thread_pool": threads}}) as small,
        ExitStack() as stack,
    ):
        for start in (b"", b"GET /7 HTTP/1.1\r\nHost: a\r\nX: ") * 20:
            connection = stack.enter_context(connect(small))
            connection.sendall(start)
        assert small.request("GET", "/7").content == b"old"


def test_a_client_that_asks_without_a_pause_does_not_keep_the_only_thread(prefix: Path) -> None:
    stopping = threading.Event()

    def ask(url: str) -> None:
        with requests.Session() as session:
            while not stopping.is_set():
                session.get(url, timeout=TIMEOUT)

    with serving(POSIX_FLAT.make(prefix), {"global": {"server.thread_pool": 1}}) as small:
        busy = threading.Thread(target=ask, args=(f"{small.url}/7",))
        busy.start()
        try:
            answers = [small.request("GET", "/7").content for _ in range(5)]
        finally:
            stopping.set()
            busy.join()
    assert answers == [b"old"] * 5


def test_a_head_that_takes_too_long_is_given_up(prefix: Path, service: Service) -> None:
    with ExitStack() as stack:
        hasty = stack.enter_context(serving(POSIX_FLAT.make(prefix), {"global": {"server.socket_timeout": 0.2}}))
        silent, stalled, dripping = (stack.enter_context(connect(hasty)) for _ in range(3))
        stalled.sendall(b"GET /7 HTTP/1.1\r\n")
        dripping.settimeout(0.02)
        answer = b""
        deadline = time.monotonic() + TIMEOUT
        while not answer.startswith(b"HTTP/1.1 408 "):
            assert time.monotonic() < deadline
            try:
                dripping.sendall(b"x")
                answer += dripping.recv(1 << 16)
            except TimeoutError:
                pass
        assert answer_on(stalled).startswith(b"HTTP/1.1 408 ")
        assert answer_on(silent) == b""


def test_accepting_pauses_and_says_so_when_no_descriptor_is_left(tmp_path: Path) -> None:
    require_tracing()
    with forked_launcher(tmp_path) as server, ExitStack() as stack:
        host, port = server.url.removeprefix("http://").split(":")
        open_now = len(os.listdir(f"/proc/{server.pid}/fd"))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_now + 4, 4096))
        for _ in range(20):
            stack.enter_context(socket.create_connection((host, int(port)), TIMEOUT))
        deadline = time.monotonic() + TIMEOUT
        while "cannot accept connections" not in server.stderr:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        calls = accepting(server.pid)
        for call, next_call in pairwise(calls):
            assert "EMFILE" not in call.text or next_call.name in _PAUSES
        assert server.stderr.count("\n") < 10
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (4096, 4096))
        with socket.create_connection((host, int(port)), TIMEOUT) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert answer_on(connection).startswith(b"HTTP/1.1 200 ")


_PAUSES = ("clock_nanosleep", "select", "pselect6")  # what time.sleep() calls, by Python's version


def accepting(pid: int) -> list[Call]:
    """Return calls of the thread that accepts connections in vain, and pauses."""
    while True:
        with traced(pid, ["accept4", *_PAUSES]) as trace:
            time.sleep(0.5)
        if any("EMFILE" in call.text for call in trace.calls[:-1]):
            return trace.calls


# make test-fuzz sends a hundred thousand.
@pytest.mark.parametrize("name", sorted(fuzz.SERVERS))
def test_random_requests_are_stored_as_they_are_framed_or_refused(tmp_path: Path, name: str) -> None:
    with fuzz.SERVERS[name](tmp_path) as server:
        counts = fuzz.run(server, tmp_path, range(1000), is_strict=name == "launcher")
    assert {200, 201, 204, 400, 404, 501} <= counts.keys()
