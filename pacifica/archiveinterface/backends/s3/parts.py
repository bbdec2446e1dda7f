"""An upload in parts: how large they are, and how they are sent while the next one is received."""

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from ...exception import ArchiveInterfaceError
from .calls.bucket import Answer, Condition, Content, Part
from .store import Store

MOST_PARTS = 10_000
LARGEST_UNPLANNED = 640 << 20  # bytes; 10,000 parts that grow up to this hold more than 5 TiB
_SHARE = 256  # a part is at most this fraction of what was sent before it


def part_size(least: int, sent: int, length: int | None) -> int:
    """Return the bytes of the part that follows *sent* bytes of a file of *length* bytes, None if that is not known.

    Parts are *least* bytes long, and longer when 10,000 would not be enough.
    """
    if length is not None:
        return max(least, -(-length // MOST_PARTS))
    return max(least, min(sent // _SHARE, LARGEST_UNPLANNED))


class Upload:
    """One multipart upload to *key*; a few parts are sent at a time, by threads of its own."""

    def __init__(self, store: Store, key: str, metadata: Mapping[str, str]) -> None:
        """Begin it: the object will have *metadata*."""
        self._store, self._key = store, key
        self._id = store.bucket.create_upload(key, metadata)
        self._threads = ThreadPoolExecutor(store.s3.parallel_parts, thread_name_prefix="upload")
        self._sending: deque[Future[Part]] = deque()
        self._parts: list[Part] = []

    def send(self, content: Content, room: int) -> None:
        """Send the next part, when few enough are on their way; its *room* in the memory is given back then."""
        sending = self._threads.submit(self._store.bucket.put_part, self._key, self._id, self._next, content)
        sending.add_done_callback(lambda _: self._store.memory.give_back(room))
        self._follow(sending)

    def copy(self, source: Mapping[str, Any], first: int, last: int) -> None:
        """Have the store copy the bytes *first* to *last* of the object *source* as the next part."""
        copy_part = self._store.bucket.copy_part
        self._follow(self._threads.submit(copy_part, self._key, self._id, self._next, source, first, last))

    def finish(self) -> None:
        """Wait until all parts are sent."""
        while self._sending:
            self._await_first()
        self._threads.shutdown()

    def complete(self, condition: Condition) -> Answer:
        """Make the parts the object."""
        return self._store.bucket.complete(self._key, self._id, self._parts, condition)

    def abort(self) -> None:
        """Forget all that was sent; nothing is on its way after it."""
        self._threads.shutdown(cancel_futures=True)
        with suppress(ArchiveInterfaceError):  # the next start removes it
            self._store.bucket.abort(self._key, self._id)

    @property
    def _next(self) -> int:
        return len(self._parts) + len(self._sending) + 1

    def _follow(self, sending: Future[Part]) -> None:
        self._sending.append(sending)
        while len(self._sending) >= self._store.s3.parallel_parts:
            self._await_first()

    def _await_first(self) -> None:
        self._parts.append(self._sending.popleft().result())
