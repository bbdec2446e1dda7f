"""Connections to a database server that wants TLS, with certificates of a private authority."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.backends.oracle_hsm_sideband.orm import SamVersion
from pacifica.archiveinterface.connections import DatabaseUnavailableError
from pacifica.archiveinterface.database import connections_to
from pacifica.archiveinterface.exception import ConfigurationError
from tests.backends.oracle_hsm_sideband.stand import FILE, standing
from tests.samqfs_emulator.host import READER, READER_PASSWORD, SCHEMA, HsmHost
from tests.support.certificates import make_authority, make_certificate
from tests.support.mariadb import MariaDB
from tests.support.needs import need

ANSWERED, SILENT = (18, 18), (18, 0)  # the database knows of the archive copy


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificates")
    for authority in ("ca", "stranger"):
        make_authority(path, authority)
    make_certificate(path, "server", "IP:127.0.0.1")
    make_certificate(path, "client", "DNS:archive.example.org")
    return path


@pytest.fixture(scope="module")
def guarded(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HsmHost]:
    """A host with one archived file, whose database refuses connections without TLS."""
    need("mariadbd")
    root = tmp_path_factory.mktemp("guarded")
    files = {"ca": "ca.pem", "cert": "server.pem", "key": "server.key"}
    server = MariaDB(root / "server", [f"--ssl-{what}={certificates / name}" for what, name in files.items()])
    server.start()
    try:
        host = HsmHost(root / "sam", server)
        with standing(host) as stand:
            stand.archive()
        server.execute("SET GLOBAL require_secure_transport = ON")
        server.create_account("known", READER_PASSWORD, f"SELECT ON {SCHEMA}.*", require="X509")
        server.create_account(READER, READER_PASSWORD, f"SELECT ON {SCHEMA}.*", host="localhost")
        yield host
    finally:
        server.stop()


def archive_of(at: HsmHost, **options: Any) -> HsmSidebandBackendArchive:
    options = {"residency": "database", **options}
    return HsmSidebandBackendArchive(str(at.filesystem.mount), options=at.options(**options))


def levels_of(at: HsmHost, **options: Any) -> tuple[int, ...]:
    return tuple(archive_of(at, **options).file(FILE).status().bytes_per_level)


@pytest.mark.parametrize(
    ("host", "tls", "authority", "expected"),
    [
        ("127.0.0.1", "off", "", SILENT),
        ("127.0.0.1", "preferred", "", ANSWERED),
        ("127.0.0.1", "required", "", ANSWERED),
        ("127.0.0.1", "verify_ca", "ca.pem", ANSWERED),
        ("127.0.0.1", "verify_ca", "stranger.pem", SILENT),
        ("127.0.0.1", "verify_ca", "", SILENT),
        ("127.0.0.1", "verify_identity", "ca.pem", ANSWERED),
        ("127.0.0.1", "verify_identity", "stranger.pem", SILENT),
        ("localhost", "verify_ca", "ca.pem", ANSWERED),
        ("localhost", "verify_identity", "ca.pem", SILENT),
    ],
)
def test_the_database_is_asked_as_encrypted_as_configured(
    guarded: HsmHost, certificates: Path, host: str, tls: str, authority: str, expected: tuple[int, int]
) -> None:
    authorities = str(certificates / authority) if authority else ""
    assert levels_of(guarded, host=host, tls=tls, tls_ca=authorities) == expected


@pytest.mark.parametrize("tls", ["required", "verify_ca", "verify_identity"])
def test_a_server_without_tls_is_not_asked_when_tls_is_required(host: HsmHost, tls: str) -> None:
    with standing(host) as stand:
        stand.archive()
    assert levels_of(host, tls="preferred") == ANSWERED
    assert levels_of(host, tls=tls) == SILENT


def test_the_service_shows_its_certificate(guarded: HsmHost, certificates: Path) -> None:
    shown = {"tls_cert": str(certificates / "client.pem"), "tls_key": str(certificates / "client.key")}
    assert levels_of(guarded, user="known", tls="required") == SILENT
    assert levels_of(guarded, user="known", tls="required", **shown) == ANSWERED


VERIFIED = "ssl_verify_cert=true&ssl_verify_identity=true"


@pytest.mark.parametrize(
    ("host", "parameters", "answers"),
    [
        ("127.0.0.1", "ssl_disabled=true", False),
        ("127.0.0.1", "ssl_ca={}/ca.pem", True),
        ("127.0.0.1", f"ssl_ca={{}}/ca.pem&{VERIFIED}", True),
        ("127.0.0.1", f"ssl_ca={{}}/stranger.pem&{VERIFIED}", False),
        ("localhost", f"ssl_ca={{}}/ca.pem&{VERIFIED}", False),
    ],
)
def test_a_database_is_connected_to_as_encrypted_as_its_url_says(
    guarded: HsmHost, certificates: Path, host: str, parameters: str, answers: bool
) -> None:
    place = f"{READER}:{quote(READER_PASSWORD)}@{host}:{guarded.server.port}/{SCHEMA}"
    connections = connections_to(f"mysql://{place}?{parameters.format(certificates)}", "the database")
    with nullcontext() if answers else pytest.raises(DatabaseUnavailableError):
        assert list(connections.rows(SamVersion.select()))


@pytest.mark.parametrize("tls", ["off", "preferred", "required"])
def test_the_database_is_asked_over_its_socket(guarded: HsmHost, tls: str) -> None:
    assert levels_of(guarded, unix_socket=str(guarded.server.socket), port=1, tls=tls) == ANSWERED


@pytest.mark.parametrize(
    "wrong",
    [
        {"tls": "verify_ca", "tls_ca": "/nowhere/ca.pem"},
        {"tls": "verify_ca", "tls_ca": __file__},
        {"tls": "required", "tls_cert": "/nowhere/client.pem"},
        {"tls": "required", "tls_ca": "/etc/ssl/ca.pem"},
        {"tls": "preferred", "tls_cert": "/etc/ssl/client.pem"},
    ],
)
def test_a_wrong_setting_of_tls_is_named(host: HsmHost, wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"\[hsm_sideband\] tls_"):
        archive_of(host, **wrong)
