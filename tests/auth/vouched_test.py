"""Names that a client certificate or a reverse proxy gives, in the WSGI environment."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.auth.methods import Method
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.auth.outside import outside_methods
from pacifica.archiveinterface.auth.permissions import Principal
from pacifica.archiveinterface.exception import ConfigurationError, RequestError
from pacifica.archiveinterface.http.server_calls import TOLD_ADDRESS
from pacifica.archiveinterface.options import parse_options
from tests.support.certificates import make_authority, make_certificate
from tests.support.waiting import TIMEOUT

CERTIFICATES = AuthOptions(client_certificates="names")


def methods(options: AuthOptions) -> list[Method]:
    """Return the methods that *options* switch on."""
    return list(outside_methods(options))


def principal(options: AuthOptions, environ: Mapping[str, Any]) -> Principal | None:
    """Return what the one method that *options* switch on says of a request."""
    (method,) = methods(options)
    return method.principal(environ)


def options(**texts: str) -> AuthOptions:
    """Return the options of [auth] that *texts* set."""
    parsed = parse_options("[auth]", AuthOptions, texts)
    assert isinstance(parsed, AuthOptions)
    return parsed


@pytest.fixture(scope="module")
def certificate_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the certificate of a subject, as openssl writes subjects."""
    path = tmp_path_factory.mktemp("certificates")
    make_authority(path, "ca")

    def make(subject: str) -> Path:
        make_certificate(path, "client", "DNS:client.example.org", subject=subject)
        return path / "client.pem"

    return make


