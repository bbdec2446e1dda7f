"""Requests in which a proxy and the service behind it could find different ends, each with another one hidden in it."""

import re
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.waiting import TIMEOUT

# nginx says what it took for a request and passed on, to no upstream: "-".
LOG_FORMAT = "log_format passed '$request_method $request_uri $upstream_addr';"
_PASSED = re.compile(r"^(\S+) (/.+) (?!-$)\S+$", re.MULTILINE)
_SERVED = re.compile(r'^\S+ - \S+ \[[^\]]+\] "(\S+) (/[^ "]+) [^"]*" ', re.MULTILINE)
_OF_OTHERS = re.compile(r"/\d{1,3}")

_HOST = b"Host: a\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CODINGS = [
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked;q=1",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"X: y\r\n Transfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    b"Transfer_Encoding: chunked",
    b"Transfer-Encoding\x00: chunked",
    b"\x00Transfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding",
    b"Transfer-Encoding: chunked\r\nX-Pacifica-Chunked: checked",
    b"Transfer-Encoding: chunked\r\nX_Pacifica_Chunked: checked",
]
_LENGTHS = [
    b"Content-Length: 0\r\nContent-Length: %d",
    b"Content-Length: %d\r\nContent-Length: 0",
    b"Content-Length: 0, %d",
    b"Content-Length: %d, 0",
    b"Content-Length: +%d",
    b"Content-Length: 0%d",
    b"Content-Length: %d ",
    b"Content-Length : %d",
    b"Content-Length:\r\n %d",
    b"Content-Length: 0\r\n %d",
    b"Content-Length: 0\rContent-Length: %d",
    b"Content_Length: 0\r\nContent-Length: %d",
    b"Content-Length: 0\r\nContent_Length: %d",
    b"Content-Length: %d\r\nConnection: Content-Length",
    b"Content-Length: %d\r\nConnection: close, Content-Length",
    b"Content-Length: %d\x00",
    b"Content-Length: %d\r\nExpect: 100-continue",
    b"Content-Length: %d\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings",
    b"Content-Length: %d\r\nX-Forwarded-For: a\r\nX-HTTP-Method-Override: DELETE",
]
_CHUNKS = [
    b"1\r\nx\r\n0\r\n\r\n",
    b"1;a=b\r\nx\r\n0\r\n\r\n",
    b"1;\r\nx\r\n0\r\n\r\n",
    b'1;a="\r\nx\r\n0\r\n\r\n',
    b"1;a\nx\r\n0\r\n\r\n",
    b"1;a\rb\r\nx\r\n0\r\n\r\n",
    b"1 \r\nx\r\n0\r\n\r\n",
    b"1\nx\n0\n\n",
    b"01\r\nx\r\n00\r\n\r\n",
    b"0x1\r\nx\r\n0\r\n\r\n",
    b"-1\r\nx\r\n0\r\n\r\n",
    b"+1\r\nx\r\n0\r\n\r\n",
    b"10000000000000001\r\nx\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\nx\r\n0\r\n\r\n",
    b"1\r\nxy\r\n0\r\n\r\n",
    b"1\r\nx0\r\n\r\n",
    b"1\r\nx\r\n0\r\nContent-Length: 5\r\nX: y\r\n\r\n",
    b"1\r\nx\r\n0\r\nbroken\r\n\r\n",
    b"1\r\nx\r\n0\r\n X: y\r\n\r\n",
    b"1\r\nx\r\n0;a=b\r\n\r\n",
    b"1\r\nx\r\n0\r\n",
    b"zz\r\n",
    b"\r\n",
]
_LINES = [
    b"GET /%(own)s HTTP/1.1\r\n",
    b"HEAD /%(own)s HTTP/1.1\r\n",
    b"POST /%(own)s HTTP/1.1\r\n",
    b"DELETE /%(own)s HTTP/1.1\r\n",
    b"OPTIONS /%(own)s HTTP/1.1\r\n",
    b"PATCH /%(own)s HTTP/1.1\r\nContent-Type: application/json\r\n",
    b"PUT /%(own)s HTTP/1.0\r\n",
    b"PUT http://other.example/%(own)s HTTP/1.1\r\n",
    b"PUT http://other.example:99/%(own)s?a HTTP/1.1\r\n",
    b"PUT //%(own)s HTTP/1.1\r\n",
    b"PUT /./%(own)s HTTP/1.1\r\n",
    b"PUT /%(own)s%%20HTTP/1.1%%0d%%0aX:%%20 HTTP/1.1\r\n",
    b"PUT /%(own)s x HTTP/1.1\r\n",
    b"PUT /%(own)s\tHTTP/1.1\r\n",
    b"PUT  /%(own)s HTTP/1.1\r\n",
    b"PUT /%(own)s HTTP/1.1 \r\n",
    b"PUT /%(own)s HTTP/1.1\n",
    b"PUT /%(own)s HTTP/1.2\r\n",
    b"PUT /%(own)s HTTP/2.0\r\n",
    b"put /%(own)s HTTP/1.1\r\n",
    b"\r\n\r\nPUT /%(own)s HTTP/1.1\r\n",
]
_WHOLE = [
    b"GET /%(own)s\r\n%(hidden)s",
    b"GET /%(own)s\r\n\r\n%(hidden)s",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n%(hidden)s",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n%(hidden)s",
    b"GET /%(own)s HTTP/1.1\nHost: a\n\n%(hidden)s",
    b"GET /%(own)s HTTP/1.1\r\nHost: a\r\n\r\n%(hidden)s%(hidden)s",
    b"PUT /%(own)s HTTP/1.1\r\nHost: a\r\n%(hidden)s",
    b"PUT /%(own)s HTTP/1.1\r\nHost: a\r\n\r\n%(hidden)s",
    b"PUT /%(own)s HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n%(hidden)s",
]


