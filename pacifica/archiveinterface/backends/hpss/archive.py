"""The archive in IBM HPSS."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import socket
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from ...digests import Hasher
from ...exception import (
    BackendUnavailableError,
    BeingStagedError,
    BodyTooLargeError,
    ConfigurationError,
    ConflictError,
    MissingFileError,
    translated_os_errors,
)
from ...globals import LOG_NAME
from ...id2filename import id2filename, parse_file_id
from ..abstract.archive import PUBLISHED_MODE, AbstractBackendArchive, Entry, Guard, absolute_prefix
from ..abstract.options import ArchiveOptions
from .client import load_client
from .extended import HpssExtended, HpssReader, HpssWriter, OpenReaders
from .listing import files_below, stale_files
from .notes import Notes, read_notes, remove_notes, write_notes
from .options import HpssOptions
from .places import PARTIAL, allowed_place, in_directory, mode_of
from .recalls import Recalls, request_id
from .session import Session
from .status import HpssStatus

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds between two looks at a recall
_OTHER_BYTES = "the file exists with other bytes and may not be replaced"
_log = logging.getLogger(LOG_NAME)


class _NoFileError(ConflictError):
    """A directory or the like has the name of a file."""


def path_info_munge(filepath: str) -> str:
    """Return the path below the prefix, without a leading slash, of the id *filepath*. Raises FileIdError."""
    return id2filename(parse_file_id(filepath))[1:]


class HpssBackendArchive(AbstractBackendArchive):
    """Files below a directory of HPSS; uploads grow in ``.partial`` and are renamed into place."""

    section = "hpss"
    options_type = HpssOptions

    def __init__(
        self, prefix: str, archive_options: ArchiveOptions | None = None, options: HpssOptions | None = None
    ) -> None:
        """Load the client library; the login comes with the first request of each process."""
        super().__init__(absolute_prefix(prefix), archive_options)
        self._options = options or HpssOptions()
        if self.archive_options.reserve_bytes:
            raise ConfigurationError(
                "[archive] reserve_bytes: HPSS does not support it; its classes of service have limits of their own"
            )
        self._session = Session(load_client(self._options.library), self._options)
        self._client = self._session.client
        self._readers = OpenReaders()
        self._recalls = Recalls()
        self._callback = _address_of(self._options.callback_address)

    def entries(self, after: str = "") -> Iterator[Entry]:
        """Yield every file below the prefix whose path comes after *after*, by the names along their paths.

        An upload counts as never finished when nothing was written to it for a day: whose it is, HPSS does not tell.
        """
        with translated_os_errors():
            for name in stale_files(self._session, f"{self.prefix}/{PARTIAL}"):
                yield Entry(f"{PARTIAL}/{name}", None, is_partial=True)
            for path in files_below(self._session, self.prefix, after=after.split("/")):
                if path.split("/")[0] != PARTIAL:
                    yield Entry(path, self.id_of(path))

    def stage(self) -> bool:
        """Ask for the file's recall unless it is under way, and return whether the file is on disk."""
        found = self._stat()
        if found.file_storage_media == "disk":
            return True
        request = request_id(found.bitfile)
        with translated_os_errors(), self._session.lock_for(self.filepath):
            if self._call(self._client.stage_status, request, found.bitfile) != "unknown":
                return False
            if self._describe(self.filepath).file_storage_media == "disk":  # since the first look
                return True
            self._submit(request, found.bitfile)
        return False

    def remove(self) -> None:
        """Remove the file; who is reading it reads on."""
        self._require_prompt_server()
        with translated_os_errors(), self._session.lock_for(self.filepath):
            self._admit(self._describe(self.filepath))
            if self._readers.any_of(self.filepath):
                aside = self._new_name()
                in_directory(
                    self._session, self.prefix, aside, partial(self._call, self._client.rename, self.filepath, aside)
                )
                self._readers.move(self.filepath, aside)
            else:
                self._call(self._client.unlink, self.filepath)

    def patch(self, file_id: str, old_path: str, guard: Guard | None = None) -> None:
        """Rename the file at *old_path* to *file_id*."""
        target = self.file(file_id, guard)
        source, place = allowed_place(old_path, (self.prefix, *self.archive_options.move_roots))
        self._require_prompt_server()
        with translated_os_errors():
            mode = mode_of(self._session, source, place)
            is_archived = place == self.prefix and self.id_of(source.removeprefix(f"{place}/")) is not None
            # Whoever put another file there may have put anything beside it.
            notes = Notes({}) if is_archived else remove_notes(self._session, source)
            try:
                self._call(self._client.chmod, source, PUBLISHED_MODE)
                target._move_here(source)
            except BaseException:
                self._call(self._client.chmod, source, mode)
                if notes != Notes({}):
                    write_notes(self._session, source, notes)
                raise

    def send_to_tape(self) -> None:
        """Copy the bound file to tape now and free its place on disk, as HPSS does by itself in time.

        Raises ConflictError when it is not on disk: migrating would copy what is left there over the tape.
        """
        client, path, session = self._client, self.filepath, self._session
        with translated_os_errors(), session.lock_for(path):
            found = self._describe(path)
            if found.file_storage_media != "disk" or found.is_read_from_tape:
                raise ConflictError("the file is on tape already, or is being staged")
            self._call(client.chmod, path, PUBLISHED_MODE | stat.S_IWUSR)
            try:
                session.call(
                    lambda: _migrate_and_purge(session.open(path, os.O_RDWR | os.O_NONBLOCK)), session.transfers
                )
            finally:
                self._call(client.chmod, path, PUBLISHED_MODE)

    def _stat(self) -> HpssStatus:
        self._require_prompt_server()
        try:
            with translated_os_errors():
                found = self._describe(self.filepath)
        except _NoFileError as error:
            raise MissingFileError("no such file in the archive") from error
        if found.file_storage_media == "disk":
            self._recalls.arrived(found.bitfile)
        return found

    def _open_reader(self) -> HpssReader:
        self._session.require_room()
        if self.archive_options.offline_read == "wait":
            self._wait_until_online()
        with translated_os_errors(), self._session.lock_for(self.filepath):
            while True:
                before = self._describe(self.filepath)
                reader = self._reader_of(before)
                try:
                    # Another process may have replaced the file between the two calls.
                    if self._version_now() == before.version:
                        return reader
                except BaseException:
                    reader.close()
                    raise
                reader.close()

    def _reader_of(self, status: HpssStatus) -> HpssReader:
        if status.is_read_from_tape:
            self._session.require_room_for_tape()
        reader = HpssReader(self.filepath, self._session, status, self._leave)
        self._readers.add(reader)
        return reader

    def _open_writer(self, length: int | None) -> HpssWriter:
        self._require_prompt_server()
        with translated_os_errors():
            if self._guard or not self._may_replace:
                self._refuse_early(length)
            name = self._new_name()
            try:
                return in_directory(
                    self._session, self.prefix, name, partial(HpssWriter, name, self._session, length, self._publish)
                )
            except self._client.HPSSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise BodyTooLargeError("no class of service of the archive takes this many bytes") from error

    @property
    def _may_replace(self) -> bool:
        return self.archive_options.overwrite == "replace"

    def _call(self, function: Callable[..., T], *arguments: object) -> T:
        return self._session.call(partial(function, *arguments))

    def _require_prompt_server(self) -> None:
        self._session.require_room()
        latency = HpssExtended.parse_latency(self._session.ping())
        if latency > self._options.accept_latency:
            _log.warning("the HPSS core server took %.3f seconds to answer", latency)
            raise BackendUnavailableError("the HPSS core server answers too slowly, try again later")

    def _describe(self, path: str) -> HpssStatus:
        client = self._client

        def describe() -> HpssStatus:
            found, residency = client.stat(path), client.residency(path)
            if not residency["is_file"]:
                raise _NoFileError("something that is not a file has this name")
            status = HpssStatus.of(path, found, residency)
            status.digests, status.damaged = read_notes(client, path)
            return status

        return self._session.call(describe)

    def _existing(self) -> HpssStatus | None:
        try:
            return self._describe(self.filepath)
        except self._client.HPSSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return None

    def _version_now(self) -> str | None:
        existing = self._existing()
        return existing.version if existing else None

    def _admit(self, existing: HpssStatus | None) -> None:
        if self._guard:
            self._guard(existing)

    def _refuse_early(self, length: int | None) -> None:
        existing = self._existing()
        self._admit(existing)
        if existing and not self._may_replace and length not in (None, existing.filesize):
            raise ConflictError(_OTHER_BYTES)

    def _submit(self, request: bytes, bitfile: bytes) -> None:
        if self._recalls.has_failed(bitfile):
            raise ConflictError("the recall has failed again and again: the tape copy cannot be read now")
        self._call(self._client.stage, self.filepath, request, *self._callback)
        in_vain = self._recalls.submitted(bitfile)
        if in_vain:
            _log.warning("%s was recalled %d times and did not come to disk", self.filepath, in_vain)

    def _wait_until_online(self) -> None:
        if self.stage():
            return
        self._session.require_room_for_tape()
        wait, end = _FIRST_WAIT, time.monotonic() + self._options.stage_timeout
        with self._session.waiting_for_tape():
            while not self.stage():
                if time.monotonic() > end:
                    raise BeingStagedError("the file is still being staged from tape, try again later")
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _leave(self, reader: HpssReader) -> None:
        """Take note that *reader* is closed; a file that was kept for its readers only goes with the last."""
        path = reader.filepath
        if self._readers.discard(reader) and path.startswith(f"{self.prefix}/{PARTIAL}/"):
            self._call(self._client.unlink, path)

    def _publish(self, writer: HpssWriter) -> HpssStatus:
        # Asked before, so that nothing can fail once the file has its place.
        status = self._describe(writer.filepath)
        status.filepath = self.filepath
        try:
            self._take(writer.filepath)
        except FileExistsError:
            return self._equal_stored_file(writer)
        return status

    def _move_here(self, source: str) -> None:
        moved, existing = self._describe(source), self._existing()
        if existing and existing.bitfile == moved.bitfile:  # renaming does nothing between two names of one file
            self._admit(existing)
            if source != self.filepath:
                self._call(self._client.unlink, source)
            return
        try:
            self._take(source)
        except self._client.HPSSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy_here(moved)

    def _copy_here(self, source: HpssStatus) -> None:
        """Move a file from another file set, by a copy that is published whole."""
        if source.file_storage_media != "disk":
            raise ConflictError("the file is on tape only and lies in another file set: have it recalled first")
        reader = HpssReader(source.filepath, self._session, source, self._leave)
        hasher = Hasher(self.archive_options.digests)
        try:
            writer = self._open_writer(source.filesize)
            try:
                while block := reader.read(self._options.io_block_size):
                    writer.write(block)
                    hasher.update(block)
                writer.set_digests(hasher.digests())
                writer.set_mod_time(source.mtime)
                writer.set_file_permissions(PUBLISHED_MODE)
            except BaseException:
                writer.discard()
                raise
            writer.close()
        finally:
            reader.close()
        self._call(self._client.unlink, source.filepath)

    def _take(self, source: str) -> None:
        """Give the file at *source* this file's name. Raises FileExistsError when it may not replace what is there."""
        with self._session.lock_for(self.filepath):
            while not self._take_once(source):
                pass

    def _take_once(self, source: str) -> bool:
        """Do it, or return False when somebody else's file came in between."""
        client, target = self._client, self.filepath
        existing = self._existing() if self._guard else None
        self._admit(existing)
        if self._may_replace and not (self._guard and existing is None):
            self._keep_for_readers(target)
            # Readers see the old file or the new one, never half of either.
            in_directory(self._session, self.prefix, target, partial(self._call, client.rename, source, target))
            return True
        try:
            # Of two processes that both found nothing here, one fails.
            in_directory(self._session, self.prefix, target, partial(self._call, client.link, source, target))
        except client.HPSSError as error:
            if error.errno != errno.EEXIST:
                raise
            if self._may_replace:
                return False
            raise FileExistsError(errno.EEXIST, _OTHER_BYTES) from error
        try:
            self._call(client.unlink, source)
        except BaseException:
            self._call(client.unlink, target)
            raise
        return True

    def _keep_for_readers(self, path: str) -> None:
        if self._readers.any_of(path):
            aside = self._new_name()
            in_directory(self._session, self.prefix, aside, partial(self._call, self._client.link, path, aside))
            self._readers.move(path, aside)

    def _equal_stored_file(self, writer: HpssWriter) -> HpssStatus:
        """Return the status of the file in the way if it holds the same bytes, by digest: it may be on tape."""
        stored = self._describe(self.filepath)
        if stored.filesize != writer.position or not self._is_content_of(stored, writer):
            raise ConflictError(_OTHER_BYTES)
        writer.discard()
        return stored

    def _is_content_of(self, stored: HpssStatus, writer: HpssWriter) -> bool:
        # HPSS's own checksum is not asked: a file that was moved here may have brought any.
        common = stored.digests.keys() & writer.digests.keys()
        if common:
            return all(stored.digests[name] == writer.digests[name] for name in common)
        return stored.file_storage_media == "disk" and self._stored_md5() == writer.checksum

    def _stored_md5(self) -> str:
        md5, reader = hashlib.md5(usedforsecurity=False), self._open_reader()
        try:
            while block := reader.read(self._options.io_block_size):
                md5.update(block)
        finally:
            reader.close()
        return md5.hexdigest()

    def _new_name(self) -> str:
        return f"{self.prefix}/{PARTIAL}/{secrets.token_hex(16)}"


def _address_of(place: tuple[str, int] | None) -> tuple[int, ...]:
    """Return the IPv4 address of *place* as a number, and its port; nothing without a place."""
    if place is None:
        return ()
    host, port = place
    try:
        return int.from_bytes(socket.inet_aton(socket.gethostbyname(host)), "big"), port
    except (OSError, UnicodeError) as error:  # the latter for labels that no name can have
        raise ConfigurationError(f"[hpss] callback_address: {host!r} has no IPv4 address: {error}") from error


def _migrate_and_purge(descriptor: Any) -> None:
    try:
        descriptor.migrate(0)
        descriptor.purge(0)
    finally:
        descriptor.close()
