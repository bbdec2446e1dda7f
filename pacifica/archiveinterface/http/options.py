"""The options of section [http]."""

from dataclasses import dataclass

from ..options import at_least, boolean, one_of, option


@dataclass(frozen=True)
class HttpOptions:
    """How the service speaks HTTP."""

    head: str = option(
        "documented",
        "how HEAD is answered; `documented`: with 204 and times in epoch seconds; `standard`: with 200, Content-Length"
        " and an HTTP date",
        one_of("documented", "standard"),
    )
    show_tracebacks: bool = option(
        "false", "whether error answers contain the Python traceback; not for a public server", boolean
    )
    sendfile: str = option(
        "off",
        "who sends files; `off`: the service; `x-sendfile` or `x-accel-redirect` (nginx): the reverse proxy, told"
        " by this response header, sends whole files; `presigned` (s3): the store, at a URL that a redirect names",
        one_of("off", "x-sendfile", "x-accel-redirect", "presigned"),
    )
    presigned_seconds: int = option(
        "3600", "seconds for which such a URL can be used; most stores allow 604800 at most", at_least(1, int)
    )
    drain_file: str = option(
        "",
        "path of a file; while it exists, `/-/ready` answers 503, so that a load balancer sends no new clients; empty:"
        " none",
    )
    event_listeners: int = option(
        "10",
        "most clients of one process that may listen to `/-/recalls/events` at a time, each with a thread of its own,"
        " and at most half of server.thread_pool; more are answered with 503",
        at_least(1, int),
    )
    drain_bytes: int = option(
        "16777216",
        "bytes of an unwanted request body that the service reads so that the client can read the error answer",
        at_least(0, int),
    )
    drain_seconds: float = option(
        "30",
        "seconds that requests in progress may take after pacifica-archiveinterface has received SIGTERM",
        at_least(0, float),
    )
