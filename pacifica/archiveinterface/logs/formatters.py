"""The forms of the service's own messages."""

import json
import logging

from ..http.headers.trace_context import trace_id_of
from ..printing import printable
from .context import answered
from .lines import iso_time

_LONGEST_MESSAGE = 2000  # characters of a line in the log
_LONGEST_TRACEBACK = 20_000


class TextFormatter(logging.Formatter):
    """Writes a message on one line of bounded length, with the id of the request that it belongs to.

    Clients choose file names, paths and headers in it.
    """

    def __init__(self) -> None:
        """Begin each line with time and level."""
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the message of *record* and the lines of its traceback, with escapes for what does not print."""
        shown = logging.makeLogRecord({**vars(record), "msg": _of_request(_message_of(record)), "args": ()})
        lines = super().format(shown).split("\n")
        return "\n".join([lines[0], *(printable(line[:_LONGEST_MESSAGE]) for line in lines[1:])])


class JsonFormatter(logging.Formatter):
    """Writes a message, and the traceback that belongs to it, as one JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        known = answered.get()
        texts = {
            "request_id": known.request_id,
            "trace_id": trace_id_of(known.traceparent),
            "message": _message_of(record),
            "traceback": self.formatException(record.exc_info)[-_LONGEST_TRACEBACK:] if record.exc_info else "",
        }
        members = {"time": iso_time(record.created), "type": "service", "level": record.levelname}
        facts = getattr(record, "members", {})  # those of the message, by their names
        told = {**texts, **{name: text[:_LONGEST_MESSAGE] for name, text in facts.items()}}
        return json.dumps({**members, **{name: text for name, text in told.items() if text}})


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}... ({len(message)} characters)"
    return printable(message)


def _of_request(message: str) -> str:
    request_id = answered.get().request_id
    return message if request_id in message else f"request {request_id}: {message}"
