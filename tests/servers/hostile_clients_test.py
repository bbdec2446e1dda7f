"""What hostile clients put into requests stays within its line of the log, and who comes first wins."""

import base64
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_launcher
from tests.support.processes import Server, uwsgi
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

Run = Callable[..., AbstractContextManager[Server]]

CREATORS = 64
LAST = "the-last-one"
FORGED = "forged"  # the word with which each line would begin that a client has written
_TEXT_LINE = re.compile(
    r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ .*"
    r"|127\.0\.0\.1 - \S+ \[[^\]]+\] \".*\" \d{3} \d+ \".*\" \".*\" \d+\.\d{6} \d+ (?:complete|broken) \S+ \S+)"
)
_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")


def _basic(name: str) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"{name}:secret".encode())


# What follows the method: the target and header lines.
REQUESTS = [
    b"/a%0aforged%0d%0aforged HTTP/1.1",
    b"/a%1b[31m%00%7f%c2%85%e2%80%a8forged HTTP/1.1",
    b"/a%22%20200%205%20%22forged HTTP/1.1",
    b"/a\\nforged\\x0aforged HTTP/1.1",
    b"/a\x1b]0;forged\x07 HTTP/1.1",
    b"/a\xe2\x80\xa8forged HTTP/1.1",
    b"/a?x=%0aforged HTTP/1.1",
    b'/a HTTP/1.1\r\nUser-Agent: x" 200 5 "forged',
    b"/a HTTP/1.1\r\nUser-Agent: x\x1b[2Jforged\x0b\x0c",
    b"/a HTTP/1.1\r\nUser-Agent: x\rforged",
    b"/a HTTP/1.1\r\nUser-Agent: x\x85forged\xff",
    b"/a HTTP/1.1\r\nReferer: x\r\n\tforged",
    b'/a HTTP/1.1\r\nReferer: x\\"forged\\',
    b"/a HTTP/1.1\r\nX-Request-Id: x\x1bforged",
    b"/a HTTP/1.1\r\nX-Request-Id: x forged",
    b"/a HTTP/1.1\r\ntraceparent: 00-x\x1bforged-1",
    b"/a HTTP/1.1\r\nX-Forwarded-For: x\x1bforged",
    b"/a HTTP/1.1\r\n" + _basic("x\nforged"),
    b"/a HTTP/1.1\r\n" + _basic('x" \x1b[31m \u2028forged'),
    b"/a HTTP/1.1\r\nContent-MD5: x\x1bforged\r\nContent-Length: 0",
    b"/a HTTP/1.1\r\nLast-Modified: x\x0bforged\r\nContent-Length: 0",
    b"/a HTTP/1.1\x1bforged",
]
METHODS = (b"GET", b"HEAD", b"PUT", b"POST", b"PATCH", b"DELETE", b"BREW", b"G\x1bforged")


@pytest.mark.parametrize(
    ("run", "options"), [(forked_launcher, ()), (uwsgi, ("--disable-logging",))], ids=["launcher", "uWSGI"]
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_client_writes_a_line_of_the_log(run: Run, options: Sequence[str], form: str, tmp_path: Path) -> None:
    prefix, config = tmp_path / "archive", tmp_path / "config.ini"
    prefix.mkdir()
    config.write_text(f"[log]\naccess = {'json' if form == 'json' else 'combined'}\nformat = {form}\n")
    with run(prefix, *options, env={"ARCHIVEINTERFACE_CONFIG": str(config)}) as server:
        before = len(server.stderr)
        for number, request in enumerate(REQUESTS):
            for method in {b"GET", b"PUT", METHODS[number % len(METHODS)]}:
                send(server, method + b" " + request + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
        requests.get(server.url, headers={"X-Request-Id": LAST}, timeout=TIMEOUT)
        await_true(lambda: LAST in server.stderr)
        lines = [line for line in server.stderr[before:].split("\n") if line]
    assert any(FORGED in line for line in lines)
    for line in lines:
        assert not _NOT_PLAIN.search(line), ascii(line)
        assert is_json(line) if form == "json" else _TEXT_LINE.fullmatch(line), ascii(line)


def send(server: Server, request: bytes) -> None:
    """Send *request* and read what comes, until the connection ends."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionError:
            pass


def is_json(line: str) -> bool:
    """Return whether *line* is a JSON object."""
    return isinstance(json.loads(line), dict)


@pytest.mark.parametrize(
    ("run", "options"), [(forked_launcher, ("--processes", "2")), (uwsgi, ())], ids=["launcher", "uWSGI"]
)
def test_of_64_creators_of_one_file_one_wins(run: Run, options: Sequence[str], tmp_path: Path) -> None:
    at_once = threading.Barrier(CREATORS)
    with run(tmp_path, *options) as server:
        url, only_new = f"{server.url}/64", {"If-None-Match": "*"}

        def create(number: int) -> int:
            at_once.wait(TIMEOUT)
            return requests.put(url, data=str(number) * 1000, headers=only_new, timeout=TIMEOUT).status_code

        with ThreadPoolExecutor(CREATORS) as pool:
            statuses = list(pool.map(create, range(CREATORS)))
        assert Counter(statuses) == {201: 1, 412: CREATORS - 1}
        assert requests.get(url, timeout=TIMEOUT).text == str(statuses.index(201)) * 1000
