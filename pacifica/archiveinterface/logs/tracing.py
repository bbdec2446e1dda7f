"""Whether requests are exported as spans of OpenTelemetry."""

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

from ..globals import DISTRIBUTION, LOG_NAME
from ..web.exchange import Observer

# OpenTelemetry's own names of where the spans go.
_COLLECTORS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_log = logging.getLogger(LOG_NAME)


@contextmanager
def span_observers() -> Iterator[list[Observer]]:
    """Give what exports requests as spans, if the environment names a collector; at the end all are sent."""
    if not any(map(os.environ.get, _COLLECTORS)):
        yield []
        return
    try:
        from .spans import Spans
    except ImportError:
        _log.warning("no spans are exported, the packages for it are missing: pip install '%s[otel]'", DISTRIBUTION)
        yield []
        return
    with closing(Spans()) as spans:
        yield [spans]
