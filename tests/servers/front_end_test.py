"""Whole files sent by the web server before the service: the client sees no difference."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import requests

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.hpss.archive import HpssBackendArchive
from pacifica.archiveinterface.exception import ConfigurationError
from pacifica.archiveinterface.http.options import HttpOptions
from pacifica.archiveinterface.web.application import make_application
from tests.project.deploy_test import Deployment
from tests.support.crowd import MANY_HOSTS, ONE_HOST, crowd
from tests.support.service import POSIX_FLAT, TIMEOUT, Backend, serving

CONTENT = os.urandom(5_000_000)
DATE = "Tue, 13 Sep 2016 22:34:19 GMT"
NAMES = ["a b", "100%", "100%25", "what?", "#1", "ä ö", "a+b", "a&b=c", "a;b", "a\\b", '"', "file.5", "new\nline"]
_OF_EACH_ANSWER = {"Date", "Connection", "Server", "X-Request-Id"}


class Pair(NamedTuple):
    """Two deployments over the same files: *sending*, whose nginx sends them, and *plain*, whose service does."""

    sending: Deployment
    plain: Deployment

    def put(self, name: str, content: bytes) -> None:
        """Store a file through the plain one."""
        headers = {"Last-Modified": DATE}
        answer = requests.put(f"{self.plain.url}/{quote(name)}", data=content, headers=headers, timeout=TIMEOUT)
        assert answer.status_code == 201

    def answers(self, method: str, path: str, headers: dict[str, str]) -> list[tuple[int, dict[str, str], bytes]]:
        """Return the answers of both, without what differs from one to the next."""
        urls = [f"{deployment.url}{path}" for deployment in self]
        found = [requests.request(method, url, headers=headers, timeout=TIMEOUT) for url in urls]
        return [(answer.status_code, _comparable(answer), answer.content) for answer in found]


def _comparable(answer: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items() if name not in _OF_EACH_ANSWER}


@pytest.fixture(
    scope="module",
    params=[
        ("nginx.conf", "pacifica-archiveinterface.service", "documented"),
        ("nginx-uwsgi.conf", "pacifica-archiveinterface-uwsgi.service", "standard"),
    ],
    ids=lambda chosen: chosen[0],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two, with each way to deploy the service behind nginx; file 7 is stored."""
    site, unit, head = request.param
    plain = Deployment(tmp_path_factory.mktemp("plain"), f"head = {head}")
    options = f"head = {head}\nsendfile = x-accel-redirect"
    sending = Deployment(tmp_path_factory.mktemp("sending"), options, plain.prefix)
    with ExitStack() as stack:
        for deployment in (plain, sending):
            stack.enter_context(deployment.service(unit))
            stack.enter_context(deployment.nginx(site))
        found = Pair(sending, plain)
        found.put("7", CONTENT)
        yield found


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Range": "bytes=10-19"},
        {"Range": "bytes=-5"},
        {"Range": "bytes=0-"},
        {"Range": "bytes=9999999-"},
        {"Range": "bytes=5-9", "If-Range": '"another"'},
        {"If-None-Match": "*"},
        {"If-None-Match": '"another"'},
        {"If-Match": "*"},
        {"If-Match": '"another"'},
        {"If-Modified-Since": DATE},
        {"If-Modified-Since": "Mon, 12 Sep 2016 22:34:19 GMT"},
        {"If-Unmodified-Since": DATE},
        {"If-Unmodified-Since": "never"},
        {"Want-Digest": "SHA-256"},
        {"Want-Repr-Digest": "sha-512=1"},
        {"Accept-Encoding": "gzip"},
    ],
    ids=str,
)
def test_the_client_sees_no_difference(pair: Pair, method: str, headers: dict[str, str]) -> None:
    sent, expected = pair.answers(method, "/7", headers)
    assert sent == expected


def test_nor_does_one_that_knows_the_tag(pair: Pair) -> None:
    tag = requests.head(f"{pair.plain.url}/7", timeout=TIMEOUT).headers["ETag"]
    for header in ("If-Match", "If-None-Match", "If-Range"):
        sent, expected = pair.answers("GET", "/7", {header: tag, "Range": "bytes=1-2"})
        assert sent == expected


@pytest.mark.parametrize("path", ["/404", "/7?byte_range=0-5000000", "/7?byte_range=3-8", "/7?x=y", "//7", "/", "/a/b"])
def test_nor_on_any_path(pair: Pair, path: str) -> None:
    sent, expected = pair.answers("GET", path, {})
    assert sent == expected


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_kinds_reach_their_files(pair: Pair, name: str) -> None:
    pair.put(name, name.encode())
    sent, expected = pair.answers("GET", f"/{quote(name)}", {})
    assert sent == expected
    assert sent[2] == name.encode()


def test_an_empty_file_is_sent(pair: Pair) -> None:
    pair.put("empty", b"")
    sent, expected = pair.answers("GET", "/empty", {})
    assert sent == expected
    assert sent[::2] == (200, b"")


