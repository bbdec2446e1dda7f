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

_METHODS = frozenset(METHODS)
_UNAVAILABLE = STATUSES[-1]


class Cells(NamedTuple):
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


def count_answer(method: str, target: str, status: int) -> Cells:
    """Count a request whose answer begins to be sent: a process that is killed from then on has counted it.

    Return where the rest is counted.
    """
    cells = _cells(_resource_of(target), method if method in _METHODS else OTHER, status)
    CELLS.add((cells.requests, 1))
    return cells


def count_end(cells: Cells, first_byte: float, seconds: float, received: int, sent: int, broke_off: bool) -> None:
    """Count what became of a request, in *cells*, when its answer was sent or has broken off; else as in Exchange."""
    CELLS.add(
        (IN_FLIGHT_CELL, -1),
        *HTTP_SECONDS.changes(cells.seconds, seconds),
        *HTTP_FIRST_BYTE.changes(cells.first_byte, first_byte),
        (cells.sent, sent),
        (cells.received, received),
        (cells.broken, broke_off),
    )


def _resource_of(target: str) -> str:
    if target.startswith("/-/"):
        return "page"
    return "tape" if target.startswith(TAPE_API) else "file"


@cache
def _cells(resource: str, method: str, status: int) -> Cells:
    request = (resource, method)
    answer = (*request, _UNAVAILABLE if status == 503 else STATUSES[status // 100 - 1])
    return Cells(
        HTTP_REQUESTS.cell(*answer),
        HTTP_SECONDS.cell(*answer),
        HTTP_FIRST_BYTE.cell(*answer),
        HTTP_RECEIVED.cell(*request),
        HTTP_SENT.cell(*request),
        HTTP_BROKEN.cell(*request),
    )
