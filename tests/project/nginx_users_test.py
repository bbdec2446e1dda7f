"""Passwords that nginx checks, over TLS, as deploy/nginx-users.conf has it: real nginx before both servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest
import requests

from tests.project.deploy_test import Deployment, running
from tests.support.certificates import make_authority, make_certificate
from tests.support.needs import need
from tests.support.nginx import nginx_command
from tests.support.service import TIMEOUT, free_port

LAUNCHER = (
    "nginx.conf",
    "pacifica-archiveinterface.service",
    "proxy_header = X-Remote-User\nproxy_addresses = 127.0.0.1",
)
UWSGI = ("nginx-uwsgi.conf", "pacifica-archiveinterface-uwsgi.service", "remote_user = names")
PASSWORDS = {"alice": "correct horse", "bob": "battery staple"}


class Site(NamedTuple):
    """An nginx that speaks TLS and asks for passwords."""

    url: str
    authority: Path

    def get(self, path: str, user: str = "", password: str = "", **headers: str) -> requests.Response:
        """Ask for *path* as it is; header names have underscores here for their hyphens."""
        with requests.Session() as session:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            request = requests.Request("GET", self.url, headers=named, auth=(user, password) if user else None)
            prepared = session.prepare_request(request)
            prepared.url = self.url + path
            return session.send(prepared, timeout=TIMEOUT, verify=str(self.authority), allow_redirects=False)


@pytest.fixture(scope="module", params=[LAUNCHER, UWSGI], ids=["launcher", "uwsgi"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site where alice may read file 7."""
    need("nginx", "openssl")
    conf, unit, names = request.param
    home = tmp_path_factory.mktemp("users")
    deployment = Deployment(home, f"[auth]\nenabled = true\npermissions_file = {home}/permissions.ini\n{names}")
    (home / "permissions.ini").write_text("proxy:alice = read\n")
    hashes = {user: bcrypt.hashpw(text.encode(), bcrypt.gensalt(4)).decode() for user, text in PASSWORDS.items()}
    (home / "archive.passwords").write_text("".join(f"{user}:{hashed}\n" for user, hashed in hashes.items()))
    (deployment.prefix / "7").write_bytes(b"seven")
    make_authority(home, "ca")
    make_certificate(home, "tls", "IP:127.0.0.1")
    port = free_port()
    for name in (conf, "nginx-tls.conf", "nginx-users.conf"):
        copy = deployment.shipped(name)
        text = copy.read_text().replace("listen 443", f"listen 127.0.0.1:{port}").replace("/etc/nginx/", f"{home}/")
        for part in ("tls", "users"):
            text = text.replace(f"# include {home}/nginx-{part}.conf", f"include {home}/nginx-{part}.conf")
        copy.write_text(text.replace("include uwsgi_params", "include /etc/nginx/uwsgi_params"))
    # nginx asks for a user everywhere but here.
    with deployment.service(unit), running(nginx_command(home, home / conf), deployment.public_port, {}, "/-/health"):
        yield Site(f"https://127.0.0.1:{port}", home / "ca.pem")


def test_a_user_reads_with_the_password(site: Site) -> None:
    assert site.get("/7", "alice", PASSWORDS["alice"]).content == b"seven"


def test_without_the_password_nothing_is_read(site: Site) -> None:
    for user, password in (("", ""), ("alice", ""), ("alice", "wrong"), ("alice", PASSWORDS["bob"]), ("eve", "x")):
        answer = site.get("/7", user, password)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="archive"'


def test_a_user_without_the_permission_is_refused_by_the_service(site: Site) -> None:
    answer = site.get("/7", "bob", PASSWORDS["bob"])
    assert answer.status_code == 403
    assert "read" in answer.json()["message"]


@pytest.mark.parametrize("name", ["X_Remote_User", "Remote_User"])
def test_a_client_cannot_give_a_name_itself(site: Site, name: str) -> None:
    assert site.get("/7", **{name: "alice"}).status_code == 401
    assert site.get("/7", "bob", PASSWORDS["bob"], **{name: "alice"}).status_code == 403


def test_load_balancers_need_no_user(site: Site) -> None:
    assert site.get("/-/health").json() == {"status": "ok"}
    assert site.get("/-/health", "alice", "wrong").json() == {"status": "ok"}


@pytest.mark.parametrize(
    "path", ["/-/health/../../7", "//7", "/./7", "/%37", "/7?/-/health", "/7/../-/health", "/-//health", "/-/health/7"]
)
def test_no_spelling_of_a_path_needs_no_password(site: Site, path: str) -> None:
    for user in ("", "alice"):  # the second with a name that nobody has checked
        answer = site.get(path, user, "wrong")
        assert answer.status_code in (400, 401, 404) or answer.json() == {"status": "ok"}  # what needs none
        assert b"seven" not in answer.content
