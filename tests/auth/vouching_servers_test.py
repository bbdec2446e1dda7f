"""Certificates and reverse proxies with real servers: the launcher, uWSGI and nginx, asked by curl."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest

from pacifica.archiveinterface.auth.files.tokens import new_token
from tests.auth.site import OURS, running_issuer
from tests.support.certificates import make_authority, make_certificate
from tests.support.forked import forked_launcher
from tests.support.issuer import KEYS, Issuer
from tests.support.needs import need
from tests.support.nginx import nginx_command
from tests.support.processes import Server, uwsgi
from tests.support.service import await_service, free_port
from tests.support.waiting import TIMEOUT

SETTINGS = """[global]
server.ssl_certificate: '{home}/server.pem'
server.ssl_private_key: '{home}/server.key'
"""
CONFIG = """[auth]
enabled = true
permissions_file = {home}/permissions
token_file = {home}/tokens
issuers_file = {home}/issuers.ini
client_certificates = names
{more}
[launcher]
tls_client_ca = {home}/ca.pem
tls_client_certificates = optional
"""
PERMISSIONS = """certificate:CN=alice,O=Example = read
proxy:alice = read
proxy:bob = write
robot = poll
"""
# nginx is a proxy at 127.0.0.2, its clients are at 127.0.0.1 like all others.
SITE = """
server {{
    listen 127.0.0.1:{to_launcher};
    auth_basic archive;
    auth_basic_user_file {home}/users;
    location / {{
        proxy_pass {launcher};
        proxy_bind 127.0.0.2;
        proxy_set_header X-Remote-User $remote_user;
    }}
    location /-/ {{
        auth_basic off;
        proxy_pass {launcher};
    }}
}}
server {{
    listen 127.0.0.1:{to_uwsgi};
    auth_basic archive;
    auth_basic_user_file {home}/users;
    location / {{
        include uwsgi_params;
        uwsgi_pass unix:{home}/uwsgi.sock;
        uwsgi_param REMOTE_USER $remote_user;
    }}
}}
server {{
    listen 127.0.0.1:{with_tls} ssl;
    ssl_certificate {home}/server.pem;
    ssl_certificate_key {home}/server.key;
    ssl_client_certificate {home}/ca.pem;
    ssl_verify_client optional_no_ca;
    location / {{
        include uwsgi_params;
        uwsgi_pass unix:{home}/uwsgi.sock;
        uwsgi_param SSL_CLIENT_VERIFY $ssl_client_verify;
        uwsgi_param SSL_CLIENT_CERT $ssl_client_raw_cert;
    }}
}}
"""
UWSGI_PARAMS = """
uwsgi_param QUERY_STRING $query_string;
uwsgi_param REQUEST_METHOD $request_method;
uwsgi_param CONTENT_TYPE $content_type;
uwsgi_param CONTENT_LENGTH $content_length;
uwsgi_param REQUEST_URI $request_uri;
uwsgi_param PATH_INFO $document_uri;
uwsgi_param SERVER_PROTOCOL $server_protocol;
uwsgi_param REMOTE_ADDR $remote_addr;
uwsgi_param SERVER_PORT $server_port;
uwsgi_param SERVER_NAME $server_name;
"""


class Site(NamedTuple):
    """The files that all servers share: certificates, and what [auth] names; *token* is one of robot's."""

    home: Path
    token: str
    issuer: Issuer

    def curl(self, url: str, *options: str, client: str = "") -> tuple[int, str]:
        """Ask for file 7 as *client*, who has a certificate; return the status and the content of the answer."""
        shown = ["--cert", f"{self.home}/{client}.pem", "--key", f"{self.home}/{client}.key"] if client else []
        command = [
            "curl",
            "-sS",
            "--cacert",
            f"{self.home}/ca.pem",
            "-w",
            "\n%{http_code}",
            *shown,
            *options,
            f"{url}/7",
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        body, _, status = ended.stdout.rpartition("\n")
        return int(status), body

    def config(self, name: str, more: str = "") -> dict[str, str]:
        """Return the environment of a service with *more* options in [auth]."""
        path = self.home / f"{name}.ini"
        path.write_text(CONFIG.format(home=self.home, more=more))
        return {"ARCHIVEINTERFACE_CONFIG": str(path)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Alice has a certificate of the authority of the site, mallory one of another for the same subject."""
    need("curl", "openssl")
    home = tmp_path_factory.mktemp("site")
    make_authority(home, "ca")
    make_authority(home, "stranger")
    make_certificate(home, "server", "IP:127.0.0.1")
    make_certificate(home, "alice", "DNS:a.example.org", subject="/O=Example/CN=alice")
    make_certificate(home, "mallory", "DNS:a.example.org", "stranger", subject="/O=Example/CN=alice")
    (home / "permissions").write_text(PERMISSIONS)
    token, text = new_token("robot", None)
    (home / "tokens").write_text(f"{token.line()}\n")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (home / "users").write_text(f"alice:{hashed}\nbob:{hashed}\n")
    (home / "archive").mkdir()
    (home / "archive" / "7").write_bytes(b"seven")
    with running_issuer() as issuer:
        section = f"[{issuer.url}]\naudience = {OURS}\npermissions = read\n"
        (home / "issuers.ini").write_text(section)
        yield Site(home, text, issuer)


@pytest.fixture(scope="module")
def tls(site: Site) -> Iterator[Server]:
    """A launcher with TLS, which asks clients for certificates."""
    settings = site.home / "server.conf"
    settings.write_text(SETTINGS.format(home=site.home))
    with forked_launcher(site.home / "archive", "--cherrypy-config", str(settings), env=site.config("tls")) as running:
        yield running


PROXY = "proxy_header = X-Remote-User\nproxy_addresses = 127.0.0.2 127.0.0.3"


@pytest.fixture(scope="module")
def behind_proxy(site: Site) -> Iterator[Server]:
    """A launcher that takes names from proxies."""
    with forked_launcher(site.home / "archive", env=site.config("launcher", PROXY)) as running:
        yield running


@pytest.fixture(scope="module")
def uwsgi_server(site: Site) -> Iterator[Server]:
    """A uWSGI that takes names from proxies, from certificates, and from its own protocol."""
    config = site.config("uwsgi", f"{PROXY}\nremote_user = names")
    options = ["--uwsgi-socket", f"{site.home}/uwsgi.sock", "--buffer-size", "12288"]
    with uwsgi(site.home / "archive", *options, env=config) as running:
        yield running


@pytest.fixture(params=["launcher", "uwsgi"])
def direct(request: pytest.FixtureRequest, behind_proxy: Server, uwsgi_server: Server) -> str:
    """The URL of a server that speaks HTTP and takes names from proxies."""
    return behind_proxy.url if request.param == "launcher" else uwsgi_server.url


def test_the_launcher_knows_a_client_by_its_certificate(site: Site, tls: Server) -> None:
    assert site.curl(tls.url, client="alice") == (200, "seven")
    assert site.curl(tls.url, "-T", f"{site.home}/users", client="alice")[0] == 403
    assert site.curl(tls.url)[0] == 401


def test_the_certificate_of_another_authority_is_refused(site: Site, tls: Server) -> None:
    assert site.curl(tls.url, client="mallory")[0] == 0


FORGED = [
    "SSL-Client-Verify: SUCCESS",
    "SSL_CLIENT_VERIFY: SUCCESS",
    "SSL_CLIENT_CERT: x",
    "X-SSL-Client-S-DN: CN=alice,O=Example",
]


def test_no_header_is_a_certificate(site: Site, tls: Server, direct: str) -> None:
    forged = [word for header in FORGED for word in ("-H", header)]
    assert site.curl(tls.url, *forged)[0] == 401
    assert site.curl(direct, *forged)[0] == 401


def test_a_token_goes_before_a_certificate(site: Site, tls: Server) -> None:
    bearer = ["-H", f"Authorization: Bearer {site.token}"]
    status, content = site.curl(tls.url, *bearer, client="alice")
    assert (status, "read" in content) == (403, True)
    assert site.curl(tls.url, "-H", "Authorization: Bearer pai_wrong", client="alice")[0] == 401


def test_signed_tokens_are_verified(site: Site, direct: str) -> None:
    for _ in range(8):  # each of the worker processes fetches the keys for itself
        good, wrong = site.issuer.token(scope="storage.read:/7"), site.issuer.token(header={"kid": "unknown"})
        assert site.curl(direct, "-H", f"Authorization: Bearer {good}") == (200, "seven")
        assert site.curl(direct, "-H", f"Authorization: Bearer {wrong}")[0] == 401
    assert site.issuer.asked[KEYS] <= 2 * 5


def test_a_proxy_names_the_user(site: Site, direct: str) -> None:
    for address in ("127.0.0.2", "127.0.0.3"):
        assert site.curl(direct, "--interface", address, "-H", "X-Remote-User: alice") == (200, "seven")
        assert site.curl(direct, "--interface", address, "-H", "X-Remote-User: bob")[0] == 403
        assert site.curl(direct, "--interface", address)[0] == 401


def test_nobody_else_names_the_user(site: Site, direct: str) -> None:
    for address in ("127.0.0.1", "127.0.0.4"):
        status, content = site.curl(direct, "--interface", address, "-H", "X-Remote-User: alice")
        assert (status, "X-Remote-User" in content) == (400, True)
        bearer = ["-H", f"Authorization: Bearer {site.token}"]
        assert site.curl(direct, "--interface", address, *bearer, "-H", "X-Remote-User: alice")[0] == 400


@pytest.mark.parametrize("names", [["alice", "bob"], ["bob", "alice"], ["alice", "alice"], ["alice", ""]])
def test_a_name_that_was_sent_twice_is_refused(site: Site, direct: str, names: list[str]) -> None:
    headers = [word for name in names for word in ("-H", f"X-Remote-User: {name}" if name else "X-Remote-User;")]
    assert site.curl(direct, "--interface", "127.0.0.2", *headers)[0] == 400


def test_an_underscore_gives_no_name(site: Site, direct: str) -> None:
    assert site.curl(direct, "-H", "X_Remote_User: alice")[0] in (400, 401)
    both = ["-H", "X-Remote-User: bob", "-H", "X_Remote_User: alice"]
    assert site.curl(direct, "--interface", "127.0.0.2", *both)[0] in (400, 403)
    assert site.curl(direct, "-H", "Remote-User: alice", "-H", "REMOTE_USER: alice")[0] == 401


class Nginx(NamedTuple):
    """The URLs of its three servers."""

    to_launcher: str
    to_uwsgi: str
    with_tls: str


@pytest.fixture(scope="module")
def nginx(site: Site, behind_proxy: Server, uwsgi_server: Server) -> Iterator[Nginx]:
    """An nginx that checks passwords or certificates, before the launcher and before uWSGI's own protocol."""
    need("nginx")
    to_launcher, to_uwsgi, with_tls = (free_port() for _ in range(3))
    (site.home / "uwsgi_params").write_text(UWSGI_PARAMS)
    conf = site.home / "site.conf"
    conf.write_text(
        SITE.format(
            home=site.home, launcher=behind_proxy.url, to_launcher=to_launcher, to_uwsgi=to_uwsgi, with_tls=with_tls
        )
    )
    process = subprocess.Popen(nginx_command(site.home, conf))
    try:
        plain = [f"http://127.0.0.1:{port}" for port in (to_launcher, to_uwsgi)]
        nginx = Nginx(plain[0], plain[1], f"https://127.0.0.1:{with_tls}")
        await_service(process, f"{nginx.to_launcher}/-/health")
        yield nginx
    finally:
        process.terminate()
        process.wait(TIMEOUT)


@pytest.fixture(params=["to_launcher", "to_uwsgi"])
def front(request: pytest.FixtureRequest, nginx: Nginx) -> str:
    """The URL of nginx with passwords."""
    return str(getattr(nginx, request.param))


def test_nginx_names_whom_it_has_authenticated(site: Site, front: str) -> None:
    assert site.curl(front, "-u", "alice:secret") == (200, "seven")
    assert site.curl(front, "-u", "bob:secret")[0] == 403


def test_nginx_replaces_the_name_that_a_client_sends(site: Site, nginx: Nginx) -> None:
    forged = ["-H", "X-Remote-User: alice", "-H", "X_Remote_User: alice", "-H", "Remote-User: alice"]
    assert site.curl(nginx.to_launcher, "-u", "bob:secret", *forged)[0] == 403


def test_a_header_through_uwsgi_s_own_protocol_gives_no_name(site: Site, nginx: Nginx) -> None:
    # REMOTE_ADDR is that of the client there, who may sit on the host of a proxy.
    proxied = ["--interface", "127.0.0.2", "-u", "bob:secret"]
    assert site.curl(nginx.to_uwsgi, *proxied, "-H", "X-Remote-User: alice")[0] == 400
    assert site.curl(nginx.to_uwsgi, *proxied, "-H", "Remote-User: alice")[0] == 403


def test_nginx_passes_certificates_on_to_uwsgi(site: Site, nginx: Nginx) -> None:
    assert site.curl(nginx.with_tls, client="alice") == (200, "seven")
    assert site.curl(nginx.with_tls, client="mallory")[0] == 401
    assert site.curl(nginx.with_tls)[0] == 401
