"""TLS on the connections of the launcher, without a thread that waits for the client's part of the handshake.

OpenSSL works on bytes in memory, and the socket stays what it is: it can be polled, shut down and read to the end
like one without TLS, and nothing can be sent on it unencrypted by mistake.
"""

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from cheroot.ssl.builtin import BuiltinSSLAdapter

from ..exception import ConfigurationError
from .options import LauncherOptions
from .patience import Patience
from .wire import Wire

_RECEIVED_AT_ONCE = 1 << 16  # bytes
_PLAIN_HTTP = "HTTP_REQUEST"  # OpenSSL's name for it
_Result = TypeVar("_Result")


class TlsWire(Wire):
    """A connection with TLS; the handshake is made as the bytes of the client arrive."""

    def __init__(self, connection: socket.socket, patience: Patience, adapter: "Adapter") -> None:
        """Use the settings of *adapter*."""
        super().__init__(connection, patience)
        self._adapter = adapter
        self._arrived, self._departing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._unsent = b""
        self._is_established = False
        self._tls = adapter.context.wrap_bio(self._arrived, self._departing, server_side=True)

    def environ(self) -> dict[str, Any]:
        """Return what mod_ssl would: SSL_PROTOCOL, SSL_CLIENT_S_DN and so on."""
        environ: dict[str, Any] = self._adapter.get_environ(self._tls)
        return environ

    def is_amid(self) -> bool:
        """Return whether the handshake or a record has begun and is not complete."""
        return not self._is_established or self.holds()

    def holds(self) -> bool:
        """Return whether encrypted or decrypted bytes were received and not read."""
        return bool(self._arrived.pending or (self._is_established and self._tls.pending()))

    def is_stuck(self) -> bool:
        """Return whether the client has to take a part of the handshake before it can send more."""
        return bool(self._unsent)

    def take(self, most: int) -> bytes:
        """Return what has arrived, decrypted. Raises as `Wire.take`; ConnectionResetError when TLS fails."""
        arrived: bytes = self._advance(lambda: self._tls.read(most))
        return arrived

    def take_into(self, room: memoryview) -> int:
        """Put what has arrived, decrypted, into *room* and return its length. Raises as `take`."""
        block = self.take(len(room))
        room[: len(block)] = block
        return len(block)

    def write(self, block: bytes) -> int:
        """Send the whole *block*, encrypted, and return its length in bytes. Raises OSError, TimeoutError."""
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
        except ssl.SSLError as error:
            raise _reset(error) from error
        unsent, self._unsent = self._unsent, b""
        super().write(unsent + self._departing.read())
        return len(block)

    def finish(self) -> None:
        """Tell the client that no more is sent (close_notify), if it takes that now."""
        if self._is_established:
            with suppress(OSError):
                self._tls.unwrap()
            with suppress(OSError):
                self._flush()

    def _advance(self, step: Callable[[], _Result]) -> _Result:
        while True:
            try:
                self._shake_hands()
                return step()
            except ssl.SSLWantReadError:
                self._feed()
            except ssl.SSLError as error:
                self.is_plain_http = error.reason == _PLAIN_HTTP
                raise _reset(error) from error
            finally:
                self._flush()

    def _shake_hands(self) -> None:
        if not self._is_established:
            self._tls.do_handshake()
            self._is_established = True

    def _feed(self) -> None:
        arrived = super().take(_RECEIVED_AT_ONCE)
        if arrived:
            self._arrived.write(arrived)
        else:
            self._arrived.write_eof()

    def _flush(self) -> None:
        self._unsent += self._departing.read()
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]


def _reset(error: ssl.SSLError) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, f"TLS failed: {error.reason}")


class Adapter(BuiltinSSLAdapter):
    """The settings ``server.ssl_...``: TLS 1.2 and newer."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Read the certificate and its key. Raises OSError, of which SSLError is one."""
        super().__init__(*arguments, **options)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_RENEGOTIATION

    def ask_for_certificates(self, options: LauncherOptions) -> None:
        """Ask clients for certificates as *options* have it. Raises ConfigurationError."""
        if not options.tls_client_ca:
            return
        if self.certificate_chain:  # OpenSSL would take clients of its authorities
            raise ConfigurationError(
                "[launcher] tls_client_ca: append the file server.ssl_certificate_chain to server.ssl_certificate"
            )
        try:
            self.context.load_verify_locations(options.tls_client_ca)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(f"[launcher] tls_client_ca = {options.tls_client_ca}: {reason}") from error
        is_required = options.tls_client_certificates == "required"
        self.context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL

    def wrap(self, sock: socket.socket) -> tuple[socket.socket, dict[str, str]]:
        """Return *sock* as it is, and no environment yet: the handshake has not begun."""
        return sock, {}

    def wire(self, connection: socket.socket, patience: Patience) -> TlsWire:
        """Return *connection* with TLS."""
        return TlsWire(connection, patience, self)
