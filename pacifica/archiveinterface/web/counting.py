"""Counting requests when they arrive, when their answers begin, and when these have been sent."""

from functools import cache
from typing import NamedTuple

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


class _Cells(NamedTuple):
    """Where requests with the same labels are counted."""

    requests: int
    seconds: int
    first_byte: int
    received: int
    sent: int
    broken: int


def count_arrival() -> None:
    """Count a request that is going to be answered."""
    CELLS.add((IN_FLIGHT_CELL, 1))


def count_answer(method: str, target: str, status: int) -> None:
    """Count a request whose answer begins to be sent: a process that is killed from then on has counted it."""
    CELLS.add((_cells_of(method, target, status).requests, 1))


def count_exchange(exchange: Exchange) -> None:
    """Count what became of a request whose answer was sent, or has broken off."""
    cells = _cells_of(exchange.method, exchange.target, exchange.status)
    changes = [
        (IN_FLIGHT_CELL, -1),
        *HTTP_SECONDS.changes(cells.seconds, exchange.seconds),
        *HTTP_FIRST_BYTE.changes(cells.first_byte, exchange.first_byte),
    ]
    if exchange.sent:
        changes.append((cells.sent, exchange.sent))
    if exchange.received:
        changes.append((cells.received, exchange.received))
    if exchange.broke_off:
        changes.append((cells.broken, 1))
    CELLS.add(*changes)


def _cells_of(method: str, target: str, status: int) -> _Cells:
    return _cells(_resource_of(target), method if method in _METHODS else OTHER, status)


def _resource_of(target: str) -> str:
    if target.startswith("/-/"):
        return "page"
    return "tape" if target.startswith(TAPE_API) else "file"


@cache
def _cells(resource: str, method: str, status: int) -> _Cells:
    request = (resource, method)
    answer = (*request, _UNAVAILABLE if status == 503 else STATUSES[status // 100 - 1])
    return _Cells(
        HTTP_REQUESTS.cell(*answer),
        HTTP_SECONDS.cell(*answer),
        HTTP_FIRST_BYTE.cell(*answer),
        HTTP_RECEIVED.cell(*request),
        HTTP_SENT.cell(*request),
        HTTP_BROKEN.cell(*request),
    )
