"""Requests as spans of OpenTelemetry, sent to a collector of ours."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.processes import launcher
from tests.support.service import TIMEOUT

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}


class Collector(ThreadingHTTPServer):
    """Takes spans as OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.services: set[str] = set()
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, message: bytes) -> None:
        """Keep the spans in *message*."""
        for of_resource in ExportTraceServiceRequest.FromString(message).resource_spans:
            names = {each.key: each.value.string_value for each in of_resource.resource.attributes}
            self.services.add(names["service.name"])
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that runs."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def attributes_of(span: Span) -> dict[str, str | int]:
    """Return the attributes of *span* by their names."""
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_each_request_is_a_span_in_the_trace_of_its_client(collector: Collector, tmp_path: Path) -> None:
    with launcher(tmp_path, env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as server:
        headers = {**TRACEPARENT, "User-Agent": "test/1", "X-Request-Id": "mine"}
        requests.get(f"{server.url}/404?byte_range=0-1", headers=headers, timeout=TIMEOUT)
        server.stop()
    (span,) = [span for span in collector.spans if span.trace_id.hex() == TRACE_ID]
    assert (span.name, span.kind, span.parent_span_id.hex()) == ("GET", Span.SPAN_KIND_SERVER, PARENT_ID)
    assert 0 < span.start_time_unix_nano < span.end_time_unix_nano
    told = attributes_of(span)
    assert told.pop("http.response.body.size")
    assert told == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/404",
        "url.query": "byte_range=0-1",
        "network.protocol.version": "1.1",
        "http.response.status_code": 404,
        "http.request.body.size": 0,
        "client.address": "127.0.0.1",
        "user_agent.original": "test/1",
        "pacifica.request_id": "mine",
    }
    assert collector.services == {"pacifica-archiveinterface"}
    others = [span for span in collector.spans if span.trace_id.hex() != TRACE_ID]  # a trace of their own
    assert others
    assert not any(span.parent_span_id for span in others)
