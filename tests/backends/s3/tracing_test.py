"""Which request a call to the store, and what is logged of it, belongs to."""

import threading
from collections import defaultdict
from pathlib import Path

import requests

from tests.backends.s3.faulty_site import LARGE, PART, SMALL, FaultySite
from tests.backends.s3.support import split, write_config
from tests.support.forked import forked_launcher
from tests.support.s3_proxy import Answer, Call
from tests.support.seaweedfs import SeaweedFS
from tests.support.service import TIMEOUT, Client, serving
from tests.support.waiting import await_true

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACED = {"traceparent": TRACEPARENT}


def told(site: FaultySite) -> dict[str, set[str | None]]:
    """Return, by the names of calls, what the store is told from now on of the traces that they belong to."""
    traces: dict[str, set[str | None]] = defaultdict(set)

    def note(call: Call) -> Answer:
        traces[call.name].add(call.headers.get("traceparent"))
        assert "traceparent" not in call.headers["Authorization"]  # proxies on the way may change it
        return call.forward()

    site.proxy.spoil_by_chance(lambda: note)
    return traces


def use(service: Client, headers: dict[str, str]) -> None:
    """Store files, look at them and remove them."""
    for content in (SMALL, LARGE):
        for method in ("PUT", "HEAD", "GET", "DELETE"):
            data = content if method == "PUT" else None
            assert service.request(method, "/8", data=data, headers=headers).ok


def test_each_call_tells_the_store_the_trace_of_the_client(site: FaultySite) -> None:
    traces = told(site)
    with serving(site.hasty) as service:
        use(service, TRACED)
        assert {name: {TRACEPARENT} for name in traces} == traces
        assert traces.keys() >= {"PutObject", "UploadPart", "GetObject", "GetNotes", "HeadObject", "DeleteObject"}
        traces.clear()
        use(service, {})
        assert {name: {None} for name in traces} == traces


def test_the_parts_of_a_copy_belong_to_the_trace(site: FaultySite, store: SeaweedFS) -> None:
    source = f"{site.prefix}/incoming/upload"
    store.client().put_object(**split(source), Body=LARGE)
    with serving(site.archive(copy_size=PART)) as service:
        traces = told(site)
        assert service.request("PATCH", "/8", json={"path": source}, headers=TRACED).ok
        assert traces["UploadPartCopy"] == {TRACEPARENT}
        assert service.request("GET", "/8").content == LARGE


def test_what_is_logged_while_a_part_is_sent_has_the_id_of_the_request(site: FaultySite, tmp_path: Path) -> None:
    config = write_config(tmp_path, site, part_size=PART, parallel_parts=2, pool_size=1)
    both_on_their_way = threading.Barrier(2, timeout=TIMEOUT)

    def forward_together(call: Call) -> Answer:
        both_on_their_way.wait()
        return call.forward()

    with forked_launcher(site.prefix, "-t", "s3", "-c", str(config)) as server:

        def has_logged() -> bool:
            # The pool keeps one connection; when the second comes back, another call may have taken the first.
            site.proxy.spoil("UploadPart", forward_together, times=2)
            named = {"X-Request-Id": "cart-42"}
            assert requests.put(f"{server.url}/8", data=bytes(PART + 1), headers=named, timeout=TIMEOUT).ok
            return "request cart-42: Connection pool is full" in server.stderr

        await_true(has_logged)
