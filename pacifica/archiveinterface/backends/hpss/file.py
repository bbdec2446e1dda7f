"""One file of an archive in HPSS."""

import errno
import hashlib
import time
from collections.abc import Callable
from functools import partial

from ...digests import Hasher
from ...exception import (
    BeingStagedError,
    BodyTooLargeError,
    ConflictError,
    MissingFileError,
    OfflineError,
    translated_os_errors,
)
from ..abstract.file import PUBLISHED_MODE, ArchiveFile
from ..abstract.layout import LAYOUT
from ..abstract.moving import allowed_place
from ..abstract.naming import id_of_path
from ..abstract.notes import Notes
from ..abstract.precondition import Precondition
from ..abstract.replacing import OtherBytesError, refuse_early
from ..abstract.residency import Residency
from ..abstract.status import NOTHING_REPLACED, Replaced
from ..abstract.undoing import UndoOnError
from .notes import remove_notes, write_notes
from .places import PARTIAL, in_directory, mode_of
from .status import DISK, TAPE, HpssStatus
from .store import NoFileError, Store
from .tape.purging import release, send_to_tape
from .transfers.publishing import publish, withdraw
from .transfers.reading import HpssReader
from .transfers.writing import HpssWriter

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds between two looks at a recall


class HpssFile(ArchiveFile):
    """One file in HPSS."""

    def __init__(self, store: Store, path: str) -> None:
        """Represent the file at *path* below the prefix of *store*."""
        super().__init__(store.prefix, path, store.options)
        self._store = store
        self._client, self._session = store.client, store.session

    def status(self) -> HpssStatus:
        """Return the status of the file, and what HPSS says of its recall. Raises MissingFileError."""
        self._store.require_prompt_server()
        return self._with_recall(self._described())

    def residency(self) -> Residency:
        """Return where the bytes of the file are, and what HPSS says of its recall. Raises MissingFileError."""
        status = self._with_recall(self.located())
        if status.file_storage_media == TAPE and not status.recall.is_under_way:
            status = self.located()  # the recall may have ended since the file was looked for
        return status.residency

    def _with_recall(self, status: HpssStatus) -> HpssStatus:
        if status.file_storage_media == TAPE:
            with translated_os_errors():
                status.recall = self._store.recalls.state_of(status)
        return status

    def located(self) -> HpssStatus:
        """Return the status of the file without times, notes and recall, by one call. Raises MissingFileError."""
        self._store.require_prompt_server()
        return self._found(self._store.locate)

    def _described(self) -> HpssStatus:
        return self._found(self._store.describe)

    def _found(self, look_up: Callable[[str], HpssStatus]) -> HpssStatus:
        try:
            with translated_os_errors():
                return look_up(self.filepath)
        except NoFileError as error:
            raise MissingFileError("no such file in the archive") from error

    def stage(self) -> bool:
        """Ask for the file's recall unless it is under way, and return whether the file is on disk."""
        status = self.located()
        if status.file_storage_media == DISK:
            return True
        refusal = self._store.recalls.submit([status])[self.filepath]
        if refusal:
            raise refusal
        return False

    def _wait_until_online(self) -> None:
        if self.stage():
            return
        self._session.require_room_for_tape()
        wait, end = _FIRST_WAIT, time.monotonic() + self._store.hpss.stage_timeout
        with self._session.waiting_for_tape():
            while not self.stage():
                if time.monotonic() > end:
                    raise BeingStagedError("the file is still being staged from tape, try again later")
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def open_reader(self) -> HpssReader:
        """Open the file for reading; it is described once. Raises OfflineError, or waits for the tape."""
        self._store.require_prompt_server()
        if self.options.offline_read == "wait":
            self._wait_until_online()
        else:
            with translated_os_errors(), self._session.lock_for(self.filepath):
                status = self._described()
                if status.residency.is_online:
                    return self._reader_of(status)
            raise OfflineError("the file is on tape only")
        return self._open_reader()

    def _open_reader(self) -> HpssReader:
        with translated_os_errors(), self._session.lock_for(self.filepath):
            return self._reader_of(self._described())

    def _reader_of(self, status: HpssStatus) -> HpssReader:
        """Open the file with *status*, or the one that has replaced it: locks hold within one process only."""
        while True:
            reader = self._new_reader(status)
            with UndoOnError(reader.close):
                if self._store.is_still(status):
                    return reader
            reader.close()
            status = self._described()

    def _new_reader(self, status: HpssStatus) -> HpssReader:
        if status.is_read_from_tape:
            self._session.require_room_for_tape()
        reader = HpssReader(self.filepath, self._session, status, self._leave)
        self._store.readers.add(reader)
        return reader

    def _leave(self, reader: HpssReader) -> None:
        """Forget *reader*, which is closed; a removed file that was kept for its readers goes with the last one."""
        path = reader.filepath
        if self._store.readers.discard(reader) and path.startswith(f"{self._store.prefix}/{PARTIAL}/"):
            self._store.call(self._client.unlink, path)

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> HpssWriter:
        """Start to replace the file. Raises PreconditionError, BodyTooLargeError."""
        self._store.require_prompt_server()
        with translated_os_errors():
            if precondition or not self.options.may_replace:
                refuse_early(self.options, precondition, self._store.existing(self.filepath), length)
            name = self._store.new_name()
            publish_writer = partial(self._publish, precondition=precondition)
            make = partial(HpssWriter, name, self._session, length, publish_writer)
            try:
                return in_directory(self._session, self._store.prefix, name, make)
            except self._client.HPSSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise BodyTooLargeError("no class of service of the archive takes this many bytes") from error

    def _publish(self, writer: HpssWriter, *, precondition: Precondition | None) -> HpssStatus:
        # Described before it is published, so that nothing can fail after that.
        status = self._store.describe(writer.filepath)
        status.filepath = self.filepath
        try:
            status.replaced = publish(self._store, writer.filepath, self.filepath, precondition)
        except FileExistsError:
            return self._equal_stored_file(writer)
        return status

    def _equal_stored_file(self, writer: HpssWriter) -> HpssStatus:
        """Return the status of the file in the way if it holds the same bytes, by digest: it may be on tape."""
        stored = self._store.describe(self.filepath)
        if stored.filesize != writer.position or not self._is_content_of(stored, writer):
            raise OtherBytesError
        writer.discard()
        stored.replaced = NOTHING_REPLACED
        return stored

    def _is_content_of(self, stored: HpssStatus, writer: HpssWriter) -> bool:
        # HPSS's own checksum is not asked: a file that was moved here may have brought any.
        common = stored.digests.keys() & writer.digests.keys()
        if common:
            return all(stored.digests[name] == writer.digests[name] for name in common)
        return stored.file_storage_media == DISK and self._stored_md5() == writer.checksum

    def _stored_md5(self) -> str:
        md5 = hashlib.md5(usedforsecurity=False)
        with self._open_reader() as reader:
            while block := reader.read(self._store.hpss.io_block_size):
                md5.update(block)
        return md5.hexdigest()

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Remove the file and return what it was; who is reading it reads on."""
        self._store.require_prompt_server()
        with translated_os_errors():
            return withdraw(self._store, self.filepath, precondition)

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Make the file at *old_path* this file: renamed, or copied from another file set; return what this one was."""
        roots = (self._store.prefix, *self.options.move_roots)
        root, path = allowed_place(old_path, roots, (PARTIAL, LAYOUT), str.encode)
        place = root.rstrip("/")
        source = f"{place}/{path}"
        self._store.require_prompt_server()
        with translated_os_errors():
            mode = mode_of(self._session, source, place)
            is_archived = place == self._store.prefix and id_of_path(path) is not None
            # The attributes of other files were not written by this service: a digest in them may be wrong.
            notes = Notes({}) if is_archived else remove_notes(self._session, source)
            with UndoOnError(partial(self._restore, source, mode, notes)):
                self._store.call(self._client.chmod, source, PUBLISHED_MODE)
                return self._move_here(source, precondition)

    def _restore(self, source: str, mode: int, notes: Notes) -> None:
        self._store.call(self._client.chmod, source, mode)
        if notes != Notes({}):
            write_notes(self._session, source, notes)

    def _move_here(self, source: str, precondition: Precondition | None) -> Replaced:
        moved, existing = self._store.describe(source), self._store.existing(self.filepath)
        if existing and existing.bitfile == moved.bitfile:  # renaming does nothing between two names of one file
            if precondition:
                precondition.check(existing)
            if source != self.filepath:
                self._store.call(self._client.unlink, source)
            return NOTHING_REPLACED
        try:
            publish(self._store, source, self.filepath, precondition)
        except self._client.HPSSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy_here(moved, precondition)
        return Replaced.of(existing)

    def _copy_here(self, source: HpssStatus, precondition: Precondition | None) -> None:
        """Move a file from another file set, by a copy that is published whole."""
        if source.file_storage_media != DISK:
            raise ConflictError("the file is on tape only and lies in another file set: have it recalled first")
        hasher = Hasher(self.options.digests)
        with HpssReader(source.filepath, self._session, source, self._leave) as reader:
            blocks = hasher.hashed(iter(partial(reader.read, self._store.hpss.io_block_size), b""))
            self.store(blocks, source.mtime, hasher.digests, length=source.filesize, precondition=precondition)
        self._store.call(self._client.unlink, source.filepath)

    def send_to_tape(self) -> None:
        """Leave the file on tape only, now. Raises ConflictError when it is not on disk."""
        with translated_os_errors():
            send_to_tape(self._store, self.filepath)

    def release(self) -> None:
        """Free the file's place on disk. Raises ConflictError without a copy on tape, and while it is being read."""
        self._store.require_prompt_server()
        with translated_os_errors():
            release(self._store, self.filepath)
