"""The access log: a line for each request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..web.exchange import Exchange, Observer
from .lines import combined_line, json_line
from .options import LogOptions
from .writing import QueuedLines, write

_STANDARD_ERROR = 2  # descriptor
_LINES = {"combined": combined_line, "json": json_line}


@contextmanager
def access_log(options: LogOptions) -> Iterator[list[Observer]]:
    """Give the observers that log requests as *options* say; at the end of the block all lines are written."""
    if options.access == "off":
        yield []
        return
    queued = QueuedLines(_STANDARD_ERROR)
    try:
        yield [_logger(options, queued.write)]
    finally:
        queued.close()


def unqueued_access_log(options: LogOptions) -> list[Observer]:
    """Return the observers that log requests as *options* say, and write each line before the next request."""
    return [] if options.access == "off" else [_logger(options, _write_now)]


def _logger(options: LogOptions, write_line: Callable[[str], None]) -> Observer:
    line = _LINES[options.access]

    def log(exchange: Exchange) -> None:
        write_line(line(exchange))

    return log


def _write_now(line: str) -> None:
    with suppress(OSError):  # nobody reads standard error, and nobody could be told
        write(_STANDARD_ERROR, line)
