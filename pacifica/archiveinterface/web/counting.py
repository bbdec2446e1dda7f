"""Counting requests while they are answered, and when they have been."""

from ..http.errors import TAPE_API
from ..metrics.definitions import (
    CELLS,
    HTTP_BROKEN,
    HTTP_FIRST_BYTE,
    HTTP_RECEIVED,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_SENT,
    IN_FLIGHT_CELL,
    METHODS,
    OTHER,
    STATUSES,
)
from .exchange import Exchange

_METHODS = frozenset(METHODS)
_UNAVAILABLE = STATUSES[-1]


def count_arrival() -> None:
    """Count a request that is going to be answered."""
    CELLS.add((IN_FLIGHT_CELL, 1))


def count_exchange(exchange: Exchange) -> None:
    """Count a request that was answered, or whose answer broke off."""
    method = exchange.method if exchange.method in _METHODS else OTHER
    request = (_resource_of(exchange.target), method)
    answer = (*request, _UNAVAILABLE if exchange.status == 503 else STATUSES[exchange.status // 100 - 1])
    CELLS.add(
        (IN_FLIGHT_CELL, -1),
        HTTP_REQUESTS.change(*answer),
        *HTTP_SECONDS.changes(exchange.seconds, *answer),
        *HTTP_FIRST_BYTE.changes(exchange.first_byte, *answer),
        HTTP_RECEIVED.change(*request, by=exchange.received),
        HTTP_SENT.change(*request, by=exchange.sent),
        HTTP_BROKEN.change(*request, by=exchange.broke_off),
    )


def _resource_of(target: str) -> str:
    if target.startswith("/-/"):
        return "page"
    return "tape" if target.startswith(TAPE_API) else "file"
