"""Bodies in blocks: from the client into a file, and from a file to the client."""

import logging
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Protocol

from .backends.abstract.archive import AbstractBackendArchive
from .backends.abstract.status import AbstractStatus
from .byte_ranges import Segment
from .digests import BLOCKS_HELD, Digests, Hasher
from .exception import (
    ArchiveInterfaceError,
    BodyError,
    BodyTooLargeError,
    DamagedFileError,
    LengthRequiredError,
)
from .globals import LOG_NAME
from .request_head import body_length
from .transmission import TRANSMITTED_FROM, FilePart, ended_early

BLOCK_SIZE = 1 << 18  # bytes
# A block of an upload costs turns of three threads, so it is large while there is room for it.
_LARGEST_BLOCK = 1 << 20  # bytes
_SMALLEST_BLOCK = 1 << 16  # bytes
_ALL_UPLOADS = 12 << 20  # bytes of all blocks of a process together
_BROKEN = "the body ended before it was complete"
_log = logging.getLogger(LOG_NAME)
_damaged_files = count(1)  # found by reading since the process started


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

    *length* is its announced length in bytes, None when it is chunked; *is_silent*: the client left,
    or sent nothing for too long.
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
        self._received = 0
        self._block_size = BLOCK_SIZE
        self._input: _Input = environ["wsgi.input"]
        if most and self.length is not None and self.length > most:
            raise BodyTooLargeError(f"the body is longer than the {most} bytes that this site takes")

    def require(self) -> None:
        """Raise LengthRequiredError unless a body, be it an empty one, was announced."""
        if not self.is_announced:
            self.complete = False  # what the client sends next may be a body, and is not read as a request
            raise LengthRequiredError("send Content-Length or Transfer-Encoding: chunked")

    def blocks(self) -> Iterator[bytes]:
        """Yield the body. Raises BodyError when it breaks off, comes too late or is malformed."""
        while not self.complete:
            block = self._next_block()
            if block:
                yield block

    def copy_to(self, file: AbstractBackendArchive, hasher: Hasher) -> int:
        """Write the whole body to *file* and to *hasher*; return its length in bytes. Raises as `blocks` does."""
        with _uploads:
            for block in self.blocks():
                hasher.update(block)
                file.write(block)
                self._block_size = _uploads.block_size()
        return self._received

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
        end = self._received + most
        self._most = 0
        try:
            while not self.complete and not self._is_broken and self._received < end:
                self._next_block()
        except BodyError:
            return False
        return self.complete

    def _next_block(self) -> bytes:
        size = self._block_size if self.length is None else min(self._block_size, self.length - self._received)
        try:
            block = self._input.read(size)
        except (OSError, ValueError) as error:
            # A time-out, a connection that broke, or malformed chunks.
            self._is_broken = True
            self.is_silent = isinstance(error, OSError)
            raise BodyError(_BROKEN) from error
        self._received += len(block)
        if block:
            self.complete = self._received == self.length
        elif self.length is None:
            self.complete = True
        else:
            self._is_broken = True
            raise BodyError(_BROKEN)
        if self._most and self._received > self._most:
            raise BodyTooLargeError(f"the body is longer than the {self._most} bytes that this site takes")
        return block


class ResponseBody:
    """Parts of an open file, bytes to send between them, and the duty to close the file.

    An object rather than a generator: closing a generator that was never started skips its
    ``finally``, and a client may leave before the first block.
    """

    def __init__(self, file: AbstractBackendArchive, parts: list[Segment | bytes]) -> None:
        """Send *parts*; the body owns *file* from now on."""
        self._file = file
        self._parts = parts
        self._blocks = self._blocks_of(parts)

    def __iter__(self) -> Iterator[bytes]:
        """Return the body itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next block. Raises StorageError when the file ends early: the connection then breaks."""
        return next(self._blocks)

    def file_part(self) -> FilePart | None:
        """Return what the kernel can send instead of these blocks, None when it cannot or that does not pay."""
        (part, *others) = self._parts
        if others or isinstance(part, bytes) or part.length < TRANSMITTED_FROM:
            return None
        descriptor = self._file.descriptor()
        return None if descriptor is None else FilePart(descriptor, part.offset, part.length, self._file.filepath)

    def close(self) -> None:
        """Close the file, however much of it was sent."""
        self._file.close()

    def _blocks_of(self, parts: list[Segment | bytes]) -> Iterator[bytes]:
        position = 0
        for part in parts:
            if isinstance(part, bytes):
                yield part
                continue
            if part.offset != position:
                self._file.seek(part.offset)
            position = part.offset + part.length
            yield from self._blocks_in(part)

    def _blocks_in(self, segment: Segment) -> Iterator[bytes]:
        left = segment.length
        while left:
            block = self._file.read(min(BLOCK_SIZE, left))
            if not block:
                raise ended_early(self._file.filepath, left)
            left -= len(block)
            yield block


class HashedResponseBody(ResponseBody):
    """A whole file that is hashed on its way to the client.

    Its last block is held back until the digest is known to be the stored one, so that no
    client takes a damaged file for whole. A file without a digest gets one.
    """

    def __init__(self, file: AbstractBackendArchive, status: AbstractStatus, algorithms: Iterable[str]) -> None:
        """Send the whole *file* of which *status* tells, and compute *algorithms* of it."""
        super().__init__(file, [Segment(0, status.filesize)])
        self._status = status
        self._hasher = Hasher(algorithms)

    def file_part(self) -> None:
        """Return None: every byte is hashed here."""

    def _blocks_of(self, parts: list[Segment | bytes]) -> Iterator[bytes]:
        held = b""
        for block in super()._blocks_of(parts):
            self._hasher.update(block)
            if held:
                yield held
            held = block
        settle_digests(self._file, self._status, self._hasher.digests())
        if held:
            yield held


def settle_digests(file: AbstractBackendArchive, status: AbstractStatus, computed: Digests) -> None:
    """Compare the digests *computed* of the whole open *file* with the stored ones, or store them if there are none.

    Raises DamagedFileError, once the file is marked as damaged. That a mark or a digest cannot
    be stored is logged and no more.
    """
    wrong = [name for name, value in status.digests.items() if name in computed and computed[name] != value]
    try:
        if wrong:
            file.mark_damaged(f"{wrong[0]} was {computed[wrong[0]].hex()} when it was read")
        elif not status.digests and file.status().version == status.version:
            file.set_digests(computed)
    except ArchiveInterfaceError as error:
        _log.warning("%s: what reading it found cannot be noted: %s", file.filepath, error.__cause__ or error)
    if wrong:
        found = next(_damaged_files)
        _log.error("%s is damaged: its %s is not the stored one (number %d)", file.filepath, wrong[0], found)
        raise DamagedFileError("the file is damaged: its bytes are not those that were stored")


def multipart(segments: list[Segment], filesize: int, content_type: str) -> tuple[str, int, list[Segment | bytes]]:
    """Return boundary, length in bytes and parts of a multipart/byteranges body (RFC 9110, 14.6)."""
    boundary = secrets.token_hex(16)
    parts: list[Segment | bytes] = []
    for segment in segments:
        span = content_range(segment, filesize)
        parts.append(f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {span}\r\n\r\n".encode())
        parts.append(segment)
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    return boundary, sum(part.length if isinstance(part, Segment) else len(part) for part in parts), parts


def content_range(segment: Segment, filesize: int) -> str:
    """Return the Content-Range of *segment*, which counts its last byte in."""
    return f"bytes {segment.offset}-{segment.offset + segment.length - 1}/{filesize}"
