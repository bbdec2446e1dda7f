"""Random requests over raw sockets, and an oracle that knows which of them are framed well and what they store.

The oracle is written from RFC 9112 and shares no code with the service. ``python -m tests.fuzz`` sends many requests to
a service of each kind (``make test-fuzz``); framing_test sends a few.
"""

import argparse
import json
import os
import random
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote_to_bytes

from tests.support.processes import Server, launcher, uwsgi
from tests.support.service import TIMEOUT

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNDERSCORED = re.compile(rb"content_length|transfer_encoding", re.IGNORECASE)
CONTENT = bytes(range(256)) * 4
IDS = (b"7", b"8", b"9")
PAGES = (
    b"/",
    b"/-/health",
    b"/-/ready",
    b"/-/metrics",
    b"/-/openapi.json",
    b"/-/version",
    b"/-/recalls",
    b"/-/recalls/events",
    b"/-/uploads",
    b"/-/no-such",
    b"/-/",
    b"/.well-known/wlcg-tape-rest-api",
)
TAPE = b"/api/v1/"
TAPE_API = (
    b"stage",
    b"stage/",
    b"stage/no-such",
    b"stage/no-such?since=1",
    b"stage/no-such/cancel",
    b"stage/%00",
    b"release/no-such",
    b"archiveinfo",
    b"archiveinfo/",
    b"no-such",
    b"",
)
JSON = (
    b'{"files": [{"path": "/7"}, {"path": "//8/"}]}',
    b'{"files": [{"path": "/7", "diskLifetime": "PT1S", "targetedMetadata": {"default": {"activity": "x"}}}]}',
    b'{"files": [{"path": "/7", "diskLifetime": "P99999999999D"}]}',
    b'{"files": [{"path": "/7", "targetedMetadata": [[]]}, {"path": null}]}',
    b'{"files": [7, "7", null, [], {}]}',
    b'{"files": {"path": "/7"}}',
    b'{"files": []}',
    b'{"paths": ["/7", "/no-such", "7", "", "/../7", "/7\\u0000", "/\\ud800"]}',
    b'{"paths": ["/7", 7, null]}',
    b'{"paths": "/7"}',
    b'{"path": "/7"}',
    b"{}",
    b"[]",
    b"null",
    b"NaN",
    b'{"files": [{"path": "/7"}]',
    b'{"paths": [1e999, -0, 123456789012345678901234567890]}',
    b"[" * 600,
    b"\xef\xbb\xbf{}",
    b'{"paths": ["\xff"]}',
)
KNOWN = (b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"DELETE", b"OPTIONS")
SINGLE = {
    b"host",
    b"content-range",
    b"content-type",
    b"last-modified",
    b"range",
    b"if-range",
    b"content-md5",
}


@dataclass
class Case:
    """One request as it is sent, byte by byte, in *pieces*."""

    pieces: list[bytes]

    @property
    def sent(self) -> bytes:
        """All bytes of it."""
        return b"".join(self.pieces)


@dataclass
class Verdict:
    """What the oracle says of a request: whether head and framing are right, and the body if it came whole."""

    is_good: bool
    is_readable: bool = False  # request line and header lines are right, whatever the framing is
    method: bytes = b""
    target: bytes = b""
    is_whole: bool = False
    body: bytes | None = None  # None: no body is announced, or it is not whole


def judge(sent: bytes) -> Verdict:
    """Read the first request in *sent* as strictly as RFC 9112 allows."""
    head, end, rest = sent.partition(b"\r\n\r\n")
    if not end:
        return Verdict(False)
    line, *fields = head.split(b"\r\n")
    match = re.fullmatch(rb"(\S+) (/\S*|[Hh][Tt][Tt][Pp]s?://[^/?#\s]+(?:[/?]\S*)?) HTTP/1\.([0-9])", line)
    if not match or not TOKEN.fullmatch(match[1]) or b"#" in match[2] or re.search(rb"[\x00-\x20\x7f]", match[2]):
        return Verdict(False)
    headers = _fields(fields)
    if headers is None or (match[3] != b"0" and b"host" not in headers):
        return Verdict(False)
    is_good, is_whole, body = _body(headers, rest, is_old=match[3] == b"0")
    target = re.sub(rb"^[Hh][Tt][Tt][Pp]s?://[^/?]+", b"", match[2])
    return Verdict(is_good, True, match[1], target, is_whole, body)


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]] | None:
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            return None
        if b"_" not in name:
            headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return None if any(name in SINGLE and len(values) > 1 for name, values in headers.items()) else headers


