"""Clients of the launcher that are silent or slow, and clients that are too many: the others are answered."""

import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from pacifica.archiveinterface.servers.clients import Clients
from tests.support.certificates import make_self_signed
from tests.support.crowd import COUNT, MANY_HOSTS, ONE_HOST, crowd
from tests.support.forked import forked_launcher
from tests.support.waiting import TIMEOUT, await_true

CONTENT = b"x" * (1 << 26)
LATE = "server.socket_timeout: 3600\n"  # seconds: whoever waits for a silent client waits too long for the test
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"  # the first bytes of a handshake
HEAD = b"GET / HTTP/1.1\r\n"
Options = Callable[[str, str], list[str]]


@pytest.fixture
def prefix(prefix: Path) -> Path:
    """The directory of an archive with a small and a large file."""
    (prefix / "1").write_bytes(b"small")
    (prefix / "2").write_bytes(CONTENT)
    return prefix


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Return what writes settings to server.conf and options to config.ini, and returns how the launcher is told."""

    def write(settings: str, launcher_options: str) -> list[str]:
        (tmp_path / "server.conf").write_text(f"[global]\n{settings}")
        (tmp_path / "config.ini").write_text(f"[launcher]\n{launcher_options}")
        return ["--cherrypy-config", str(tmp_path / "server.conf"), "-c", str(tmp_path / "config.ini")]

    return write


def address_of(url: str) -> tuple[str, int]:
    host, port = url.partition("://")[2].split(":")
    return host, int(port)


def test_500_clients_without_a_whole_head_delay_nobody(prefix: Path, options: Options) -> None:
    with forked_launcher(prefix, *options(LATE, "")) as server, crowd(address_of(server.url)) as clients:
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"  # beside silent ones
        for byte in HEAD[:3]:
            clients.send(bytes([byte]))
            assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"


def test_500_clients_without_a_whole_handshake_delay_nobody(prefix: Path, options: Options, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    make_self_signed(certificate)
    settings = f"server.ssl_certificate: '{certificate}'\nserver.ssl_private_key: '{certificate}'\n{LATE}"
    with forked_launcher(prefix, *options(settings, "")) as server, crowd(address_of(server.url)) as clients:
        url, trust = f"{server.url}/1", str(certificate)
        assert requests.get(url, verify=trust, timeout=TIMEOUT).content == b"small"
        for byte in HELLO[:3]:
            clients.send(bytes([byte]))
            assert requests.get(url, verify=trust, timeout=TIMEOUT).content == b"small"


UPLOAD = b"PUT /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
DOWNLOAD = b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
FEW_EACH = f"connections_per_address = {COUNT // len(MANY_HOSTS)}\n"
BY_HOSTS = pytest.mark.parametrize(
    ("hosts", "launcher_options"), [(ONE_HOST, ""), (MANY_HOSTS, FEW_EACH)], ids=["one address", "many addresses"]
)


@BY_HOSTS
def test_500_uploads_that_drip_delay_nobody(
    prefix: Path, options: Options, hosts: Sequence[str], launcher_options: str
) -> None:
    with (
        forked_launcher(prefix, *options(LATE, launcher_options)) as server,
        crowd(address_of(server.url), hosts=hosts) as clients,
    ):
        clients.send(UPLOAD)
        for _ in range(3):
            assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"
            clients.send(b"x")
        assert requests.put(f"{server.url}/4", data=b"quick", timeout=TIMEOUT).status_code == 201
        assert clients.answered() == 0


@BY_HOSTS
def test_500_downloads_that_nobody_reads_delay_nobody(
    prefix: Path, options: Options, hosts: Sequence[str], launcher_options: str
) -> None:
    with (
        forked_launcher(prefix, *options(LATE, launcher_options)) as server,
        crowd(address_of(server.url), hosts=hosts) as clients,
    ):
        clients.send(DOWNLOAD)
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"
        await_true(lambda: clients.answered() == COUNT)  # each has its thread, which waits
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"


def test_500_slow_transfers_over_tls_delay_nobody(prefix: Path, options: Options, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    make_self_signed(certificate)
    settings = f"server.ssl_certificate: '{certificate}'\nserver.ssl_private_key: '{certificate}'\n{LATE}"
    tls = ssl.create_default_context(cafile=str(certificate))
    tls.check_hostname = False
    with forked_launcher(prefix, *options(settings, FEW_EACH)) as server:
        address, url = address_of(server.url), f"{server.url}/1"
        with (
            crowd(address, COUNT // 2, MANY_HOSTS, tls) as uploads,
            crowd(address, COUNT // 2, MANY_HOSTS, tls) as downloads,
        ):
            uploads.send(UPLOAD)
            downloads.send(DOWNLOAD)
            for _ in range(2):
                assert requests.get(url, verify=str(certificate), timeout=TIMEOUT).content == b"small"
                uploads.send(b"x")


def test_when_no_thread_is_left_the_slowest_transfers_give_way(prefix: Path, options: Options) -> None:
    settings = "server.thread_pool: 1\nserver.socket_timeout: 1\n"
    told = options(settings, "extra_threads = 2\nminimum_rate = 0\n")
    with forked_launcher(prefix, *told) as server, ExitStack() as stack:
        address = address_of(server.url)
        *slow, steady = (stack.enter_context(socket.create_connection(address, TIMEOUT)) for _ in range(3))
        for connection, file_id in zip((*slow, steady), (3, 4, 5), strict=True):
            connection.sendall(b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" % file_id)
        with dripping(slow, b"x"), dripping([steady], bytes(1000)):
            assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"
        answered, _, _ = select.select([*slow, steady], [], [], 0)
        assert len(answered) == 1
        assert answered[0] is not steady
        assert answered[0].recv(100).startswith(b"HTTP/1.1 408 ")


@contextmanager
def dripping(connections: Sequence[socket.socket], part: bytes) -> Iterator[None]:
    """Send *part* on each of the connections ten times a second, until the block is left."""
    leaving = threading.Event()

    def drip() -> None:
        while not leaving.wait(0.1):
            for connection in connections:
                with suppress(OSError):  # it may be closed
                    connection.sendall(part)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join()


def test_an_upload_that_drips_gives_its_thread_back(prefix: Path, options: Options) -> None:
    told = options("server.thread_pool: 1\nserver.socket_timeout: 1\n", "extra_threads = 0\n")
    with forked_launcher(prefix, *told) as server:
        with socket.create_connection(address_of(server.url), TIMEOUT) as slow:
            slow.sendall(UPLOAD)
            await_true(lambda: answer_after_a_byte(slow))
            check_error(all_of(slow), b"408")
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"
        assert not (prefix / "3").exists()


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 10\r\n\r\n01234",
        b"Content-Length: 10\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n012",
        b"Transfer-Encoding: chunked\r\n\r\n5",
    ],
)
def test_a_body_that_stalls_is_late_and_one_that_ends_is_short(prefix: Path, options: Options, rest: bytes) -> None:
    with forked_launcher(prefix, *options("server.socket_timeout: 1\n", "")) as server:
        for ends, status in ((False, b"408"), (True, b"400")):
            with socket.create_connection(address_of(server.url), TIMEOUT) as connection:
                connection.sendall(b"PUT /3 HTTP/1.1\r\nHost: a\r\n" + rest)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
                check_error(all_of(connection), status)
        assert not (prefix / "3").exists()


def all_of(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the *connection*."""
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


