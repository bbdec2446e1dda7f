"""The pages of the recall service: the queues as JSON, once and as events."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from docs.examples.tape_backend import TapeBackendArchive
from pacifica.archiveinterface.http.options import HttpOptions
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.requests import Wish
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from pacifica.archiveinterface.web.settings import Settings
from tests.support.service import TIMEOUT, Client, serving

EVENTS = "/-/recalls/events"


class Events:
    """A client that listens to the events of the service at *port*."""

    def __init__(self, port: int, **headers: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, TIMEOUT)
        self._connection.request(
            "GET", EVENTS, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )
        self.answer = self._connection.getresponse()

    def close(self) -> None:
        """Leave."""
        self.answer.close()
        self._connection.close()

    def next(self) -> dict[str, str]:
        """Return the fields of the next event; those of a comment are none."""
        lines = iter(lambda: self.answer.readline().decode().rstrip("\n"), "")
        return dict(line.split(": ", 1) for line in lines if line != ":")


def content_of(event: dict[str, str]) -> Any:
    """Return what the *event* tells."""
    return json.loads(event["data"])


class Stand:
    """A service with tape, where no recaller is at work."""

    def __init__(self, client: Client, recalls: RecallService) -> None:
        self.client, self.port, self._recalls = client, client.port, recalls

    def ask(self, *names: str) -> None:
        """Ask for the recall of files."""
        self._recalls.submit([Wish(f"/{name}", name) for name in names])


@contextmanager
def standing(directory: Path, listeners: int = 10, settings: Settings | None = None) -> Iterator[Stand]:
    """Serve an archive with tape from this process until the block is left."""
    archive, options = TapeBackendArchive(str(directory)), RecallOptions(database=f"sqlite:///{directory}/recalls")
    recalls = RecallService(archive, Store("tape", options), options)
    with serving(archive, settings, HttpOptions(event_listeners=listeners), recalls=recalls) as service:
        yield Stand(service, recalls)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """The service with default options."""
    with standing(tmp_path) as made:
        yield made


def test_the_queues_are_told_as_json(stand: Stand) -> None:
    stand.ask("1", "2")
    answer = stand.client.request("GET", "/-/recalls")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json() == {
        "has_recaller": False,
        "new_files": 2,
        "waiting_files": 0,
        "started_files": 0,
        "oldest_seconds": 0.0,
        "files_per_second": 0.0,
        "completed_files": 0,
        "completed_bytes": 0,
        "failed_files": 0,
        "volumes": [],
    }


@pytest.mark.parametrize("path", ["/-/recalls", EVENTS])
def test_other_methods_are_refused(stand: Stand, path: str) -> None:
    refused = stand.client.request("POST", path, data=b"{}")
    assert (refused.status_code, refused.headers["Allow"].split(", ")[0]) == (405, "GET")


def test_a_head_has_the_headers_of_the_get(stand: Stand) -> None:
    head, got = (stand.client.request(method, "/-/recalls") for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.content))


def test_an_event_tells_the_queues_and_the_next_one_what_has_changed(stand: Stand) -> None:
    with closing(Events(stand.port)) as events:
        headers = events.answer.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        first = events.next()
        assert int(first["retry"]) > 0
        assert content_of(first)["new_files"] == 0
        stand.ask("1")
        second = events.next()
        assert content_of(second)["new_files"] == 1
        assert second["id"] != first["id"]


def test_a_client_that_comes_back_is_told_only_what_is_new(stand: Stand) -> None:
    with closing(Events(stand.port)) as events:
        known = events.next()["id"]
    with closing(Events(stand.port, Last_Event_Id=known)) as events:
        assert list(events.next()) == ["retry"]
        stand.ask("1")
        assert content_of(events.next())["new_files"] == 1


def test_listeners_are_bounded_and_one_that_leaves_makes_room(tmp_path: Path) -> None:
    with standing(tmp_path, listeners=1) as stand:
        with closing(Events(stand.port)) as events:
            events.next()
            refused = stand.client.request("GET", EVENTS)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
        deadline = time.monotonic() + TIMEOUT
        while True:
            with closing(Events(stand.port)) as events:
                if events.answer.status == 200:
                    break
            assert time.monotonic() < deadline, "the place of the client that left stays taken"


def test_listeners_leave_half_of_the_threads_to_others(tmp_path: Path) -> None:
    with standing(tmp_path, settings={"global": {"server.thread_pool": 3}}) as stand, closing(Events(stand.port)):
        assert stand.client.request("GET", EVENTS).status_code == 503
        assert stand.client.request("GET", "/").status_code == 200


def test_a_refused_listener_takes_no_place(tmp_path: Path) -> None:
    with standing(tmp_path, listeners=1) as stand:
        (tmp_path / "recalls").mkdir()  # where the database should be
        for _ in range(2):
            assert stand.client.request("GET", EVENTS).status_code == 503
        (tmp_path / "recalls").rmdir()
        deadline = time.monotonic() + TIMEOUT
        while requests.get(f"{stand.client.url}/-/recalls", timeout=TIMEOUT).status_code != 200:
            assert time.monotonic() < deadline
        with closing(Events(stand.port)) as events:
            assert content_of(events.next())["new_files"] == 0


def test_http_1_0_gets_events_without_chunks(stand: Stand) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stand.port, TIMEOUT)
    with closing(connection):
        connection.connect()
        connection.sock.sendall(b"GET /-/recalls/events HTTP/1.0\r\n\r\n")
        with connection.sock.makefile("rb") as received:
            head = b"".join(iter(received.readline, b"\r\n"))
            assert b"chunked" not in head
            assert received.readline().startswith(b"retry: ")
