"""The body of an answer: parts of a file, in blocks."""

import secrets
from collections.abc import Iterable, Iterator

from ..backends.abstract.file import Reader
from ..backends.abstract.status import AbstractStatus
from ..digests import Hasher
from ..fixity import compare_or_store_digests
from .headers.ranges import Segment
from .server_calls import TRANSMITTED_FROM, FilePart, ended_early


class ResponseBody:
    """Parts of an open file, bytes to send between them, and the duty to close the file.

    An object rather than a generator: closing a generator that was never started skips its
    ``finally``, and a client may leave before the first block.
    """

    def __init__(self, file: Reader, parts: list[Segment | bytes]) -> None:
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
            block = self._file.read(min(self._file.block_size, left))
            if not block:
                raise ended_early(self._file.filepath, left)
            left -= len(block)
            yield block


class HashedResponseBody(ResponseBody):
    """A whole file that is hashed on its way to the client.

    Its last block is held back until the digest is known to be the stored one, so that no
    client takes a damaged file for a complete one. A file without a digest gets one.
    """

    def __init__(self, file: Reader, status: AbstractStatus, algorithms: Iterable[str]) -> None:
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
        compare_or_store_digests(self._file, self._status, self._hasher.digests())
        if held:
            yield held


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
