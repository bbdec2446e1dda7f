"""The header ``traceparent`` (W3C Trace Context): which trace a request belongs to, and its caller in it."""

import re

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_FIRST_VERSION = "00-"
_LENGTH = 55  # characters of all versions so far


def traceparent_in(text: str | None) -> str:
    """Return the *text* of the header as the first version has it, empty if it is not valid or was not sent."""
    if not text or not _TRACEPARENT.fullmatch(text):
        return ""
    is_later = not text.startswith(_FIRST_VERSION)
    return _FIRST_VERSION + text[3:_LENGTH] if is_later or len(text) == _LENGTH else ""


def trace_id_of(traceparent: str) -> str:
    """Return the id of the trace in a valid *traceparent*, 32 hexadecimal digits; empty for an empty one."""
    return traceparent[3:35]