def payloads() -> list[bytes]:
    """Return what is sent, each on a connection of its own and for files of its own."""
    made: list[bytes] = []

    def add(template: bytes, **parts: bytes) -> None:
        number = 10 * (len(made) + 100)
        hidden = b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx" % (number + 1)
        named = {
            name: value % {b"own": b"%d" % number} if b"%(own)" in value else value for name, value in parts.items()
        }
        after_end = b"0\r\n\r\n" + hidden
        in_chunk = b"%x\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n"
        values = {"own": b"%d" % number, "hidden": hidden, "after_end": after_end, "in_chunk": in_chunk, **named}
        values["length"] = b"%d" % len(after_end)
        made.append(template % {name.encode(): value for name, value in values.items()})

    put = b"PUT /%(own)s HTTP/1.1\r\n" + _HOST
    for coding in _CODINGS:
        add(put + b"Content-Length: %(length)s\r\n%(coding)s\r\n\r\n%(after_end)s", coding=coding)
        add(put + b"%(coding)s\r\nContent-Length: 4\r\n\r\n%(in_chunk)s", coding=coding)
        add(put + b"%(coding)s\r\n\r\n%(after_end)s", coding=coding)
    for length in _LENGTHS:
        add(put + length.replace(b"%d", b"%(length)s") + b"\r\n\r\n%(after_end)s")
    for chunks in _CHUNKS:
        add(put + _CHUNKED + b"\r\n%(chunks)s%(hidden)s", chunks=chunks)
    for line in _LINES:
        add(b"%(line)s" + _HOST + b"Content-Length: %(length)s\r\n\r\n%(after_end)s", line=line)
        add(b"%(line)s" + _HOST + _CHUNKED + b"\r\n%(after_end)s", line=line)
    for whole in _WHOLE:
        add(whole)
    return made


def send_all(address: tuple[str, int], sent: Sequence[bytes]) -> None:
    """Send each on a connection of its own, all at once, and read what comes until the connections end."""
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(address, TIMEOUT)) for _ in sent]
        for connection, payload in zip(connections, sent, strict=True):
            connection.sendall(payload)
        for connection in connections:
            try:
                while connection.recv(1 << 16):
                    pass
            except ConnectionError:
                pass


def passed(log: Path) -> Counter[tuple[str, str]]:
    """Return the requests that nginx has passed on, by its *log*: verb and target, as in `served`."""
    return _counted(_PASSED, log)


def served(log: Path) -> Counter[tuple[str, str]]:
    """Return the requests that the service has had, by its *log*, but those of ``/`` and of ids that no payload has.

    What other tests have begun may end, and be logged, meanwhile.
    """
    return _counted(_SERVED, log)


def _counted(pattern: re.Pattern[str], log: Path) -> Counter[tuple[str, str]]:
    found = (match.groups() for match in pattern.finditer(log.read_text(errors="replace")))
    return Counter((verb, target) for verb, target in found if not _OF_OTHERS.fullmatch(target))
