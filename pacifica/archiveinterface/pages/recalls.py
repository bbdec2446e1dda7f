"""The pages ``/-/recalls`` and ``/-/recalls/events``: the queues of recalls as JSON, once or whenever they change."""

import threading
from collections.abc import Mapping
from typing import Any

import cherrypy

from ..exception import TooManyListenersError
from ..http.answers import JSON_TYPE, Answer
from ..http.event_stream import EventStream, Read, event_answer, last_event_id, stream_answer
from ..http.server_calls import PAUSE
from ..recalls.report import json_of
from ..recalls.service import RecallService
from ..web.writing import write
from .snapshot import Snapshot


def recall_pages(recalls: RecallService, most_listeners: int) -> Mapping[str, object]:
    """Return the pages of *recalls* by their paths; at most so many clients may listen to events at a time."""
    read = Snapshot(lambda: json_of(recalls.report()).encode())
    return {"/-/recalls": _Recalls(read), "/-/recalls/events": _RecallEvents(read, most_listeners)}


class _Recalls:
    def __init__(self, read: Read) -> None:
        self._read = read

    def GET(self, **_query: Any) -> Any:
        """Answer with the queues: 200."""
        return write(Answer("200 OK", {"Content-Type": JSON_TYPE, "Cache-Control": "no-store"}, self._read()))

    HEAD = GET


class _RecallEvents:
    def __init__(self, read: Read, most_listeners: int) -> None:
        self._read = read
        self._places = threading.BoundedSemaphore(most_listeners)

    def GET(self, **_query: Any) -> Any:
        """Answer with the queues whenever they have changed: 200."""
        request = cherrypy.serving.request
        pause, known = request.wsgi_environ.get(PAUSE), last_event_id(request.headers)
        if pause is None:
            return write(event_answer(self._read(), known))
        if not self._places.acquire(blocking=False):
            raise TooManyListenersError("as many clients as may listen to events do, try again later")
        try:
            return write(stream_answer(EventStream(self._read, known, pause, self._places.release)))
        except BaseException:
            self._places.release()
            raise
