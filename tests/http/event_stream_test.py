"""Server-sent events as bytes, by a clock of the test's."""

import time
from collections.abc import Callable, Iterator

import pytest

from pacifica.archiveinterface.exception import BackendUnavailableError
from pacifica.archiveinterface.http.event_stream import EventStream, event_answer, last_event_id, stream_answer

Read = Callable[[], bytes]


class Listener:
    """A client and the server under it: time passes only in their pauses; they end after *most* of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.now, self.left, self.has_left = 1000.0, most, False
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def pause(self, seconds: float) -> bool:
        """Let *seconds* pass."""
        self.now += seconds
        self.left -= 1
        return self.left >= 0

    def leave(self) -> None:
        """Note that the place is free."""
        assert not self.has_left
        self.has_left = True

    def events(self, read: Read, known: str | None = None) -> EventStream:
        """Return the body that tells what *read* returns."""
        return EventStream(read, known, self.pause, self.leave)


def id_in(event: bytes) -> str:
    """Return the id of an *event*."""
    return event.partition(b"id: ")[2].partition(b"\n")[0].decode()


def test_content_is_sent_when_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([b"1", b"1", b"2", b"2", b"3"])
    first, second, third = Listener(monkeypatch, 4).events(lambda: next(told))
    assert first == f"retry: 5000\nid: {id_in(first)}\ndata: 1\n\n".encode()
    assert second == f"id: {id_in(second)}\ndata: 2\n\n".encode()
    assert third.endswith(b"data: 3\n\n")
    assert len({id_in(event) for event in (first, second, third)}) == 3


def test_a_quiet_stream_is_kept_alive_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(monkeypatch, 40)
    began, sent = listener.now, []
    for block in listener.events(lambda: b"1"):
        sent.append((listener.now - began, block))
    assert sent[1:] == [(15.0, b":\n\n"), (30.0, b":\n\n")]


def test_a_client_that_knows_the_content_is_sent_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    [known] = Listener(monkeypatch, 0).events(lambda: b"1")
    told = iter([b"1", b"1", b"2"])
    first, second = Listener(monkeypatch, 2).events(lambda: next(told), id_in(known))
    assert first == b"retry: 5000\n\n"
    assert second.endswith(b"data: 2\n\n")


def test_content_that_cannot_be_read_for_a_while_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told: Iterator[bytes | None] = iter([b"1", None, None, b"2"])

    def read() -> bytes:
        content = next(told)
        if content is None:
            raise BackendUnavailableError("the database does not answer")
        return content

    first, second = Listener(monkeypatch, 3).events(read)
    assert (first[-9:], second[-9:]) == (b"data: 1\n\n", b"data: 2\n\n")


def test_content_that_cannot_be_read_at_first_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> bytes:
        raise BackendUnavailableError("the database does not answer")

    with pytest.raises(BackendUnavailableError):
        Listener(monkeypatch, 3).events(read)


HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def test_an_answer_may_have_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    [event] = Listener(monkeypatch, 0).events(lambda: b"1")
    assert event_answer(b"1", None) == ("200 OK", HEADERS, event)
    assert event_answer(b"1", id_in(event)) == ("200 OK", HEADERS, b"retry: 5000\n\n")


def test_an_answer_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    body = Listener(monkeypatch, 0).events(lambda: b"1")
    assert stream_answer(body) == ("200 OK", HEADERS, body)


def test_a_client_may_say_what_it_knows() -> None:
    assert last_event_id({"Last-Event-ID": "7"}) == "7"
    assert last_event_id({}) is None


def test_the_place_is_given_back_when_the_body_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener(monkeypatch, 3)
    body = listener.events(lambda: b"1")
    assert not listener.has_left
    body.close()
    assert listener.has_left
