"""What the launcher reads from a connection: heads without waiting for them, and bodies as they are framed."""

import re
from collections.abc import Callable
from typing import BinaryIO, Protocol

from .wire import Wire

_CHUNK_LINE = 4096  # bytes; the size in hex and, rarely, an extension
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")
_LINE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\r\n")
_TRAILER_LINES = 100
_RECEIVED_AT_ONCE = 1 << 16  # bytes


class Stream(Protocol):
    """Something to read a body from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""


class Receiver:
    """What arrives on a connection. Heads are collected without blocking; the rest is read as from a file."""

    def __init__(self, wire: Wire, longest_head: int) -> None:
        """Receive from *wire*; a head may have *longest_head* bytes, any number if 0."""
        self._wire = wire
        self._longest_head = longest_head
        self._buffer = bytearray()
        self._broken: OSError | None = None
        self.bytes_read = 0
        self.closed = False

    def collect(self) -> bool:
        """Take what has arrived; return whether a request can be read.

        Its head is complete, too long, or broken off.
        """
        try:
            while not self._collect_once():
                if not self._wire.holds():
                    return False
        except BlockingIOError:
            return self._wire.is_stuck()  # a thread waits until the client has taken it
        except OSError:
            pass  # the next read raises it
        return True

    def has_data(self) -> bool:
        """Return whether the head of another request has arrived already."""
        return self._has_head(0) or (self._wire.holds() and self.collect())

    def is_amid(self) -> bool:
        """Return whether a head has begun to arrive and is not complete."""
        return bool(self._buffer) or self._wire.is_amid()

    def readline(self, size: int) -> bytes:
        """Return the next line, at most *size* bytes of it; less when the connection ends."""
        while (end := self._buffer.find(b"\n", 0, size)) < 0 and len(self._buffer) < size:
            arrived = self._wire.read(_RECEIVED_AT_ONCE)
            if not arrived:
                break
            self._buffer += arrived
        return self._take(end + 1 if end >= 0 else size)

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes; less when the connection ends or breaks, and the next call raises why."""
        taken = self._take(size)
        if len(taken) == size:
            return taken
        if self._broken:
            raise self._broken
        block = bytearray(size)
        filled = len(taken)
        block[:filled] = taken
        with memoryview(block) as room:
            try:
                while filled < size and (arrived := self._wire.read_into(room[filled:])):
                    filled += arrived
            except OSError as error:
                if not filled:
                    raise
                self._broken = error
            self.bytes_read += filled - len(taken)
            return bytes(room[:filled])

    def close(self) -> None:
        """Forget what was not read."""
        self.closed = True
        self._buffer.clear()

    def _collect_once(self) -> bool:
        looked_at = max(0, len(self._buffer) - 2)
        arrived = self._wire.take(_RECEIVED_AT_ONCE)
        self._buffer += arrived
        return not arrived or self._has_head(looked_at) or self._is_too_long()

    def _has_head(self, start: int) -> bool:
        # An end of a line without CR is malformed; the request is read at once to say so.
        return self._buffer.find(b"\n\r\n", start) >= 0 or self._buffer.find(b"\n\n", start) >= 0

    def _is_too_long(self) -> bool:
        return bool(self._longest_head) and len(self._buffer) > self._longest_head

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self.bytes_read += len(taken)
        return taken


class ChunkedReader:
    """The decoded body of a chunked request (RFC 9112, 7.1).

    Raises ValueError for what is not a chunk, and when the connection ends before the last one.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Decode *stream*."""
        self._stream = stream
        self._left = 0
        self._begun = False
        self.complete = False

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; none at the end."""
        if self.complete:
            return b""
        if not self._left and not self._next_chunk():
            return b""
        block = self._stream.read(min(size, self._left))
        if not block:
            raise ValueError("the connection ended within a chunk")
        self._left -= len(block)
        return block

    def _next_chunk(self) -> bool:
        if self._begun and self._line():
            raise ValueError("a chunk is longer than it said")
        self._begun = True
        match = _CHUNK.fullmatch(self._line())
        if not match:
            raise ValueError("the size of a chunk is not a number")
        self._left = int(match[1], 16)
        if not self._left:
            self._skip_trailers()
            self.complete = True
        return not self.complete

    def _skip_trailers(self) -> None:
        for _ in range(_TRAILER_LINES):
            if not self._line():
                return
        raise ValueError("too many trailer lines")

    def _line(self) -> bytes:
        line = self._stream.readline(_CHUNK_LINE)
        if not _LINE.fullmatch(line):
            raise ValueError("a line of the chunked coding is broken")
        return line[:-2]


class AwaitedBody:
    """A body that the client sends only when it is asked to (RFC 9110, 10.1.1)."""

    def __init__(self, stream: Stream, ask: Callable[[bytes], object]) -> None:
        """Read from *stream*; *ask* sends what asks the client for the body."""
        self._stream = stream
        self._ask: Callable[[bytes], object] | None = ask

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most *size*; the client is asked for the first."""
        if self._ask:
            self._ask(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._ask = None
        return self._stream.read(size)
