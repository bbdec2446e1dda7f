"""The connection of a request, and the socket that it came by."""

import os
import socket
import stat
from collections.abc import Callable
from functools import cache

import uwsgi

from ...http.server_calls import FilePart
from ..lingering import linger
from ..patience import Patience
from ..transmission import Transmission, send_block

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Options that name sockets. What is written to a connection of these is what the client receives.
_PLAIN = ("http-socket", "uwsgi-socket")
_SOCKET_TIMEOUT = float(uwsgi.opt.get("socket-timeout", 4))  # seconds; uWSGI's default


class Connection:
    """The connection of the request that this worker answers, as ``uwsgi.connection_fd()`` gives it."""

    def __init__(self, descriptor: int) -> None:
        """Use the socket *descriptor*, which uWSGI closes."""
        self._descriptor = descriptor
        self._patience = Patience(_SOCKET_TIMEOUT)
        self._unwanted = 0  # bytes that are read after the answer
        option = _option_of_all() or _option_of(descriptor)
        self.is_http = option == "http-socket"
        """Whether the client, or a proxy, speaks HTTP on it."""
        self.is_plain = option in _PLAIN
        """Whether what is written to it is what the client receives: neither encrypted nor packed."""

    def ask(self) -> None:
        """Ask the client for the body that it waits to send."""
        send_block(self._descriptor, _CONTINUE, self._patience)

    def send(self, block: bytes) -> None:
        """Send *block*, whatever signals arrive."""
        send_block(self._descriptor, block, self._patience)

    def transmit(self, part: FilePart, count: Callable[[int], None]) -> None:
        """Send *part* once the head is sent, whatever signals arrive."""
        Transmission(self._descriptor, part, count).finish(self._patience)

    def linger_for(self, most: int) -> None:
        """After the answer, read up to *most* bytes of what the client still sends."""
        self._unwanted = most

    def linger(self) -> None:
        """Read what `linger_for` has been told."""
        if self._unwanted:
            with _socket(self._descriptor) as connection:
                linger(connection, self._unwanted)


@cache
def _option_of_all() -> str:
    """Return the option that has all sockets of this worker; empty if several have them, or none of _PLAIN."""
    # In a worker that does not serve a socket (map-socket), /dev/null has its number.
    sockets = [descriptor for descriptor in uwsgi.sockets if stat.S_ISSOCK(os.fstat(descriptor).st_mode)]
    options = {_option_of(descriptor) for descriptor in sockets}
    return options.pop() if len(options) == 1 else ""


def _option_of(descriptor: int) -> str:
    """Return which of the options _PLAIN names the socket, or the one that it was accepted from; empty if none does."""
    with _socket(descriptor) as connection:
        name = connection.getsockname()
    place = name if isinstance(name, str) else f":{name[1]}"
    named = (option for option in _PLAIN if any(address.endswith(place) for address in _addresses(option)))
    return next(named, "")


def _socket(descriptor: int) -> socket.socket:
    return socket.socket(fileno=os.dup(descriptor))


def _addresses(option: str) -> list[str]:
    given = uwsgi.opt.get(option, [])
    return [address.decode() for address in (given if isinstance(given, list) else [given])]
