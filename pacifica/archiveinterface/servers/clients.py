"""The clients of the launcher that are connected, by their addresses."""

import logging
import socket
import threading
import time
from collections import defaultdict
from ipaddress import IPv6Address

from ..globals import LOG_NAME

_LOG_INTERVAL = 10  # seconds
_NETWORK = 8  # bytes of an IPv6 address: one client may have all of a /64
_log = logging.getLogger(LOG_NAME)


class Clients:
    """The open connections of each address, of which it may have only so many."""

    def __init__(self, most: int) -> None:
        """Allow *most* connections an address, any number if 0."""
        self._most = most
        self._connections: defaultdict[str | bytes, set[object]] = defaultdict(set)
        self._lock = threading.Lock()
        self._logged = float("-inf")

    def admit(self, address: str | None, connection: object) -> bool:
        """Count *connection* from *address*, None for a local socket; return whether it is allowed."""
        if not self._most or address is None:
            return True
        with self._lock:
            others = self._connections[_client_of(address)]
            if len(others) < self._most:
                others.add(connection)
                return True
        self._log(address)
        return False

    def dismiss(self, address: str | None, connection: object) -> None:
        """Count *connection* no more; it may not have been counted at all."""
        if not self._most or address is None:
            return
        client = _client_of(address)
        with self._lock:
            self._connections[client].discard(connection)
            if not self._connections[client]:
                del self._connections[client]

    def _log(self, address: str) -> None:
        if time.monotonic() - self._logged > _LOG_INTERVAL:
            self._logged = time.monotonic()
            _log.warning("%s has %d connections, more are closed: connections_per_address", address, self._most)


def _client_of(address: str) -> str | bytes:
    if ":" not in address:
        return address
    plain = address.partition("%")[0]
    mapped = IPv6Address(plain).ipv4_mapped
    return str(mapped) if mapped else socket.inet_pton(socket.AF_INET6, plain)[:_NETWORK]
