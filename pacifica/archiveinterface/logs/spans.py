"""Spans of OpenTelemetry, one for each request. Importing this module needs the packages of the extra ``otel``."""

import os

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from ..globals import DISTRIBUTION, LOG_NAME, VERSION
from ..web.exchange import Exchange

_SERVER_ERROR = 500  # status


class Spans:
    """An observer that exports each request as a span, as the ``OTEL_*`` variables of the environment say.

    The span is a child of the one that the client's ``traceparent`` names.
    """

    def __init__(self) -> None:
        """Start to export; spans are sent many at a time, by a thread."""
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": DISTRIBUTION}
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(LOG_NAME, VERSION)
        self._propagator = TraceContextTextMapPropagator()

    def __call__(self, exchange: Exchange) -> None:
        """Export the span of a request."""
        parent = self._propagator.extract({"traceparent": exchange.traceparent}) if exchange.traceparent else None
        span = self._tracer.start_span(
            exchange.method, parent, SpanKind.SERVER, _attributes_of(exchange), start_time=_nanoseconds(exchange.begun)
        )
        if exchange.status >= _SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(exchange.begun + exchange.seconds))

    def close(self) -> None:
        """Send the spans that wait."""
        self._provider.shutdown()


def _attributes_of(exchange: Exchange) -> dict[str, AttributeValue]:
    """Return the attributes, by their names in OpenTelemetry's conventions for HTTP servers."""
    path, _, query = exchange.target.partition("?")
    optional: dict[str, str] = {
        "url.query": query,
        "client.address": exchange.client,
        "user_agent.original": exchange.user_agent,
        "error.type": str(exchange.status) if exchange.status >= _SERVER_ERROR else "",
    }
    return {
        "http.request.method": exchange.method,
        "url.scheme": exchange.scheme,
        "url.path": path,
        "network.protocol.version": exchange.protocol.removeprefix("HTTP/"),
        "http.response.status_code": exchange.status,
        "http.request.body.size": exchange.received,
        "http.response.body.size": exchange.sent,
        "pacifica.request_id": exchange.request_id,
        **{name: text for name, text in optional.items() if text},
    }


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
