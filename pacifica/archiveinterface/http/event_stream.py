"""Server-sent events (the ``text/event-stream`` of the HTML standard, 9.2): content, sent again when it has changed.

Only a server that offers `http.server_calls.PAUSE` can end such an answer when the client leaves or the server stops.
On other servers an answer is one event, and the client comes back for the next one.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b

from ..exception import ArchiveInterfaceError
from .answers import Answer
from .server_calls import Pause

_LOOK_AGAIN = 1.0  # seconds
_KEEP_ALIVE = 15.0  # seconds without an event after which a comment is sent
_RETRY = 5000  # milliseconds after which a client that has lost its connection comes back
_COMMENT = b":\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect events until its buffer is full
}

Read = Callable[[], bytes]
"""Returns the content now, one line."""


class EventStream:
    """The body of an answer that goes on until the client leaves or the server stops."""

    def __init__(self, read: Read, known: str | None, pause: Pause, leave: Callable[[], None]) -> None:
        """Send what *read* returns; the client has the event *known*. `close` calls *leave*."""
        self._leave = leave
        self._events = _events(read, known, pause)
        self._first = next(self._events)  # an error of the content becomes the answer

    def __iter__(self) -> Iterator[bytes]:
        """Return the body itself."""
        return self

    def __next__(self) -> bytes:
        """Return what is sent next, after the wait for it."""
        first, self._first = self._first, b""
        return first or next(self._events)

    def close(self) -> None:
        """End the stream."""
        self._leave()


def stream_answer(body: EventStream) -> Answer:
    """Return the answer that sends *body*."""
    return Answer("200 OK", _HEADERS, body)


def event_answer(content: bytes, known: str | None) -> Answer:
    """Return the answer with *content* as one event, or with none if it is the event *known*."""
    return Answer("200 OK", _HEADERS, _first_event(content, known))


def last_event_id(request_headers: Mapping[str, str]) -> str | None:
    """Return the id of the event that the client received last, None if it does not say."""
    return request_headers.get("Last-Event-ID")


def _events(read: Read, known: str | None, pause: Pause) -> Iterator[bytes]:
    sent, sent_at = read(), time.monotonic()
    yield _first_event(sent, known)
    while pause(_LOOK_AGAIN):
        content = sent
        with suppress(ArchiveInterfaceError):  # who reads has logged it; later it may work again
            content = read()
        if content != sent:
            sent, sent_at = content, time.monotonic()
            yield _event(content)
        elif time.monotonic() - sent_at >= _KEEP_ALIVE:
            sent_at = time.monotonic()
            yield _COMMENT


def _first_event(content: bytes, known: str | None) -> bytes:
    return b"retry: %d\n" % _RETRY + (b"\n" if _id_of(content) == known else _event(content))


def _event(content: bytes) -> bytes:
    return b"id: %s\ndata: %s\n\n" % (_id_of(content).encode(), content)


def _id_of(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()
