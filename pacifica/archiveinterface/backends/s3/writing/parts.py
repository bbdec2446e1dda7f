"""An upload in parts: how large they are, and how they are sent while the next one is received."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

from ....exception import ArchiveInterfaceError
from ....globals import LOG_NAME
from ...abstract.undoing import UndoOnError
from ..calls.bucket import Answer, Condition, Content, Part
from ..notes import Kept
from ..store import Store

MOST_PARTS = 10_000
LARGEST_UNPLANNED = 640 << 20  # bytes; 10,000 parts that grow up to this hold more than 5 TiB
_SHARE = 256  # a part is at most this fraction of what was sent before it

_log = logging.getLogger(LOG_NAME)


def part_size(least: int, sent: int, length: int | None) -> int:
    """Return the bytes of the part that follows *sent* bytes of a file of *length* bytes, None if that is not known.

    Parts are *least* bytes long, and longer when 10,000 would not be enough.
    """
    if length is not None:
        return max(least, -(-length // MOST_PARTS))
    return max(least, min(sent // _SHARE, LARGEST_UNPLANNED))


class Upload:
    """One multipart upload, with the notes of the object; a few parts are sent at a time, by threads of its own."""

    def __init__(self, store: Store, filepath: str, token: str) -> None:
        """Begin the upload; the object *filepath* will have the *token*."""
        self._store, self._filepath, self._token = store, filepath, token
        self._key = store.key(filepath)
        self._id = store.bucket.create_upload(self._key, Kept(token).metadata())
        self._has_notes = False
        self._threads = ThreadPoolExecutor(store.s3.parallel_parts, thread_name_prefix="upload")
        self._sending: deque[Future[Part]] = deque()
        self._parts: list[Part] = []

    def send(self, content: Content, room: int) -> None:
        """Begin to send the next part; return when fewer than ``parallel_parts`` are being sent.

        Its *room* bytes of memory are freed when it is sent.
        """
        with UndoOnError(partial(self._store.memory.give_back, room)):
            sending = self._submit(self._store.bucket.put_part, content)
        sending.add_done_callback(lambda _: self._store.memory.give_back(room))
        self._follow(sending)

    def copy(self, source: Mapping[str, Any], first: int, last: int) -> None:
        """Have the store copy the bytes *first* to *last* of the object *source* as the next part."""
        self._follow(self._submit(self._store.bucket.copy_part, source, first, last))

    def finish(self, kept: Kept) -> None:
        """Wait until all parts are sent, and store *kept* as the notes of the object."""
        while self._sending:
            self._await_first()
        self._threads.shutdown()
        self._has_notes = True  # even if the call fails: perhaps only its answer is lost
        self._store.write_notes(self._filepath, self._token, kept)

    def complete(self, condition: Condition) -> Answer:
        """Publish the parts as the object if the *condition* holds."""
        return self._store.bucket.complete(self._key, self._id, self._parts, condition)

    def discard(self) -> None:
        """Abort the upload; no part is being sent when this returns. What cannot be removed is left to the sweep.

        The notes stay unless the store has aborted the upload: perhaps it publishes the object without having said so.
        """
        self._threads.shutdown(cancel_futures=True)
        try:
            self._store.bucket.abort(self._key, self._id)
            if self._has_notes and not self._store.has(self._filepath, self._token):
                self._store.remove_notes(self._filepath, self._token)
        except ArchiveInterfaceError as error:
            _log.warning("%s: an upload that failed could not be aborted: %s", self._filepath, error)

    @property
    def _next(self) -> int:
        return len(self._parts) + len(self._sending) + 1

    def _submit(self, call: Callable[..., Part], *arguments: object) -> Future[Part]:
        # In the context of the request: what is logged has its id, and the store is told of its trace.
        return self._threads.submit(copy_context().run, call, self._key, self._id, self._next, *arguments)

    def _follow(self, sending: Future[Part]) -> None:
        self._sending.append(sending)
        while len(self._sending) >= self._store.s3.parallel_parts:
            self._await_first()

    def _await_first(self) -> None:
        self._parts.append(self._sending.popleft().result())
