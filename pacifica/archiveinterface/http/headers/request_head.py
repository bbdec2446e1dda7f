"""The head of a request: request line, header fields, and the framing of the body (RFC 9112).

What two recipients could read in two ways is refused: a proxy before the service and the service
itself must agree on where a request ends.
"""

import random
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import quote

from ...exception import BodyError, BodyTooLargeError, FileIdError, HeadError, HttpVersionError, TransferCodingError

LARGEST_LENGTH = (1 << 63) - 1  # bytes; no file is longer
EMPTY_LINE = b"\r\n"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME = re.compile(_TOKEN)
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_REQUEST_LINE = re.compile(rb"(%b) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])\r\n" % _TOKEN)
_ABSOLUTE_FORM = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
# Clients of other services send them in the query. Here nothing reads them, but logs would keep them.
_CREDENTIALS = re.compile(r"([?&](?:access_token|authz)=)[^&#\s]+", re.IGNORECASE)
# A fragment, a slash that is encoded, or a dot segment (RFC 3986, 3.3), encoded or not.
_NOT_ONE_SEGMENT = re.compile(r"#|%2f|(?:^|/)(?:\.|%2e){1,2}(?:/|\Z)", re.IGNORECASE)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

# Not lists: two of them contradict each other (RFC 9110, 5.3).
_SINGLE = frozenset(
    (
        b"Authorization",
        b"Content-Length",
        b"Content-Md5",
        b"Content-Range",
        b"Content-Type",
        b"Host",
        b"If-Modified-Since",
        b"If-Range",
        b"If-Unmodified-Since",
        b"Last-Modified",
        b"Range",
    )
)


class RequestLine(NamedTuple):
    """The first line of a request; *target* begins with a slash, *version* is ``HTTP/1.0`` or ``HTTP/1.1``."""

    method: bytes
    target: bytes
    version: bytes


def parse_request_line(line: bytes) -> RequestLine:
    """Return what *line*, its end included, asks for. Raises HeadError, HttpVersionError.

    A target in absolute form loses scheme and authority; ``*`` stands for the root.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if not match:
        raise HeadError("the request line is a method, a path and HTTP/1.1, with one space between them")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise HttpVersionError("this service speaks HTTP/1.1 and HTTP/1.0")
    version = b"HTTP/1.0" if minor == b"0" else b"HTTP/1.1"
    return RequestLine(method, _path_of(method, target), version)


def _path_of(method: bytes, target: bytes) -> bytes:
    if target == b"*" and method == b"OPTIONS":
        return b"/"
    authority = _ABSOLUTE_FORM.match(target)
    if authority:
        rest = target[authority.end() :]
        target = rest if rest.startswith(b"/") else b"/" + rest
    if not target.startswith(b"/") or b"#" in target:
        raise HeadError("the request target is a path, without fragment")
    return target


def parse_headers(lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the header fields in *lines*, each with its end, the names in title case. Raises HeadError.

    Fields of one name are joined, as those of lists may be. A name with an underscore is left out:
    WSGI could not tell it from the name with a hyphen.
    """
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.removesuffix(EMPTY_LINE).partition(b":")
        if not (colon and line.endswith(EMPTY_LINE) and _NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise HeadError("a header line is a name, a colon and a value, and is not continued on the next line")
        if b"_" in name:
            continue
        title, value = name.title(), value.strip(b" \t")
        if title in headers:
            if title in _SINGLE:
                raise HeadError(f"send {title.decode()} once")
            value = headers[title] + b", " + value
        headers[title] = value
    return headers


def body_length(transfer_encoding: str | None, content_length: str | None, version: str) -> int | None:
    """Return the announced length of a body in bytes, 0 without any header, None for a chunked body (RFC 9112, 6).

    Raises BodyError, TransferCodingError, BodyTooLargeError. Both headers at once are an error.
    """
    if transfer_encoding is None:
        return 0 if content_length is None else _length(content_length)
    codings = [coding.strip(" \t").lower() for coding in transfer_encoding.split(",")]
    if version == "HTTP/1.0" or codings[-1] != "chunked" or "chunked" in codings[:-1]:
        raise BodyError("the only Transfer-Encoding is chunked, once, with HTTP/1.1")
    if content_length is not None:
        raise BodyError("send Content-Length or Transfer-Encoding, not both")
    if len(codings) > 1:
        raise TransferCodingError("the only Transfer-Encoding that is supported is chunked")
    return None


def _length(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BodyError("Content-Length is not a number")
    digits = text.lstrip("0")
    if len(digits) > 19 or int(digits or "0") > LARGEST_LENGTH:
        raise BodyTooLargeError("no file is as long as Content-Length says")
    return int(digits or "0")


def request_id(given: str | None) -> str:
    """Return the id of a request: the *given* one if it is short and plain, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def without_credentials(target: str) -> str:
    """Return *target*, or a request line with it, for logs: without tokens in the query."""
    return _CREDENTIALS.sub(r"\1...", target) if "?" in target else target


def target_of(environ: Mapping[str, Any]) -> str:
    """Return the target of the request in *environ* (PEP 3333) as the client wrote it, if the server tells."""
    written: str = environ.get("REQUEST_URI") or environ.get("RAW_URI") or quote(environ["PATH_INFO"], "/", "latin-1")
    return written


def is_loopback(host: str) -> bool:
    """Return whether the address or name *host* stands for this host itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def file_id_of(environ: Mapping[str, Any]) -> str:
    """Return the one path segment that *environ* (PEP 3333) asks for, empty for the root. Raises FileIdError."""
    # PATH_INFO is decoded, and by some servers tidied: what the client really wrote is in REQUEST_URI.
    written = environ.get("REQUEST_URI", "").partition("?")[0]
    if _NOT_ONE_SEGMENT.search(written):
        raise FileIdError("a file id is one path segment, without slash, encoded or not, and not a dot segment")
    try:
        path: str = environ["PATH_INFO"].encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise FileIdError("a file id is UTF-8") from error
    return path.lstrip("/")
