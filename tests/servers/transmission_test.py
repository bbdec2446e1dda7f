"""Files that the kernel sends: the same bytes as ever, and a client that stalls is given up."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from pacifica.archiveinterface.http.server_calls import TRANSMITTED_FROM
from tests.servers.launcher_test import begin_download
from tests.support.certificates import make_self_signed
from tests.support.forked import forked_launcher
from tests.support.needs import need, refuse_or_skip
from tests.support.processes import UWSGI, Server, uwsgi
from tests.support.service import TIMEOUT, await_service, free_port
from tests.support.tracing import require_tracing, traced

CONTENT = os.urandom(1 << 25)
ONE_WORKER = ("--processes", "1", "--enable-threads")

Run = Callable[..., AbstractContextManager[Server]]


@contextmanager
def _one_thread(prefix: Path, patience: int = 60) -> Iterator[Server]:
    """Run the launcher, which gives up on a client after *patience* seconds, with a single thread."""
    settings = prefix.parent / "server.conf"
    settings.write_text(f"[global]\nserver.thread_pool: 1\nserver.socket_timeout: {patience}\n")
    with forked_launcher(prefix, "--cherrypy-config", str(settings)) as server:
        yield server


@contextmanager
def _one_worker(prefix: Path, patience: int = 60) -> Iterator[Server]:
    """Run uWSGI with a single worker, as `_one_thread` does."""
    with uwsgi(prefix, *ONE_WORKER, "--socket-timeout", str(patience)) as server:
        server.pid = _child_of(server.pid)
        yield server


@pytest.fixture(params=[_one_thread, _one_worker], ids=["launcher", "uWSGI"])
def run(request: pytest.FixtureRequest) -> Run:
    """Each server that transmits files; its *pid* is that of the process that does."""
    chosen: Run = request.param
    return chosen


class Kept(NamedTuple):
    """A server that has CONTENT as file 7, and where its files are."""

    server: Server
    prefix: Path


@pytest.fixture(scope="module", params=[_one_thread, _one_worker], ids=["launcher", "uWSGI"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Each server, for the tests that leave it as it was."""
    prefix = tmp_path_factory.mktemp("kept") / "archive"
    prefix.mkdir()
    with request.param(prefix) as server:
        requests.put(f"{server.url}/7", data=CONTENT, timeout=TIMEOUT)
        yield Kept(server, prefix)


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _sent_by_the_kernel(server: Server, path: str, headers: dict[str, str]) -> tuple[bytes, int]:
    """Return the body of the answer and how many bytes of it sendfile() has sent."""
    with traced(server.pid, ["sendfile"]) as trace:
        body = requests.get(server.url + path, headers=headers, timeout=TIMEOUT).content
        # The client may have all bytes before the call is traced; the same thread answers this one after that.
        requests.get(server.url, timeout=TIMEOUT)
    counts = [call.text.rpartition("= ")[2].split()[0] for call in trace.calls]
    return body, sum(int(count) for count in counts if count.isdigit())


def _is_open(server: Server, name: str) -> bool:
    return any(os.path.basename(link) == name for link in _links(server.pid))


def _links(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(descriptor)
        except FileNotFoundError:
            continue


def _await_closed(server: Server, name: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while _is_open(server, name):
        assert time.monotonic() < deadline, "the file is still open"
        time.sleep(0.05)


def _rest_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 20), b""))


PARTS: list[tuple[str, dict[str, str], bytes]] = [
    ("/7", {}, CONTENT),
    ("/7", {"Range": "bytes=5-"}, CONTENT[5:]),
    ("/7", {"Range": "bytes=-1000000"}, CONTENT[-1000000:]),
    ("/7?byte_range=1000000-9000000", {}, CONTENT[1000000:9000000]),
]


def test_the_kernel_sends_a_file_and_any_part_of_it(kept: Kept) -> None:
    require_tracing()
    for path, headers, expected in PARTS:
        assert _sent_by_the_kernel(kept.server, path, headers) == (expected, len(expected))


def test_small_parts_several_and_what_is_hashed_pass_through_python(kept: Kept) -> None:
    require_tracing()
    (kept.prefix / "8").write_bytes(CONTENT)  # without a digest
    small = f"bytes=10-{TRANSMITTED_FROM + 8}"
    assert _sent_by_the_kernel(kept.server, "/7", {"Range": small}) == (CONTENT[10 : TRANSMITTED_FROM + 9], 0)
    assert _sent_by_the_kernel(kept.server, "/7", {"Range": "bytes=0-1000000,2000000-3000000"})[1] == 0
    assert _sent_by_the_kernel(kept.server, "/8", {}) == (CONTENT, 0)


