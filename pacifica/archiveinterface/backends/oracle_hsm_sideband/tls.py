"""How connections to the sideband database are encrypted, and what the server has to prove."""

import ssl

from ...exception import ConfigurationError
from .options import HsmSidebandOptions


def tls_of(options: HsmSidebandOptions) -> bool | ssl.SSLContext:
    """Return what SidebandConnection wants to know of TLS. Raises ConfigurationError when a file is unusable."""
    if options.tls_ca and not options.tls.startswith("verify"):
        raise ConfigurationError("[hsm_sideband] tls_ca needs tls = verify_identity or verify_ca")
    if options.tls_cert and options.tls in ("off", "preferred"):
        raise ConfigurationError("[hsm_sideband] tls_cert needs tls = required, verify_ca or verify_identity")
    if options.tls == "off":
        return False
    if options.tls == "preferred":
        # What passes a socket does not leave the machine.
        return not options.unix_socket
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = options.tls == "verify_identity"
    context.verify_mode = ssl.CERT_REQUIRED if options.tls.startswith("verify") else ssl.CERT_NONE
    if context.verify_mode:
        _load_authorities(context, options.tls_ca)
    if options.tls_cert:
        _load_certificate(context, options.tls_cert, options.tls_key)
    return context


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    if not path:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise ConfigurationError(f"[hsm_sideband] tls_ca {path}: {error}") from error


def _load_certificate(context: ssl.SSLContext, path: str, key: str) -> None:
    try:
        context.load_cert_chain(path, key or None)
    except OSError as error:
        raise ConfigurationError(f"[hsm_sideband] tls_cert {path}, tls_key {key}: {error}") from error
