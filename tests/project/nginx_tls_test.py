"""TLS by nginx, as deploy/nginx-tls.conf has it: real nginx, curl and openssl."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.project.deploy_test import Deployment, running
from tests.support.certificates import make_authority, make_certificate
from tests.support.crowd import MANY_HOSTS, crowd
from tests.support.needs import need
from tests.support.nginx import nginx_command
from tests.support.service import TIMEOUT, free_port

REQUIRED = b"400 No required SSL certificate was sent"


class Site(NamedTuple):
    """An nginx that speaks TLS on *port*; *home* has the certificates."""

    home: Path
    port: int

    def curl(self, *options: str) -> "subprocess.CompletedProcess[bytes]":
        """Run curl, which trusts the site, for file 7."""
        command = ["curl", "-sS", "--cacert", str(self.home / "ca.pem"), *options, f"https://127.0.0.1:{self.port}/7"]
        return subprocess.run(command, capture_output=True, timeout=TIMEOUT)

    def shown(self, client: str) -> list[str]:
        """Return the options of curl to show the certificate of *client*."""
        return ["--cert", str(self.home / f"{client}.pem"), "--key", str(self.home / f"{client}.key")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that asks clients for certificates; file 7 is stored."""
    need("nginx", "curl", "openssl")
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    site = Site(deployment.home, free_port())
    make_authority(site.home, "ca")
    make_authority(site.home, "stranger")
    make_certificate(site.home, "tls", "IP:127.0.0.1")
    make_certificate(site.home, "alice", "DNS:alice.example.org")
    make_certificate(site.home, "mallory", "DNS:mallory.example.org", "stranger")
    (site.home / "clients.pem").write_bytes((site.home / "ca.pem").read_bytes())
    (deployment.prefix / "7").write_bytes(b"seven")
    tls = deployment.shipped("nginx-tls.conf")
    text = tls.read_text().replace("listen 443", f"listen 127.0.0.1:{site.port}").replace("# ssl_", "ssl_")
    tls.write_text(text)
    shipped = deployment.shipped("nginx.conf")
    shipped.write_text(shipped.read_text().replace("# include /etc/nginx/nginx-tls", f"include {site.home}/nginx-tls"))
    with (
        deployment.service("pacifica-archiveinterface.service"),
        running(nginx_command(site.home, shipped), deployment.public_port, {}),
    ):
        yield site


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_versions_from_1_2_on_are_spoken(site: Site, version: str) -> None:
    ended = site.curl(*site.shown("alice"), f"--tlsv{version}", "--tls-max", version)
    assert ended.stdout == b"seven", ended.stderr


def test_500_clients_without_a_whole_handshake_delay_nobody(site: Site) -> None:
    with crowd(("127.0.0.1", site.port), hosts=MANY_HOSTS) as clients:
        for byte in b"\x16\x03\x01":
            assert site.curl(*site.shown("alice")).stdout == b"seven"
            clients.send(bytes([byte]))


def test_older_versions_are_refused(site: Site) -> None:
    options = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0", "-connect", f"127.0.0.1:{site.port}"]
    ended = subprocess.run(["openssl", "s_client", *options], input=b"", capture_output=True, timeout=TIMEOUT)
    assert ended.returncode
    assert b"alert" in ended.stderr


def test_clients_without_a_certificate_of_the_authority_are_refused(site: Site) -> None:
    assert REQUIRED in site.curl().stdout
    assert b"The SSL certificate error" in site.curl(*site.shown("mallory")).stdout