def test_a_file_system_without_sendfile_is_read(kept: Kept) -> None:
    require_tracing()
    server = kept.server
    with traced(server.pid, ["sendfile"], "sendfile:error=EINVAL") as trace:
        answer = requests.get(f"{server.url}/7", headers={"Range": "bytes=5-20000000"}, timeout=TIMEOUT)
    assert answer.content == CONTENT[5:20000001]
    assert trace.hit


def test_an_error_of_the_storage_breaks_the_answer_off(kept: Kept) -> None:
    require_tracing()
    server = kept.server
    with (
        traced(server.pid, ["sendfile"], "sendfile:error=EIO"),
        pytest.raises(requests.RequestException, match="IncompleteRead"),
    ):
        requests.get(f"{server.url}/7", timeout=TIMEOUT)
    _await_closed(server, "7")
    assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == CONTENT


def test_a_file_that_shrinks_breaks_the_answer_off(run: Run, prefix: Path) -> None:
    with run(prefix) as server:
        requests.put(f"{server.url}/7", data=CONTENT, timeout=TIMEOUT)
        with begin_download(server, 7) as download:
            (prefix / "7").chmod(0o644)
            os.truncate(prefix / "7", 1 << 20)
            assert len(_rest_of(download)) < len(CONTENT)
        _await_closed(server, "7")
        assert "/7 ended" in server.stderr


def test_a_download_finishes_with_the_bytes_it_began_with(run: Run, prefix: Path) -> None:
    with forked_launcher(prefix) as other, run(prefix) as server:
        requests.put(f"{server.url}/7", data=CONTENT, timeout=TIMEOUT)
        with begin_download(server, 7) as download:
            requests.put(f"{other.url}/7", data=CONTENT[::-1], timeout=TIMEOUT)
            assert _whole_body_of(download) == CONTENT


def _whole_body_of(download: socket.socket) -> bytes:
    body = b""
    while not body.endswith(CONTENT[-100:]):
        block = download.recv(1 << 20)
        assert block, "the connection broke"
        body += block
    return body.partition(b"\r\n\r\n")[2]


def test_a_client_that_stalls_is_given_up(run: Run, prefix: Path) -> None:
    with run(prefix, patience=1) as server:
        requests.put(f"{server.url}/7", data=CONTENT, timeout=TIMEOUT)
        with begin_download(server, 7) as download:
            _await_closed(server, "7")
            assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == CONTENT
            assert len(_rest_of(download)) < len(CONTENT)


def test_a_client_that_leaves_is_forgotten(kept: Kept) -> None:
    server = kept.server
    before = sorted(_links(server.pid))
    for _ in range(20):
        begin_download(server, 7).close()
    _await_closed(server, "7")
    assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == CONTENT
    assert len(list(_links(server.pid))) <= len(before) + 1  # a connection kept alive


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of this host with its key, in one file; requests trust it."""
    path = tmp_path / "certificate.pem"
    make_self_signed(path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    return path


def test_nothing_goes_past_tls(prefix: Path, certificate: Path) -> None:
    settings = prefix.parent / "server.conf"
    options = {"module": "builtin", "certificate": str(certificate), "private_key": str(certificate)}
    settings.write_text("[global]\n" + "".join(f"server.ssl_{key}: {value!r}\n" for key, value in options.items()))
    with forked_launcher(prefix, "--cherrypy-config", str(settings)) as server:
        requests.put(f"{server.url}/7", data=CONTENT, timeout=TIMEOUT)
        assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == CONTENT


def test_uwsgi_sends_over_its_own_tls(prefix: Path, certificate: Path) -> None:
    need(UWSGI)
    if (
        "--https-socket"
        not in subprocess.run([UWSGI, "--help"], capture_output=True, text=True, timeout=TIMEOUT).stdout
    ):
        refuse_or_skip("uWSGI was built without TLS")
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    command = [UWSGI, "--https-socket", f"127.0.0.1:{port},{certificate},{certificate}", "--enable-threads"]
    command += ["--module", "pacifica.archiveinterface.wsgi"]
    environment = {**os.environ, "PAI_PREFIX": str(prefix), "HOME": "/nonexistent"}
    with subprocess.Popen(command, env=environment) as process:
        try:
            await_service(process, url)
            requests.put(f"{url}/7", data=CONTENT, headers={"Expect": "100-continue"}, timeout=TIMEOUT)
            assert requests.get(f"{url}/7", timeout=TIMEOUT).content == CONTENT
            several = requests.get(f"{url}/7", headers={"Range": "bytes=0-1,5-"}, timeout=TIMEOUT)
            assert CONTENT[5:] in several.content
        finally:
            process.kill()
