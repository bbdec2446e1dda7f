"""What is known of a request and its answer once the answer was sent or has broken off."""

from collections.abc import Callable
from typing import NamedTuple


class Exchange(NamedTuple):
    """One request and its answer.

    *target* is as the client wrote it, without tokens in its query. *client* is its address, or what a proxy tells
    of it where ``tools.proxy`` is on.
    *begun* is in seconds since the epoch; from then on count *first_byte*, until the answer began to be sent, and
    *seconds*, until its end. *received* and *sent* are bytes of the bodies, without their framing; of a block
    that broke off on its way to the client none is counted. *referer*, *user_agent* and *traceparent*, that of
    the W3C, are empty if not sent. *scheme* is that of the URL.

    There is none for a request that did not reach the application: the server itself answers a malformed head.
    """

    request_id: str
    method: str
    target: str
    protocol: str
    client: str
    user: str | None
    status: int
    begun: float
    first_byte: float
    seconds: float
    received: int
    sent: int
    broke_off: bool
    referer: str
    user_agent: str
    traceparent: str
    scheme: str


Observer = Callable[[Exchange], None]
"""Gets each Exchange, in the thread that has sent the answer; it must not raise, and must not wait."""
