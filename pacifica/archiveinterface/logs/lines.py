"""The line that a request gets in the access log.

Clients choose most of it: what is not printable ASCII gets an escape, and a line has at most 4096 bytes, which one
write to a pipe keeps together.
"""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import lru_cache

from ..web.exchange import Exchange

LONGEST_LINE = 4096  # bytes, its end included
_LONGEST_VALUES = (1000, 100)  # characters: the second when a line with the first is too long
_PLAIN = re.compile(r"[ !#-\[\]-~]{0,2000}")  # printable ASCII without quotes and backslashes

Line = Callable[[Exchange], str]
"""Returns the line of a request, its end included."""


def combined_line(exchange: Exchange) -> str:
    """Return the line in the combined form of web servers, and after it what that lacks.

    That is: seconds, bytes received, whether the answer is ``complete`` or ``broken``, request id and trace id.
    """
    for most in _LONGEST_VALUES:
        line = _combined(exchange, most)
        if len(line) <= LONGEST_LINE:
            break
    return line


def _combined(exchange: Exchange, most: int) -> str:
    client, user = _word(exchange.client, most), _word(exchange.user or "", most)
    request = _quotable(f"{exchange.method} {exchange.target}", most)
    return (
        f'{client} - {user} [{_date(int(exchange.begun))}] "{request} {_quotable(exchange.protocol, most)}"'
        f' {exchange.status} {exchange.sent} "{_quotable(exchange.referer, most) or "-"}"'
        f' "{_quotable(exchange.user_agent, most) or "-"}" {exchange.seconds:.6f} {exchange.received}'
        f" {'broken' if exchange.broke_off else 'complete'} {exchange.request_id} {exchange.trace_id or '-'}\n"
    )


def json_line(exchange: Exchange) -> str:
    """Return the line as a JSON object."""
    for most in _LONGEST_VALUES:
        line = json.dumps(_members(exchange, most)) + "\n"
        if len(line) <= LONGEST_LINE:
            break
    return line


def _members(exchange: Exchange, most: int) -> dict[str, object]:
    texts = {
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
        "client": exchange.client,
        "user": exchange.user,
        "method": exchange.method,
        "target": exchange.target,
        "protocol": exchange.protocol,
        "referer": exchange.referer,
        "user_agent": exchange.user_agent,
    }
    return {
        "time": iso_time(exchange.begun),
        "type": "access",
        **{name: _cut(_decoded(text), most) for name, text in texts.items() if text},
        "status": exchange.status,
        "seconds": round(exchange.seconds, 6),
        "first_byte_seconds": round(exchange.first_byte, 6),
        "bytes_received": exchange.received,
        "bytes_sent": exchange.sent,
        "complete": not exchange.broke_off,
    }


def iso_time(seconds: float) -> str:
    """Return the moment in UTC, as RFC 3339 has it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


@lru_cache(maxsize=64)
def _date(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))


def _word(text: str, most: int) -> str:
    return _quotable(text, most).replace(" ", "\\x20") or "-"


def _quotable(text: str, most: int) -> str:
    """Return *text*, of *most* characters, with escapes as a quoted part of a line needs them."""
    shown = _cut(text, most)
    if _PLAIN.fullmatch(shown):
        return shown
    return shown.encode("unicode_escape").decode().replace('"', '\\"')


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _decoded(text: str) -> str:
    """Return a text that WSGI has as bytes in the guise of characters (PEP 3333), read as UTF-8."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode(errors="backslashreplace")
