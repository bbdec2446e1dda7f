"""Names that a reverse proxy vouches for: in a header, or in the variable REMOTE_USER of the WSGI environment."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from ..exception import RequestError
from ..http.server_calls import TOLD_ADDRESS
from .permissions import Principal

Networks = tuple[IPv4Network | IPv6Network, ...]

_LONGEST_NAME = 255  # characters
# Servers join the values of headers that were sent twice. In a distinguished name, commas have no blank behind them.
_JOINED = re.compile(r"(?<!\\), ")


class ProxyHeader:
    """Authentication by a header, from the addresses of reverse proxies.

    From elsewhere it is an error, and is not ignored: either a client tries to be somebody, or the site has forgotten
    a proxy, and should see that at once.
    """

    challenge = ""

    def __init__(self, header: str, addresses: Networks) -> None:
        """Trust *header* on connections from *addresses*."""
        self._header = header
        self._variable = f"HTTP_{header.upper().replace('-', '_')}"
        self._addresses = addresses

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return the name in the header; None without it. Raises RequestError for one that is not a proxy's."""
        value = environ.get(self._variable)
        if value is None:
            return None
        if environ.get(TOLD_ADDRESS) or not self._is_proxy(environ.get("REMOTE_ADDR", "")):
            raise RequestError(f"only the reverse proxies of this service may send {self._header}")
        return _named(value, self._header)

    def _is_proxy(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._addresses)


class RemoteUser:
    """Authentication by REMOTE_USER, which a web server sets that has authenticated the client itself."""

    challenge = ""

    def principal(self, environ: Mapping[str, Any]) -> Principal | None:
        """Return the name in REMOTE_USER; None without one. Raises RequestError for one that is malformed."""
        return _named(environ.get("REMOTE_USER", ""), "the name of the user")


def _named(value: str, source: str) -> Principal | None:
    try:
        name = value.encode("latin-1").decode()
    except UnicodeError as error:
        raise RequestError(f"{source} is not UTF-8") from error
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise RequestError(f"{source} has at most {_LONGEST_NAME} characters, which are printable")
    if _JOINED.search(name) or name != name.strip():
        raise RequestError(f"{source} was sent twice, has a blank behind a comma, or begins or ends with a blank")
    return Principal(name, "proxy") if name else None
