"""The options of section [launcher]."""

from dataclasses import dataclass

from ..options import at_least, one_of, option


@dataclass(frozen=True)
class LauncherOptions:
    """How pacifica-archiveinterface deals with its clients; server.conf has the other settings of this server."""

    connections_per_address: int = option(
        "1000",
        "most connections from one address (of IPv6, from one /64 network) to one process; more are closed at once."
        " A reverse proxy counts as one client. 0: no limit",
        at_least(0, int),
    )
    waiting_connections: int = option(
        "1000",
        "most connections of one process that wait for a request or its head; for more, those that have waited longest"
        " are closed",
        at_least(1, int),
    )
    extra_threads: int = option(
        "500",
        "most threads of one process that are added to those of server.thread_pool while these wait for slow clients;"
        " if all wait and requests come, the slowest transfers are broken off",
        at_least(0, int),
    )
    minimum_rate: float = option(
        "1000",
        "bytes a second. A thread waits for the client of a request server.socket_timeout in all; each time the client"
        " has sent or received so many bytes, it has another second. 0: every byte renews the time-out",
        at_least(0, float),
    )
    tls_client_ca: str = option(
        "",
        "path of a file with certificates of authorities (PEM): with TLS, clients are asked for certificates that these"
        " have issued; empty: they are not asked",
    )
    tls_client_certificates: str = option(
        "required",
        "whether a client without a certificate is refused (`required`) or served (`optional`)",
        one_of("required", "optional"),
    )