def openssl_name(certificate: Path) -> str:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb,utf8"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return shown.stdout.removesuffix("\n").removeprefix("subject=")


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("/CN=alice", "CN=alice"),
        ("/C=CH/O=Example/OU=People/CN=alice", "CN=alice,OU=People,O=Example,C=CH"),
        ("/DC=org/DC=example/CN=Alice Example 7", "CN=Alice Example 7,DC=example,DC=org"),
        ("/O=Example, Inc./CN=a\\+b", "CN=a\\+b,O=Example\\, Inc."),
        ("/CN=alice/emailAddress=alice@example.org", "emailAddress=alice@example.org,CN=alice"),
        ("/CN=#1 \\\\ <x>; ", "CN=\\#1 \\\\ \\<x\\>\\;\\ "),
        ("/serialNumber=7/GN=Alice/SN=Example/title=Dr", "title=Dr,SN=Example,GN=Alice,serialNumber=7"),
        ("/CN=Zo\u00eb", "CN=Zo\u00eb"),
    ],
)
def test_the_subject_is_the_name_as_openssl_shows_it(
    certificate_of: Callable[[str], Path], subject: str, name: str
) -> None:
    certificate = certificate_of(subject)
    found = principal(
        CERTIFICATES,
        {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_CERT": certificate.read_text(), "SSL_CLIENT_S_DN": "CN=root"},
    )
    assert found
    assert (found.name, found.how) == (name, "certificate")
    assert openssl_name(certificate) == name


@pytest.mark.parametrize(
    "verified", [{}, *({"SSL_CLIENT_VERIFY": word} for word in ("", "NONE", "FAILED:x", "success"))]
)
def test_a_certificate_that_is_not_verified_is_nobody_s(
    certificate_of: Callable[[str], Path], verified: dict[str, str]
) -> None:
    certificate = certificate_of("/CN=alice").read_text()
    assert principal(CERTIFICATES, {"SSL_CLIENT_CERT": certificate, **verified}) is None


def test_headers_are_no_certificate(certificate_of: Callable[[str], Path]) -> None:
    certificate = certificate_of("/CN=alice").read_text()
    environ = {"HTTP_SSL_CLIENT_VERIFY": "SUCCESS", "HTTP_SSL_CLIENT_CERT": certificate}
    assert principal(CERTIFICATES, environ) is None


def test_a_server_that_keeps_the_certificate_for_itself_is_reported() -> None:
    with pytest.raises(ConfigurationError, match="SSL_CLIENT_CERT"):
        principal(CERTIFICATES, {"SSL_CLIENT_VERIFY": "SUCCESS", "SSL_CLIENT_S_DN": "CN=alice"})


PROXY = options(proxy_header="X-Remote-User", proxy_addresses="127.0.0.1 192.0.2.0/24 2001:db8::/32")


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.77", "::ffff:192.0.2.1", "2001:db8::7"])
@pytest.mark.parametrize(
    "name", ["alice", "alice@example.org", "CN=alice,O=Example\\, Inc.", "Zo\u00eb", "a, b".replace(", ", ",")]
)
def test_a_proxy_gives_the_name(address: str, name: str) -> None:
    found = principal(PROXY, {"REMOTE_ADDR": address, "HTTP_X_REMOTE_USER": name.encode().decode("latin-1")})
    assert found
    assert (found.name, found.how, found.grants) == (name, "proxy", ())


@pytest.mark.parametrize(
    "address", ["127.0.0.2", "192.0.3.1", "::1", "::ffff:127.0.0.2", "2001:db9::", "", "unix:", "x"]
)
def test_others_may_not_send_the_header(address: str) -> None:
    with pytest.raises(RequestError, match="X-Remote-User"):
        principal(PROXY, {"REMOTE_ADDR": address, "HTTP_X_REMOTE_USER": "alice"})
    with pytest.raises(RequestError, match="X-Remote-User"):
        principal(PROXY, {"REMOTE_ADDR": address, "HTTP_X_REMOTE_USER": ""})
    assert principal(PROXY, {"REMOTE_ADDR": address}) is None


def test_an_address_that_was_told_is_no_proxy_s() -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REMOTE_USER": "alice", TOLD_ADDRESS: "true"}
    with pytest.raises(RequestError, match="X-Remote-User"):
        principal(PROXY, environ)


@pytest.mark.parametrize("value", ["alice, root", "alice, ", ", alice", "CN=a,O=b, CN=c", "a" * 256, "a\x01", "\xff"])
def test_a_name_that_is_not_one_is_refused(value: str) -> None:
    with pytest.raises(RequestError):
        principal(PROXY, {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REMOTE_USER": value})
    with pytest.raises(RequestError):
        principal(options(remote_user="names"), {"REMOTE_USER": value})


def test_without_a_name_the_proxy_has_not_authenticated() -> None:
    assert principal(PROXY, {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REMOTE_USER": ""}) is None
    assert principal(PROXY, {"REMOTE_ADDR": "127.0.0.1", "REMOTE_USER": "alice"}) is None


def test_the_server_gives_the_name_in_remote_user() -> None:
    asked = options(remote_user="names")
    found = principal(asked, {"REMOTE_USER": "alice", "REMOTE_ADDR": "192.0.2.1"})
    assert found
    assert (found.name, found.how) == ("alice", "proxy")
    assert principal(asked, {"HTTP_REMOTE_USER": "alice"}) is None


@pytest.mark.parametrize(
    "texts",
    [
        {"proxy_header": "X-Remote-User"},
        {"proxy_header": "X_Remote_User", "proxy_addresses": "127.0.0.1"},
        {"proxy_header": "X Remote", "proxy_addresses": "127.0.0.1"},
        {"proxy_header": "X-Remote-User", "proxy_addresses": "localhost"},
        {"proxy_header": "X-Remote-User", "proxy_addresses": "192.0.2.1/24"},
        {"client_certificates": "yes"},
        {"remote_user": "true"},
        {"issuers_file": "issuers.ini"},
        {"issuers_file": "/nowhere/issuers.ini"},
    ],
)
def test_a_wrong_option_is_refused_at_the_start(texts: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        methods(options(**texts))


def test_nothing_is_switched_on_by_default() -> None:
    assert methods(AuthOptions()) == []