def check_error(answer: bytes, status: bytes) -> None:
    """Fail unless *answer* has that status, closes the connection, and tells no count of bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %s " % status)
    assert b"\r\nConnection: close" in head
    assert list(json.loads(body)) == ["status", "message", "traceback", "version"]


def answer_after_a_byte(connection: socket.socket) -> bool:
    """Send a byte, wait a moment, and return whether there is an answer."""
    connection.sendall(b"x")
    return bool(select.select([connection], [], [], 0.1)[0])


def test_a_download_that_drips_gives_its_thread_back(prefix: Path, options: Options) -> None:
    told = options("server.thread_pool: 1\nserver.socket_timeout: 1\n", "extra_threads = 0\nminimum_rate = 100000000\n")
    with forked_launcher(prefix, *told) as server:
        with socket.create_connection(address_of(server.url), TIMEOUT) as slow:
            slow.sendall(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"
            received = len(all_of(slow))
        assert received < len(CONTENT)


def test_one_address_has_so_many_connections(prefix: Path, options: Options) -> None:
    with (
        forked_launcher(prefix, *options(LATE, "connections_per_address = 3\n")) as server,
        ExitStack() as stack,
    ):
        address = address_of(server.url)
        first, *_ = (stack.enter_context(from_address("127.0.0.2", address)) for _ in range(3))
        with from_address("127.0.0.2", address) as refused:
            assert refused.recv(1) == b""
        assert requests.get(f"{server.url}/1", timeout=TIMEOUT).content == b"small"  # from 127.0.0.1
        first.close()
        await_true(lambda: is_answered(address))


def from_address(host: str, address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, TIMEOUT, source_address=(host, 0))


def is_answered(address: tuple[str, int]) -> bool:
    with from_address("127.0.0.2", address) as connection:
        try:
            connection.sendall(b"GET /1 HTTP/1.0\r\n\r\n")
            return connection.recv(100).startswith(b"HTTP/1.1 200 ")
        except ConnectionError:
            return False


def test_the_connection_that_waits_longest_makes_room(prefix: Path, options: Options) -> None:
    with (
        forked_launcher(prefix, *options(LATE, "waiting_connections = 3\n")) as server,
        ExitStack() as stack,
    ):
        address = address_of(server.url)
        first, second, *_ = (stack.enter_context(from_address("127.0.0.1", address)) for _ in range(4))
        assert first.recv(1) == b""
        second.sendall(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert second.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2:3:4:5", True),  # one network
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        (None, None, False),  # of a local socket
    ],
)
def test_addresses_of_one_client_are_counted_together(one: str | None, other: str | None, is_same: bool) -> None:
    clients = Clients(most=1)
    connection = object()
    assert clients.admit(one, connection)
    assert clients.admit(other, object()) is not is_same
    clients.dismiss(one, connection)
    assert clients.admit(one, object())
