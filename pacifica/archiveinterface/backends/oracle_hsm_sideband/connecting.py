"""How the sideband database is reached: the server, the password and the encryption that the options name."""

import os
import ssl
from pathlib import Path
from typing import Any

from ...connections import Connections, Limits
from ...database import mysql
from ...exception import ConfigurationError
from .options import HsmSidebandOptions


def connections_of(options: HsmSidebandOptions) -> Connections:
    """Return the connections to the database. Raises ConfigurationError when a file or variable cannot be used."""
    limits = Limits(
        pool_size=options.pool_size,
        connect_timeout=options.connect_timeout,
        read_timeout=options.read_timeout,
        retry_seconds=options.retry_seconds,
    )
    parameters = {
        **_server(options),
        **_encryption(tls_of(options)),
        "user": options.user,
        "password": _password(options),
        "charset": "latin1",
        "use_unicode": False,  # PyMySQL takes latin1 for cp1252, which lacks five of the bytes
    }
    server = f"The sideband database at {options.unix_socket or options.host}"
    return Connections(lambda: mysql(limits, options.schema, **parameters), "the sideband database", server, limits)


def _server(options: HsmSidebandOptions) -> dict[str, Any]:
    if options.unix_socket:
        return {"unix_socket": options.unix_socket}
    return {"host": options.host, "port": options.port}


def _encryption(tls: bool | ssl.SSLContext) -> dict[str, Any]:
    # Unless told otherwise, PyMySQL encrypts if the server offers it.
    return {"ssl": tls} if isinstance(tls, ssl.SSLContext) else {"ssl_disabled": not tls}


def _password(options: HsmSidebandOptions) -> str:
    if options.password_env:
        try:
            return os.environ[options.password_env]
        except KeyError:
            raise ConfigurationError(f"[hsm_sideband] password_env: {options.password_env} is not set") from None
    if options.password_file:
        try:
            return Path(options.password_file).read_text(encoding="utf-8").partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"[hsm_sideband] password_file {options.password_file}: unreadable") from error
    return options.password


def tls_of(options: HsmSidebandOptions) -> bool | ssl.SSLContext:
    """Return False for no encryption, True for encryption if the server offers it, or the context to connect with.

    Raises ConfigurationError when a file cannot be used.
    """
    if options.tls_ca and not options.tls.startswith("verify"):
        raise ConfigurationError("[hsm_sideband] tls_ca needs tls = verify_identity or verify_ca")
    if options.tls_cert and options.tls in ("off", "preferred"):
        raise ConfigurationError("[hsm_sideband] tls_cert needs tls = required, verify_ca or verify_identity")
    if options.tls == "off":
        return False
    if options.tls == "preferred":
        # What goes through a socket does not leave the machine.
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