def _body(headers: dict[bytes, list[bytes]], rest: bytes, *, is_old: bool) -> tuple[bool, bool, bytes | None]:
    lengths, codings = headers.get(b"content-length", []), headers.get(b"transfer-encoding", [])
    if codings:
        if lengths or is_old or b",".join(codings).strip().lower() != b"chunked":
            return False, False, None
        content = _chunks(rest)
        return True, content is not None, content
    if not lengths:
        return True, True, None
    if len(lengths) > 1:
        return False, False, None
    if not re.fullmatch(rb"[0-9]+", lengths[0]):
        return False, False, None
    is_whole = int(lengths[0]) <= len(rest)
    return True, is_whole, rest[: int(lengths[0])] if is_whole else None


def _chunks(rest: bytes) -> bytes | None:
    content = b""
    while match := re.match(rb"([0-9A-Fa-f]+)[ \t]*(?:;[^\r\n\x00]*)?\r\n", rest):
        size, rest = int(match[1], 16), rest[match.end() :]
        if not size:
            return content if re.match(rb"(?:[^\r\n]+\r\n){0,99}\r\n", rest) else None
        if rest[size : size + 2] != b"\r\n":
            return None
        content, rest = content + rest[:size], rest[size + 2 :]
    return None


class Generator:
    """Makes requests: mostly good ones, then some of their bytes are changed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def case(self) -> Case:
        """Return the next request."""
        pick = self._random
        method, target, body, headers = self._tape_api() if pick.random() < 0.25 else self._of_files()
        framing, encoded = self._framing(body)
        headers += [b"Host: a", *framing, *self._other_headers()]
        pick.shuffle(headers)
        if pick.random() < 0.1:
            headers.append(pick.choice(headers))
        line = b" ".join(
            (
                method,
                target,
                pick.choice(
                    (b"HTTP/1.1",) * 60
                    + (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/01.1", b"HTTP/1.-5", b"http/1.1")
                ),
            )
        )
        sent = b"\r\n".join((line, *headers, b"", encoded))
        if pick.random() < 0.3:
            sent = self._damaged(sent)
        return Case(self._pieces(sent))

    def _of_files(self) -> tuple[bytes, bytes, bytes, list[bytes]]:
        pick = self._random
        method = pick.choice((b"PUT",) * 6 + KNOWN + (b"delete", b"BREW", b"P\xfcT"))
        return method, self._target(), CONTENT[: pick.choice((0, 1, 5, 64, 700))], []

    def _tape_api(self) -> tuple[bytes, bytes, bytes, list[bytes]]:
        pick = self._random
        if pick.random() < 0.3:
            return pick.choice((b"GET",) * 4 + KNOWN), pick.choice(PAGES), b"", []
        body = pick.choice(JSON[:2] * 10 + JSON + (b"", CONTENT[:64]))
        headers = pick.choice(([b"Content-Type: application/json"],) * 5 + ([], [b"Content-Type: text/plain"]))
        return pick.choice((b"POST",) * 9 + KNOWN), TAPE + pick.choice(TAPE_API[:1] * 5 + TAPE_API), body, list(headers)

    def _target(self) -> bytes:
        pick = self._random
        file_id = pick.choice(IDS)
        return pick.choice(
            (b"/" + file_id,) * 60
            + (
                b"//" + file_id,
                b"http://a/" + file_id,
                b"/%3" + file_id,
                b"/..",
                b"/" + file_id + b"?self=1",
                b"/" + file_id + b"?%ff",
                b"/%00",
                b"/a/b",
                b"/" + file_id + b"#x",
                b"*",
                b"",
                b"/?1,2x",
            )
        )

    def _framing(self, body: bytes) -> tuple[list[bytes], bytes]:
        pick = self._random
        length = b"Content-Length: %d" % len(body)
        kind = pick.random()
        if kind < 0.45:
            return [length], body
        if kind < 0.75:
            return [b"Transfer-Encoding: chunked"], self._chunked(body)
        odd: tuple[list[bytes], ...] = (
            [length, length],
            [length, b"Content-Length: 0"],
            [b"Content-Length: %d, %d" % (len(body), len(body))],
            [b"Content_Length: 1", length],
            [b"Content-Length: +%d" % len(body)],
            [b"Content-Length: 0x%x" % len(body)],
            [b"Content-Length: %d" % (1 << pick.choice((62, 63, 64, 70)))],
            [b"Content-Length : %d" % len(body)],
            [b"Content-Length:"],
            [length, b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: gzip, chunked"],
            [b"Transfer-Encoding: chunked, chunked"],
            [b"Transfer-Encoding: xchunked"],
            [b"Transfer-Encoding: identity", length],
            [b"Transfer_Encoding: chunked"],
            [b"Transfer-Encoding:\tCHUNKED "],
            [b"Transfer-Encoding: chunked", b" folded"],
            [],
        )
        chosen = pick.choice(odd)
        return list(chosen), self._chunked(body) if pick.random() < 0.5 else body

    def _chunked(self, body: bytes) -> bytes:
        pick = self._random
        encoded = b""
        while body:
            size = pick.randint(1, len(body))
            extension = pick.choice((b"",) * 5 + (b";a=b", b' ; a="b"', b";"))
            digits = pick.choice((b"%x", b"%X", b"0%x")) % size
            encoded += digits + extension + b"\r\n" + body[:size] + b"\r\n"
            body = body[size:]
        return encoded + b"0\r\n" + pick.choice((b"",) * 5 + (b"X: y\r\n",)) + b"\r\n"

    def _other_headers(self) -> list[bytes]:
        names = (
            b"If-Match",
            b"If-None-Match",
            b"Range",
            b"If-Range",
            b"Last-Modified",
            b"Want-Digest",
            b"Repr-Digest",
            b"Digest",
            b"Content-MD5",
            b"Content-Range",
            b"Content-Type",
            b"Cookie",
            b"X-Request-Id",
            b"If-Modified-Since",
            b"Connection",
            b"X_Y",
            b"Want-Repr-Digest",
            b"Accept-Encoding",
        )
        values = (
            b"",
            b"*",
            b'"x"',
            b'W/"x", "y',
            b"bytes=0-1",
            b"bytes=1-,-1",
            b"bytes 0-1/2",
            b"1473806059",
            b"never",
            b"=?nosuch?q?a?=",
            b"=?utf-8?q?=FF?=",
            b"sha-256=:x:",
            b"md5=1",
            b"SHA256",
            b'a="\\"\\"',
            b"keep-alive",
            b"close",
            b"\xff\xfe",
            b"application/json",
            b"\t",
            b"," * 50,
        )
        pick = self._random
        return [pick.choice(names) + b": " + pick.choice(values) for _ in range(pick.choice((0, 0, 0, 1, 1, 2)))]

    def _damaged(self, sent: bytes) -> bytes:
        pick = self._random
        changed = bytearray(sent)
        for _ in range(pick.choice((1, 1, 1, 2, 5))):
            place = pick.randrange(len(changed) or 1)
            kind = pick.random()
            if kind < 0.35 and changed:
                changed[place] = pick.choice(b'\r\n\t \0:;,0159afAFxX-_/%?#"=\x7f\xff')
            elif kind < 0.6:
                del changed[place : place + pick.choice((1, 1, 2, 8))]
            elif kind < 0.9:
                changed[place:place] = pick.choice(
                    (b"\r\n", b"\n", b"\r", b" ", b"\0", b"0", b":", b"\r\n ", b"Content-Length: 3\r\n")
                )
            else:
                del changed[place:]
        return bytes(changed)

    def _pieces(self, sent: bytes) -> list[bytes]:
        if self._random.random() < 0.8 or len(sent) < 2:
            return [sent]
        place = self._random.randrange(1, len(sent))
        return [sent[:place], sent[place:]]


class FuzzError(AssertionError):
    """The service did what it may not; the text names seed, request and answer."""


def answers_in(received: bytes, method: bytes, *, is_strict: bool = True) -> list[tuple[int, bytes]]:
    """Return status and body of each answer; raises ValueError when one is not well-formed."""
    found = []
    # uWSGI repeats the version that the client sent.
    status_line = re.compile(
        rb"HTTP/1\.[01] ([1-5]\d\d) [^\r\n\x00]*" if is_strict else rb".*? ([1-5]\d\d) [A-Z].*", re.DOTALL
    )
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        match = status_line.fullmatch(line)
        if not end or not match:
            raise ValueError(f"not an answer: {received[:200]!r}")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
        status = int(match[1])
        if status == 100:
            received = rest
            continue
        length = 0 if method == b"HEAD" or status in (204, 304) else _length_of(headers, rest)
        if len(rest) < length:
            raise ValueError(f"the answer is short: {received[:200]!r}")
        if status >= 400 and method != b"HEAD":
            error = json.loads(rest[:length])
            if not str(error["status"]).startswith(str(status)) or error.get("traceback"):
                raise ValueError(f"not an error of ours: {error}")
        if b"x-request-id" not in headers:
            raise ValueError("the answer has no id")
        found.append((status, rest[:length]))
        received = rest[length:]
        method = b""  # of what follows nothing is known
    return found


def _length_of(headers: dict[bytes, bytes], rest: bytes) -> int:
    """Return how many bytes of *rest* are the body; events are sent until the connection closes."""
    is_stream = headers.get(b"content-type") == b"text/event-stream" and b"content-length" not in headers
    return len(rest) if is_stream else int(headers[b"content-length"])


def exchange(address: tuple[str, int], case: Case) -> tuple[bytes, bool]:
    """Send *case*, end the sending side, and return all that comes back, and whether the connection was reset."""
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received, is_reset = b"", False
        try:
            for piece in case.pieces:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # the service closed the connection before the last piece
            is_reset = True
        try:
            while block := connection.recv(1 << 16):
                received += block
        except ConnectionError:
            is_reset = True
        return received, is_reset


def check(address: tuple[str, int], prefix: Path, case: Case, *, is_strict: bool = True) -> int:
    """Send *case* and compare what the service did with the verdict; return the status. Raises FuzzError."""
    before = _stored(prefix)
    received, is_reset = exchange(address, case)
    verdict = judge(case.sent)
    try:
        # An empty line may come first (RFC 9112, 2.2); uWSGI takes it for a part of the method.
        line = case.sent.removeprefix(b"\r\n") if is_strict else case.sent
        answers = answers_in(received, line.partition(b" ")[0], is_strict=is_strict)
    except (ValueError, KeyError) as error:
        raise FuzzError(f"{error}\nsent {case.sent!r}\nreceived {received!r}") from error
    first = answers[0][0] if answers else 0
    if not is_strict and (
        not (verdict.is_readable and verdict.method in (b"PUT", b"PATCH")) or _UNDERSCORED.search(case.sent)
    ):
        # uWSGI splits heads by its own rules, and takes an underscore in the name of a header for a hyphen. Other verbs
        # have no use for a body.
        verdict = Verdict(is_good=False)
        before = _stored(prefix)
        answers = [(status, body) for status, body in answers if status == 500]
    problem = _problem(verdict, answers, before, _stored(prefix))
    # What is sent behind the last request resets the connection, and the client may lose the answer.
    if problem and not (problem == "no answer" and is_reset):
        raise FuzzError(f"{problem}\nsent {case.sent!r}\nreceived {received!r}")
    for name in _stored(prefix).keys() - set(IDS):  # keep the directory small
        (prefix / os.fsdecode(name)).unlink()
    return first


def _stored(prefix: Path) -> dict[bytes, bytes]:
    return {os.fsencode(path.name): path.read_bytes() for path in prefix.iterdir() if path.is_file()}


def _problem(
    verdict: Verdict, answers: list[tuple[int, bytes]], before: dict[bytes, bytes], after: dict[bytes, bytes]
) -> str:
    statuses = [status for status, _ in answers]
    if any(status == 500 for status in statuses):
        return "500"
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    stores = verdict.method in (b"PUT", b"PATCH") or (verdict.method == b"POST" and TAPE in verdict.target)
    if not (verdict.is_good and (verdict.is_whole or not stores)) and (changed or 201 in statuses[:1]):
        return f"the request is malformed, yet {changed} changed"
    if verdict.is_good and verdict.method == b"PUT" and statuses[:1] == [201]:
        file_id = unquote_to_bytes(verdict.target.partition(b"?")[0].lstrip(b"/"))
        if len(statuses) == 1 and after.get(file_id) != verdict.body:
            return f"{file_id!r} holds {after.get(file_id)!r}"
    if verdict.is_good and verdict.is_whole and not statuses:
        return "no answer"
    if verdict.is_good and changed and verdict.method not in (b"PUT", b"DELETE") and len(statuses) == 1:
        return f"{changed} changed"
    return ""


# A worker opens these with the first request that it answers.
_KEPT = (".sqlite3", "/memfd:metrics")


def descriptors_of(server: Server) -> int:
    """Return how many files the processes of *server* have open; those that are opened once and kept do not count."""
    group = os.getpgid(server.pid)
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(entry.name)) == group:
                count += sum(map(_is_counted, (entry / "fd").iterdir()))
    return count


def _is_counted(descriptor: Path) -> bool:
    try:
        name = os.readlink(descriptor)
    except FileNotFoundError:  # it has just been closed
        return False
    return not any(kept in name for kept in _KEPT)


def run(server: Server, prefix: Path, seeds: range, *, is_strict: bool = True) -> dict[int, int]:
    """Send a request for each of *seeds* and return how often each status came. Raises FuzzError, naming the seed.

    Unless *is_strict*, heads that are not as RFC 9112 has them may be read in another way, but make no 500.
    """
    host, port = server.url.removeprefix("http://").split(":")
    address = (host, int(port))
    for seed in range(-50, 0):  # what a process opens once is open then
        exchange(address, Generator(seed).case())
    open_before, counts = descriptors_of(server), dict[int, int]()
    for seed in seeds:
        try:
            status = check(address, prefix, Generator(seed).case(), is_strict=is_strict)
        except FuzzError as failure:
            raise FuzzError(f"seed {seed}: {failure}") from failure
        counts[status] = counts.get(status, 0) + 1
    _await_descriptors(server, open_before)
    left = list((prefix / ".partial").glob("*")) if (prefix / ".partial").exists() else []
    if left:
        raise FuzzError(f"left behind: {left}")
    if "Traceback" in server.stderr:
        raise FuzzError(f"a traceback in the log:\n{server.stderr[-5000:]}")
    return counts


def _await_descriptors(server: Server, most: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while (count := descriptors_of(server)) > most:
        if time.monotonic() > deadline:
            raise FuzzError(f"{count} descriptors are open, {most} were")
        time.sleep(0.05)


@contextmanager
def _with_state(run: Callable[..., AbstractContextManager[Server]], prefix: Path | str) -> Iterator[Server]:
    """Run a server whose recalls are remembered in a directory of its own, for the tape API."""
    with tempfile.TemporaryDirectory() as state, run(prefix, env={"STATE_DIRECTORY": state}) as server:
        yield server


SERVERS = {"launcher": partial(_with_state, launcher), "uwsgi": partial(_with_state, uwsgi)}


def main() -> int:
    """Send requests to a service of each kind that the command line names, and print the statuses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="*", default=["launcher"], help="launcher, uwsgi")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--first-seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.servers:
        with tempfile.TemporaryDirectory() as directory, SERVERS[name](directory) as server:
            counts = run(
                server,
                Path(directory),
                range(given.first_seed, given.first_seed + given.requests),
                is_strict=name == "launcher",
            )
            print(name, dict(sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
