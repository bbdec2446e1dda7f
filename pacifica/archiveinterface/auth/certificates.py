"""Client certificates that the server has verified: the launcher with TLS, or a web server before uWSGI."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from ..exception import ConfigurationError
from .permissions import Principal

_VERIFIED = "SUCCESS"
# What openssl calls attributes that RFC 4514 has no names for.
_NAMES = {
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.GIVEN_NAME: "GN",
    NameOID.SURNAME: "SN",
    NameOID.TITLE: "title",
}


class ClientCertificates:
    """Authentication by the certificate of the client, as mod_ssl names its parts in the WSGI environment.

    No header can set these names: those of headers begin with ``HTTP_``.
    """

    challenge = ""

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return the subject of the certificate (RFC 4514); None without a verified one, or without a subject.

        Raises ConfigurationError if the server has verified one, but does not pass it on.
        """
        if environ.get("SSL_CLIENT_VERIFY") != _VERIFIED:
            return None
        name = subject_of(environ.get("SSL_CLIENT_CERT", ""))
        return Principal(name, "certificate") if name else None


@lru_cache(maxsize=1000)
def subject_of(certificate: str) -> str:
    """Return the subject of *certificate* (PEM) in the form of RFC 4514. Raises ConfigurationError."""
    try:
        subject = load_pem_x509_certificate(certificate.encode()).subject
    except ValueError as error:
        raise ConfigurationError("the server does not pass the client's certificate on in SSL_CLIENT_CERT") from error
    return subject.rfc4514_string(_NAMES)