def test_nginx_sends_what_the_service_only_names(pair: Pair) -> None:
    direct = requests.get(f"http://127.0.0.1:{pair.sending.port}/7", timeout=TIMEOUT)
    assert (direct.content, direct.headers["X-Accel-Redirect"]) == (b"", "/-/files/7")
    through = requests.get(f"{pair.sending.url}/7", timeout=TIMEOUT)
    assert through.content == CONTENT
    assert "X-Accel-Redirect" not in through.headers


@pytest.mark.parametrize("hosts", [ONE_HOST, MANY_HOSTS], ids=["one address", "many addresses"])
def test_500_downloads_that_nobody_reads_delay_nobody(pair: Pair, hosts: Sequence[str]) -> None:
    pair.put("large", bytes(1 << 25))
    with crowd(("127.0.0.1", pair.sending.public_port), hosts=hosts) as clients:
        clients.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert requests.get(f"{pair.sending.url}/7", timeout=TIMEOUT).content == CONTENT
        assert requests.put(f"{pair.sending.url}/quick", data=b"x", timeout=TIMEOUT).status_code == 201


def test_no_client_gets_at_the_files_themselves(pair: Pair) -> None:
    place = pair.sending.prefix / ".partial"
    place.mkdir(exist_ok=True)
    (place / "secret").write_text("secret")
    for path in (
        "/-/files/7",
        "/-/files/.partial/secret",
        "/-/files/",
        "/-/./files/7",
        "/%2d/files/7",
        "/.partial/secret",
    ):
        answer = requests.get(pair.sending.url + path, timeout=TIMEOUT)
        assert answer.status_code in (400, 404)
        assert answer.json()["status"].startswith(str(answer.status_code))
    for target in ("/-/files/.partial/secret", str(place / "secret")):
        for header in ("X-Accel-Redirect", "X-Sendfile"):
            answer = requests.get(f"{pair.sending.url}/404", headers={header: target}, timeout=TIMEOUT)
            assert answer.json()["status"] == "404 Not Found"


class _LateService(BaseHTTPRequestHandler):
    """A service whose file is no longer what it was when nginx opens it."""

    def do_GET(self) -> None:
        """Send nginx to the file of the same name."""
        self.send_response(200)
        if self.path != "/":
            self.send_header("X-Accel-Redirect", f"/-/files{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_a_file_that_is_gone_when_nginx_opens_it_is_a_json_error(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, "sendfile = x-accel-redirect")
    (tmp_path / "secret").write_text("secret")
    (deployment.prefix / "link").symlink_to(tmp_path / "secret")
    (deployment.prefix / "directory").symlink_to(tmp_path)
    (deployment.prefix / "7").write_text("stored")
    with ThreadingHTTPServer(("127.0.0.1", deployment.port), _LateService) as service:
        threading.Thread(target=service.serve_forever).start()
        try:
            with deployment.nginx("nginx.conf"):
                for path, status in {"/7": 200, "/gone": 404, "/link": 500, "/directory/secret": 404}.items():
                    answer = requests.get(deployment.url + path, timeout=TIMEOUT)
                    assert answer.status_code == status
                    assert answer.text == "stored" or answer.json()["status"].startswith(str(status))
        finally:
            service.shutdown()


def test_x_sendfile_names_the_whole_path(tmp_path: Path) -> None:
    with serving(POSIX_FLAT.make(tmp_path / "100%"), http=HttpOptions(sendfile="x-sendfile")) as service:
        service.request("PUT", "/a%20b", data=b"x")
        answer = service.request("GET", "/a%20b")
        assert answer.headers["X-Sendfile"] == quote(str(tmp_path / "100%" / "a b"))
        assert answer.headers["ETag"] == service.request("HEAD", "/a%20b").headers["ETag"]
        assert (answer.status_code, answer.content) == (200, b"")
        assert (
            service.request("GET", "/a%20b", headers={"X-Sendfile": "/etc/passwd", "Range": "bytes=0-"}).content == b"x"
        )


@pytest.mark.parametrize("chosen", ["x-sendfile", "x-accel-redirect"])
def test_what_has_to_be_hashed_is_sent_by_the_service(tmp_path: Path, chosen: str) -> None:
    http = HttpOptions(sendfile=chosen)
    with serving(POSIX_FLAT.make(tmp_path), http=http) as service:
        (tmp_path / "8").write_bytes(b"has no digest")
        assert service.request("GET", "/8").content == b"has no digest"
        assert service.request("GET", "/8").content == b""  # it has one now
    with serving(POSIX_FLAT.make(tmp_path, ArchiveOptions(verify_reads=True)), http=http) as service:
        assert service.request("GET", "/8").content == b"has no digest"


def test_a_backend_without_local_files_refuses_to_start(backend: Backend, prefix: Path) -> None:
    archive = backend.make(prefix)
    for chosen in ("x-sendfile", "x-accel-redirect"):
        http = HttpOptions(sendfile=chosen)
        if isinstance(archive, HpssBackendArchive):
            with pytest.raises(ConfigurationError, match=f"sendfile = {chosen}"):
                make_application(archive, options=http)
        else:
            make_application(archive, options=http)
