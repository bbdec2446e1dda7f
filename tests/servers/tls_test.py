"""The launcher with TLS: versions, client certificates, renewal, and clients that do not go on with the handshake."""

import io
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cherrypy
import pytest
import requests

from pacifica.archiveinterface.servers.launcher import ArchiveServer
from pacifica.archiveinterface.servers.options import LauncherOptions
from tests.support.certificates import make_authority, make_certificate
from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.needs import need
from tests.support.processes import Server
from tests.support.service import at_work
from tests.support.waiting import TIMEOUT, await_true

CONTENT = os.urandom(3_000_000)
SETTINGS = """[global]
server.ssl_certificate: '{path}/{name}.pem'
server.ssl_private_key: '{path}/{name}.key'
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with those of two authorities, of the server, and of clients that the two have certified."""
    need("openssl", "curl")
    path = tmp_path_factory.mktemp("certificates")
    for authority, client in (("ca", "alice"), ("stranger", "mallory")):
        make_authority(path, authority)
        make_certificate(path, client, f"DNS:{client}.example.org", authority, f"/O=Example/CN={client}")
    make_certificate(path, "server", "IP:127.0.0.1")
    return path


@pytest.fixture(scope="module")
def server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A launcher with TLS; file 7 is stored."""
    settings = certificates / "server.conf"
    settings.write_text(SETTINGS.format(path=certificates, name="server"))
    with forked_launcher(tmp_path_factory.mktemp("archive"), "--cherrypy-config", str(settings)) as running:
        assert requests.put(f"{running.url}/7", data=CONTENT, verify=ca(certificates)).status_code == 201
        yield running


def ca(certificates: Path) -> str:
    return str(certificates / "ca.pem")


def address_of(url: str) -> tuple[str, int]:
    host, port = url.partition("://")[2].split(":")
    return host, int(port)


@contextmanager
def connected(url: str, certificates: Path) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=ca(certificates))
    plain = socket.create_connection(address_of(url), TIMEOUT)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_files_are_stored_and_read_in_all_ways(server: Server, certificates: Path) -> None:
    with requests.Session() as client:
        client.verify, client.trust_env = ca(certificates), False
        chunks = iter([CONTENT[:1_000_000], CONTENT[1_000_000:]])
        assert client.put(f"{server.url}/8", data=chunks).status_code == 201
        assert client.get(f"{server.url}/8").content == CONTENT
        assert client.get(f"{server.url}/7", headers={"Range": "bytes=5-500000"}).content == CONTENT[5:500_001]
        assert client.head(f"{server.url}/7").status_code == 204
        assert client.delete(f"{server.url}/8").status_code == 200
        assert client.get(f"{server.url}/8").json()["status"] == "404 Not Found"


def test_curl_is_asked_for_the_body_when_it_waits_for_that(server: Server, certificates: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    options = ["--cacert", ca(certificates), "--expect100-timeout", str(TIMEOUT), "-H", "Expect: 100-continue"]
    command = ["curl", "-sv", *options, "-T", str(tmp_path / "file"), f"{server.url}/9"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert "HTTP/1.1 100 Continue" in ended.stderr
    assert json.loads(ended.stdout)["total_bytes"] == str(len(CONTENT))


def test_requests_may_come_in_one_record_or_in_many(server: Server, certificates: Path) -> None:
    first = b"GET /7 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3\r\n\r\n"
    last = b"GET /7 HTTP/1.1\r\nHost: a\r\nRange: bytes=4-7\r\nConnection: close\r\n\r\n"
    with connected(server.url, certificates) as connection:
        for byte in first:
            connection.sendall(bytes([byte]))
        connection.sendall(first + last)
        answers = received(connection)
    assert answers.count(b"\r\n\r\n" + CONTENT[:4]) == 2
    assert answers.endswith(CONTENT[4:8])


def test_an_answer_ends_with_the_end_of_tls(server: Server, certificates: Path) -> None:
    context = ssl.create_default_context(cafile=ca(certificates))
    with socket.create_connection(address_of(server.url), TIMEOUT) as plain:
        connection = context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        connection.sendall(b"GET /7 HTTP/1.0\r\n\r\n")
        assert received(connection).endswith(CONTENT)  # SSLEOFError without close_notify
        connection.close()


def test_a_client_without_tls_is_told(server: Server) -> None:
    answer = requests.get(server.url.replace("https", "http"), timeout=TIMEOUT)
    assert answer.status_code == 400
    assert "https" in answer.json()["message"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_versions_from_1_2_on_are_spoken(server: Server, certificates: Path, version: str) -> None:
    options = [f"--tlsv{version}", "--tls-max", version, "--cacert", ca(certificates), "-r", "0-3"]
    ended = subprocess.run(["curl", "-sS", *options, f"{server.url}/7"], capture_output=True, timeout=TIMEOUT)
    assert ended.stdout == CONTENT[:4], ended.stderr


@pytest.mark.parametrize("version", ["tls1", "tls1_1"])
def test_older_versions_are_refused(server: Server, version: str) -> None:
    host, port = address_of(server.url)
    # The client itself refuses them at its usual level of security.
    options = [f"-{version}", "-cipher", "DEFAULT@SECLEVEL=0", "-connect", f"{host}:{port}"]
    ended = subprocess.run(["openssl", "s_client", *options], input=b"", capture_output=True, timeout=TIMEOUT)
    assert ended.returncode
    assert b"alert protocol version" in ended.stderr


SILENT = {"nothing": b"", "half of a hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"}


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT)
def test_clients_that_do_not_shake_hands_delay_nobody(server: Server, certificates: Path, sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(120):  # more than there are threads
            stack.enter_context(socket.create_connection(address_of(server.url), TIMEOUT)).sendall(sent)
        assert requests.get(f"{server.url}/7", verify=ca(certificates), timeout=TIMEOUT).content == CONTENT


class Asked:
    """A server that answers with the WSGI environment."""

    def __init__(self, url: str, certificates: Path) -> None:
        self._url, self._certificates = url, certificates

    def environ(self, client: str | None) -> dict[str, str]:
        """Return the environment of a request of *client*, which shows its certificate."""
        shown = (f"{self._certificates}/{client}.pem", f"{self._certificates}/{client}.key") if client else None
        answer = requests.get(self._url, verify=ca(self._certificates), cert=shown, timeout=TIMEOUT)
        found: dict[str, str] = answer.json()
        return found


def environ_of(environ: dict[str, Any], start_response: Callable[..., Any]) -> io.BytesIO:
    start_response("200 OK", [("Content-Type", "application/json")])
    return io.BytesIO(json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode())


@contextmanager
def asking(certificates: Path, mode: str) -> Iterator[Asked]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cherrypy.server, "socket_port", 0)
        patch.setattr(cherrypy.server, "ssl_certificate", f"{certificates}/server.pem")
        patch.setattr(cherrypy.server, "ssl_private_key", f"{certificates}/server.key")
        options = LauncherOptions(tls_client_ca=ca(certificates), tls_client_certificates=mode)
        server = ArchiveServer(environ_of, options, drain_seconds=5)
    with at_work(server):
        yield Asked(f"https://127.0.0.1:{server.bind_addr[1]}/", certificates)


def test_the_application_knows_the_client_by_its_certificate(certificates: Path) -> None:
    with asking(certificates, "required") as asked:
        environ = asked.environ("alice")
    assert environ["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert environ["SSL_CLIENT_S_DN"] == "O=Example,CN=alice"
    assert environ["SSL_CLIENT_SAN_DNS_0"] == "alice.example.org"
    assert environ["SSL_CLIENT_CERT"] == (certificates / "alice.pem").read_text().strip()
    assert environ["wsgi.url_scheme"] == "https"


def test_a_certificate_is_required_or_optional(certificates: Path) -> None:
    with asking(certificates, "required") as asked, pytest.raises(requests.exceptions.RequestException):
        asked.environ(None)
    with asking(certificates, "optional") as asked:
        assert asked.environ(None)["SSL_CLIENT_VERIFY"] == "NONE"
        assert asked.environ("alice")["SSL_CLIENT_S_DN_CN"] == "alice"


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_a_certificate_of_another_authority_is_refused(certificates: Path, mode: str) -> None:
    with asking(certificates, mode) as asked, pytest.raises(requests.exceptions.RequestException):
        asked.environ("mallory")


@pytest.mark.parametrize(
    ("chain", "authority", "named"),
    [
        ("", "/nowhere/ca.pem", "tls_client_ca"),
        ("", "{path}/alice.key", "tls_client_ca"),
        ("server.ssl_certificate_chain: '{path}/ca.pem'\n", "{path}/ca.pem", "server.ssl_certificate_chain"),
    ],
)
def test_a_wrong_setting_of_client_certificates_ends_the_start(
    certificates: Path, tmp_path: Path, chain: str, authority: str, named: str
) -> None:
    config, settings = tmp_path / "config.ini", tmp_path / "server.conf"
    config.write_text(f"[launcher]\ntls_client_ca = {authority.format(path=certificates)}\n")
    settings.write_text((SETTINGS + chain).format(path=certificates, name="server"))
    said = refusal_of_main("-p", "0", "-c", str(config), "--cherrypy-config", str(settings), "--prefix", str(tmp_path))
    assert named in said


def test_a_certificate_is_renewed_without_a_broken_connection(certificates: Path, tmp_path: Path) -> None:
    make_certificate(certificates, "renewed", "IP:127.0.0.1")
    for kind in ("pem", "key"):
        (tmp_path / f"site.{kind}").write_bytes((certificates / f"server.{kind}").read_bytes())
    settings = tmp_path / "server.conf"
    settings.write_text(SETTINGS.format(path=tmp_path, name="site"))
    (tmp_path / "archive").mkdir()
    options = ("--processes", "1", "--cherrypy-config", str(settings))
    with forked_launcher(tmp_path / "archive", *options) as server, connected(server.url, certificates) as upload:
        upload.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
        for kind in ("pem", "key"):
            (tmp_path / f"site.{kind}").write_bytes((certificates / f"renewed.{kind}").read_bytes())
        server.process.send_signal(signal.SIGHUP)
        await_true(lambda: name_of_server(server.url, certificates) == "renewed")
        upload.sendall(b"56789")
        assert b"HTTP/1.1 201 " in received(upload)


def name_of_server(url: str, certificates: Path) -> str:
    with connected(url, certificates) as connection:
        certificate: dict[str, Any] = connection.getpeercert() or {}
        return str(certificate["subject"][0][0][1])
