"""The body of a request, read in blocks."""

import json
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol

from ..digests import BLOCKS_HELD, Hasher
from ..exception import (
    BodyError,
    BodyTooLargeError,
    LateBodyError,
    LengthRequiredError,
    MediaTypeError,
    RequestError,
)
from .headers.request_head import body_length

_BLOCK_SIZE = 1 << 18  # bytes
# Larger blocks mean fewer hand-overs between threads: one reads, one hashes, one writes.
_LARGEST_BLOCK = 1 << 20  # bytes
_SMALLEST_BLOCK = 1 << 16  # bytes
_ALL_UPLOADS = 12 << 20  # bytes of all blocks of a process together
_LONGEST_JSON = 1 << 16  # bytes; a path is shorter
_BROKEN = "the body ended before it was complete"
_LATE = "the rest of the body did not come in time"


class _Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Uploads:
    """The uploads that are under way in this process, each within the block of ``with``."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1

    def block_size(self) -> int:
        """Return how many bytes an upload may read at a time, so that all of them keep to their room."""
        each = _ALL_UPLOADS // (self._count * (BLOCKS_HELD + 1))  # one more is being read or written
        return max(_SMALLEST_BLOCK, min(each, _LARGEST_BLOCK))


_uploads = _Uploads()


class RequestBody:
    """The body of a request, read once and in blocks.

    *length* is its announced length in bytes, None when it is chunked; *received*, how many have been read;
    *is_silent*: the client left, or sent nothing for too long.
    """

    def __init__(self, environ: Mapping[str, Any], most: int = 0) -> None:
        """Take the body that *environ* (PEP 3333) announces, at most *most* bytes long unless 0.

        Raises BodyError for a length that is not a number, TransferCodingError, BodyTooLargeError.
        """
        coding, announced = environ.get("HTTP_TRANSFER_ENCODING"), environ.get("CONTENT_LENGTH") or None
        self.length = body_length(coding, announced, environ["SERVER_PROTOCOL"])
        if self.length is None and not environ.get("wsgi.input_terminated"):
            # The server does not tell where such a body ends, or whether it was whole.
            raise LengthRequiredError("send Content-Length: this server takes chunked bodies through a proxy only")
        self.is_announced = coding is not None or announced is not None
        self.complete = self.length == 0
        self._is_broken = False
        self.is_silent = False
        self._most = most
        self.received = 0
        self._block_size = _BLOCK_SIZE
        self._input: _Input = environ["wsgi.input"]
        if most and self.length is not None and self.length > most:
            raise BodyTooLargeError(f"the body is longer than the {most} bytes that this site takes")

    def require(self) -> None:
        """Raise LengthRequiredError unless a body, be it an empty one, was announced."""
        if not self.is_announced:
            self.complete = False  # what the client sends next may be a body, and is not read as a request
            raise LengthRequiredError("send Content-Length or Transfer-Encoding: chunked")

    def blocks(self) -> Iterator[bytes]:
        """Yield the body. Raises BodyError when it breaks off or is malformed, LateBodyError."""
        while not self.complete:
            block = self._next_block()
            if block:
                yield block

    def hashed_blocks(self, hasher: Hasher) -> Generator[bytes, None, None]:
        """Yield the body of an upload, which *hasher* hashes as well. Raises as `blocks` does."""
        with _uploads:
            for block in hasher.hashed(self.blocks()):
                yield block
                self._block_size = _uploads.block_size()

    def read_at_most(self, most: int) -> bytes:
        """Return the whole body. Raises BodyTooLargeError when it has more than *most* bytes."""
        content = bytearray()
        for block in self.blocks():
            content += block
            if len(content) > most:
                raise BodyTooLargeError(f"the body is longer than {most} bytes")
        return bytes(content)

    def drain(self, most: int) -> bool:
        """Read what the client still sends, up to *most* bytes; return whether that was all.

        A client that is still sending would not see the answer, and its rest would be taken
        for the next request. Nothing more comes from a body that broke off or came too late.
        """
        end = self.received + most
        self._most = 0
        try:
            while not self.complete and not self._is_broken and self.received < end:
                self._next_block()
        except BodyError:
            return False
        return self.complete

    def _next_block(self) -> bytes:
        size = self._block_size if self.length is None else min(self._block_size, self.length - self.received)
        try:
            block = self._input.read(size)
        except (OSError, ValueError) as error:
            # A time-out, a connection that broke, or malformed chunks.
            self._is_broken = True
            self.is_silent = isinstance(error, OSError)
            raise (LateBodyError(_LATE) if isinstance(error, TimeoutError) else BodyError(_BROKEN)) from error
        self.received += len(block)
        if block:
            self.complete = self.received == self.length
        elif self.length is None:
            self.complete = True
        else:
            self._is_broken = True
            raise BodyError(_BROKEN)
        if self._most and self.received > self._most:
            raise BodyTooLargeError(f"the body is longer than the {self._most} bytes that this site takes")
        return block


def read_json(body: RequestBody, request_headers: Mapping[str, str], most: int) -> bytes:
    """Return the whole *body*, which has to be announced as JSON. Raises MediaTypeError, and as `read_at_most`."""
    media_type = request_headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise MediaTypeError("send the body as application/json")
    return body.read_at_most(most)


def parse_json(text: bytes) -> Any:
    """Return what *text* says. Raises RequestError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is not JSON") from error


def path_in(body: RequestBody, request_headers: Mapping[str, str]) -> str:
    """Return the path in the JSON *body* of a PATCH. Raises as `read_json` and `parse_json`."""
    content = parse_json(read_json(body, request_headers, _LONGEST_JSON))
    path = content.get("path") if isinstance(content, dict) else None
    if not isinstance(path, str):
        raise RequestError('the body is {"path": "/absolute/path/of/the/file"}')
    return path
