"""Fetching a JSON document of an issuer, bounded in size and time.

http.client instead of urllib, which follows redirects and has no bound for a whole answer.
"""

import json
import re
import ssl
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from socket import SHUT_RDWR, socket
from threading import Timer
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ...exception import BackendUnavailableError
from ...http.headers.request_head import is_loopback

_MOST_BYTES = 1 << 20
_PLAIN = re.compile(r"[!-~]+")


def issuer_url(text: str) -> str:
    """Parse the URL of a document of an issuer: https, or http on this host, without user, blanks and fragment."""
    _split(text)
    return text


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
    except ValueError:  # of the port, or of an address in brackets
        is_complete = False
    if not is_complete or not _PLAIN.fullmatch(url):
        raise ValueError("a URL of a host, without user, blanks and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError("a URL with https, or with http on this host")
    return parts


def fetch_json(url: str, seconds: float) -> dict[str, Any]:
    """Return the JSON object at *url*, which has to arrive within *seconds*. Raises BackendUnavailableError."""
    try:
        body = _fetch(_split(url), seconds)
        found = json.loads(body)
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise BackendUnavailableError(f"{url}: {error or type(error).__name__}") from error
    if not isinstance(found, dict):
        raise BackendUnavailableError(f"{url}: not a JSON object")
    return found


def _fetch(url: SplitResult, seconds: float) -> bytes:
    assert url.hostname
    connection: HTTPConnection = (
        HTTPSConnection(url.hostname, url.port, timeout=seconds, context=ssl.create_default_context())
        if url.scheme == "https"
        else HTTPConnection(url.hostname, url.port, timeout=seconds)
    )
    with closing(connection):
        connection.connect()
        # The time-out of the socket begins anew with each byte.
        end = Timer(seconds, _cut, [connection.sock])
        end.daemon = True
        end.start()
        try:
            return _answer(connection, (url.path or "/") + (f"?{url.query}" if url.query else ""))
        finally:
            end.cancel()


def _answer(connection: HTTPConnection, target: str) -> bytes:
    connection.request("GET", target, headers={"Accept": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise HTTPException(f"the answer is {answer.status}, and redirects are not followed")
    body = answer.read(_MOST_BYTES + 1)
    if len(body) > _MOST_BYTES:
        raise HTTPException(f"the answer has more than {_MOST_BYTES} bytes")
    return body


def _cut(connection: socket) -> None:
    with suppress(OSError):  # closed already
        connection.shutdown(SHUT_RDWR)
