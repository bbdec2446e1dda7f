"""The line that a request gets in the access log.

Clients choose most of it: what is not printable ASCII gets an escape, and a line has at most 4096 bytes, which one
write to a pipe keeps together.
"""

import json
import re
import time
from collections.abc import Callable
from functools import lru_cache

from ..http.headers.trace_context import trace_id_of
from ..web.exchange import Exchange

LONGEST_LINE = 4096  # bytes, its end included
_LONGEST_VALUES = (1000, 80)  # characters: the second when a line with the first is too long
_PLAIN = re.compile(r"[ !#-\[\]-~]{0,2000}")  # printable ASCII without quotes and backslashes

Line = Callable[[Exchange], str]
"""Returns the line of a request, its end included."""


def combined_line(exchange: Exchange) -> str:
    """Return the line in the combined form of web servers, and after it what that lacks.

    That is: seconds, bytes received, whether the answer is ``complete`` or ``broken``, request id and trace id.
    """
    return _line(exchange, _combined, _with_escapes)


def json_line(exchange: Exchange) -> str:
    """Return the line as a JSON object."""
    return _line(exchange, _json, _with_json_escapes)


def iso_time(seconds: float) -> str:
    """Return the moment in UTC, as RFC 3339 has it."""
    return f"{_utc(int(seconds))}.{int(seconds % 1 * 1000):03}Z"


def _line(exchange: Exchange, form: Callable[..., str], escape: Callable[[str], str]) -> str:
    given = (
        exchange.client,
        _as_sent(exchange.user or ""),
        exchange.method,
        exchange.target,
        exchange.protocol,
        exchange.referer,
        exchange.user_agent,
    )
    if _PLAIN.fullmatch("".join(given)):
        return form(exchange, *given)
    for most in _LONGEST_VALUES:
        line = form(exchange, *[escape(text if len(text) <= most else f"{text[:most]}...") for text in given])
        if len(line) <= LONGEST_LINE:
            break
    return line


def _as_sent(name: str) -> str:
    """Return the name of a user, which is decoded, as the other values are, which are not (PEP 3333)."""
    return name if name.isascii() else name.encode(errors="surrogateescape").decode("latin-1")


def _combined(
    exchange: Exchange, client: str, user: str, method: str, target: str, protocol: str, referer: str, user_agent: str
) -> str:
    return (
        f"{_word(client)} - {_word(user)} [{_local(int(exchange.begun))}]"
        f' "{method} {target} {protocol}" {exchange.status} {exchange.sent} "{referer or "-"}" "{user_agent or "-"}"'
        f" {exchange.seconds:.6f} {exchange.received} {'broken' if exchange.broke_off else 'complete'}"
        f" {exchange.request_id} {trace_id_of(exchange.traceparent) or '-'}\n"
    )


def _json(
    exchange: Exchange, client: str, user: str, method: str, target: str, protocol: str, referer: str, user_agent: str
) -> str:
    return (
        f'{{"time": "{iso_time(exchange.begun)}", "type": "access", "request_id": "{exchange.request_id}",'
        f' "trace_id": "{trace_id_of(exchange.traceparent)}", "client": "{client}", "user": "{user}",'
        f' "method": "{method}", "target": "{target}", "protocol": "{protocol}", "status": {exchange.status},'
        f' "seconds": {exchange.seconds:.6f}, "first_byte_seconds": {exchange.first_byte:.6f},'
        f' "bytes_received": {exchange.received}, "bytes_sent": {exchange.sent},'
        f' "complete": {"false" if exchange.broke_off else "true"},'
        f' "referer": "{referer}", "user_agent": "{user_agent}"}}\n'
    )


def _word(text: str) -> str:
    return text.replace(" ", "\\x20") or "-"


def _with_escapes(text: str) -> str:
    return text.encode("unicode_escape").decode().replace('"', '\\"')


def _with_json_escapes(text: str) -> str:
    # WSGI has bytes in the guise of characters (PEP 3333); most of them are UTF-8.
    told = text if text.isascii() else text.encode("latin-1", "replace").decode(errors="backslashreplace")
    return json.dumps(told)[1:-1]


@lru_cache(maxsize=64)
def _local(second: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))


@lru_cache(maxsize=64)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
