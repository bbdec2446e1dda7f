"""The sideband database of SAM-QFS: its five tables, and the questions the backend asks of it.

Tables and columns are those of samdb.schema as sam-dbupd fills them. The rows trail the file system by seconds, by more
when the updater is down, and are never written from here: ``GRANT SELECT`` is enough.
"""

import logging
import os
import queue
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peewee import (
    JOIN,
    BigIntegerField,
    Cast,
    CharField,
    CompositeKey,
    DoubleField,
    Field,
    IntegerField,
    InterfaceError,
    Model,
    ModelSelect,
    MySQLDatabase,
    OperationalError,
    PeeweeException,
    RawQuery,
    SmallIntegerField,
    Value,
)

from ...exception import BackendUnavailableError
from ...globals import LOG_NAME
from ..abstract.status import Place

REGULAR, DIRECTORY, SEGMENT_INDEX = 0, 1, 3  # sam_inode.type
_IS_OFF_SET = """
    SELECT column_name = 'off_set' FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'sam_archive' AND column_name IN ('offset', 'off_set')
"""
_MAX_IDLE = 300  # seconds; firewalls forget connections that are silent for longer

_log = logging.getLogger(LOG_NAME)


class NameField(Field):
    """A name or path: bytes in the latin1 column, as the file system has them."""

    field_type = "VARCHAR"

    def db_value(self, value: str | bytes | None) -> bytes | None:
        """Return *value* as the bytes the file system uses."""
        return os.fsencode(value) if value is not None else None

    def python_value(self, value: str | bytes | None) -> str | None:
        """Return *value* as Python names files."""
        return os.fsdecode(value) if value is not None else None


class BaseModel(Model):
    """What the five tables share; they are bound to a database only for a query."""

    class Meta:
        legacy_table_names = False


class SamInode(BaseModel):
    """One row for each live inode; times are epoch seconds, and create_time is the inode's birth, not its ctime."""

    ino = BigIntegerField()
    gen = BigIntegerField()
    type = SmallIntegerField()
    size = BigIntegerField()
    csum = CharField(null=True)
    create_time = BigIntegerField()
    modify_time = BigIntegerField()
    uid = BigIntegerField()
    gid = BigIntegerField()
    online = SmallIntegerField()

    class Meta:
        table_name = "sam_inode"
        primary_key = CompositeKey("ino", "gen")


class SamPath(BaseModel):
    """One row for each directory, with its path below the mount, and for each symlink, with its target."""

    ino = BigIntegerField()
    gen = BigIntegerField()
    path = NameField(null=True)

    class Meta:
        table_name = "sam_path"
        primary_key = CompositeKey("ino", "gen")


class SamFile(BaseModel):
    """One row for each directory entry: the name *name* in the directory (p_ino, p_gen) leads to (ino, gen)."""

    p_ino = BigIntegerField()
    p_gen = BigIntegerField()
    name_hash = IntegerField()
    name = NameField()
    ino = BigIntegerField()
    gen = BigIntegerField()

    class Meta:
        table_name = "sam_file"
        primary_key = CompositeKey("p_ino", "p_gen", "name_hash", "name")


class SamArchive(BaseModel):
    """One row for each section of an archive copy; *copy* counts from 0."""

    ino = BigIntegerField()
    gen = BigIntegerField()
    copy = SmallIntegerField()
    seq = IntegerField()
    media_type = CharField()
    vsn = CharField()
    position = BigIntegerField()
    offset = BigIntegerField(column_name="offset")
    size = BigIntegerField()
    create_time = BigIntegerField()
    stale = SmallIntegerField()

    class Meta:
        table_name = "sam_archive"
        primary_key = CompositeKey("ino", "gen", "copy", "seq")


class SamArchiveOffSet(SamArchive):
    """SamArchive where the schema says ``off_set``, because newer servers reserve the word OFFSET."""

    offset = BigIntegerField(column_name="off_set")

    class Meta:
        table_name = "sam_archive"
        primary_key = CompositeKey("ino", "gen", "copy", "seq")


class SamVersion(BaseModel):
    """The version of the schema; it has no key, so the one row may be there several times."""

    id = IntegerField(null=True)
    version = DoubleField(null=True)

    class Meta:
        table_name = "sam_version"
        primary_key = False


class SidebandError(BackendUnavailableError):
    """The database did not answer, or not with what was asked; the log tells why."""


@dataclass(frozen=True)
class SidebandConnection:
    """How to reach the database; times are in seconds.

    A *unix_socket* is used instead of host and port. *tls* is False for none, True for encryption where the server
    offers it, or the context that the connection must be made with.
    """

    host: str = "localhost"
    port: int = 3306
    unix_socket: str = ""
    tls: bool | ssl.SSLContext = True
    user: str = ""
    password: str = ""
    schema: str = ""
    pool_size: int = 10
    pool_timeout: float = 1.0
    connect_timeout: float = 2.0
    read_timeout: float = 2.0
    retry_seconds: float = 5.0  # without a question after the database failed

    @property
    def server(self) -> str:
        """Where the server is, for the log."""
        return self.unix_socket or self.host


@dataclass(frozen=True)
class ArchiveCopy:
    """An archive copy as the database has it."""

    number: int
    media_type: str
    vsn: str
    position: int
    offset: int
    create_time: int
    stale: bool

    def is_valid_for(self, modify_time: int) -> bool:
        """Return whether this copy holds the content that was last changed at *modify_time*.

        The updater may never set stale, and may leave rows that name no volume.
        """
        return bool(self.vsn and self.media_type) and not self.stale and self.create_time >= modify_time


@dataclass(frozen=True)
class Inode:
    """A regular file as the database has it."""

    ino: int
    gen: int
    type: int
    size: int
    create_time: int
    modify_time: int
    online: bool
    copies: tuple[ArchiveCopy, ...]

    def valid_copies(self) -> list[ArchiveCopy]:
        """Return the copies that hold the present content."""
        return [copy for copy in self.copies if copy.is_valid_for(self.modify_time)]

    def places(self) -> tuple[Place, ...]:
        """Return where the copies begin that hold the present content."""
        return tuple(Place(copy.vsn, copy.position, copy.offset) for copy in self.valid_copies())


class Sideband:
    """The questions, asked over a pool of connections that are opened when first needed.

    Safe to share between threads; a forked child opens connections of its own. Each question raises SidebandError when
    there is no answer, and at once for *retry_seconds* seconds after that.
    """

    def __init__(self, connection: SidebandConnection) -> None:
        self._connection = connection
        self._pool = _Pool(os.getpid(), connection)
        self._silent_until = 0.0
        self._archive_model: type[SamArchive] | None = None

    def inode(self, ino: int) -> Inode | None:
        """Return the file that has the inode number *ino* now: the row of the highest generation."""
        return _newest(self._rows(_inodes(self._spelling()).where(SamInode.ino == ino)))

    def inode_at(self, directory: str, name: str) -> Inode | None:
        """Return the file *name* in *directory*, a path below the mount."""
        # Symlinks keep their target in sam_path, and some updaters lose a slash at either end.
        bare = directory.strip("/")
        spellings = {f"{bare}/", bare, f"/{bare}/", f"/{bare}"} if bare else {"/"}
        parent = SamInode.alias()
        found = (
            _inodes(self._spelling())
            .join_from(SamInode, SamFile, on=(SamFile.ino == SamInode.ino) & (SamFile.gen == SamInode.gen))
            .join_from(SamFile, SamPath, on=(SamPath.ino == SamFile.p_ino) & (SamPath.gen == SamFile.p_gen))
            .join_from(SamPath, parent, on=(parent.ino == SamPath.ino) & (parent.gen == SamPath.gen))
            .where(
                SamPath.path.in_([_exactly(spelling) for spelling in sorted(spellings)]),
                SamFile.name == _exactly(name),
                parent.type == DIRECTORY,
            )
        )
        return _newest(self._rows(found))

    def _spelling(self) -> type[SamArchive]:
        if self._archive_model is None:
            found = self._rows(RawQuery(_IS_OFF_SET))
            if not found:
                raise SidebandError("the sideband database has no table sam_archive")
            self._archive_model = SamArchiveOffSet if found == [(1,)] else SamArchive
        return self._archive_model

    def _rows(self, query: Any) -> list[tuple[Any, ...]]:
        self._refuse_while_silent()
        if self._pool.process != os.getpid():
            self._pool = _Pool(os.getpid(), self._connection)
        with self._pool.checked_out() as session:
            # The wait for the connection may have been a wait for others to find the server down.
            self._refuse_while_silent()
            try:
                rows = session.rows(query)
            # PyMySQL has no class of its own for a socket's errors and for a login method it lacks.
            except (PeeweeException, OSError, RuntimeError) as error:
                self._fall_silent(error)
                raise SidebandError("the sideband database does not answer") from error
        self._answered()
        return rows

    def _refuse_while_silent(self) -> None:
        if time.monotonic() < self._silent_until:
            raise SidebandError("the sideband database failed a moment ago")

    def _fall_silent(self, error: Exception) -> None:
        self._archive_model = None  # the schema may be another when it answers again
        if not self._silent_until:
            _log.warning("The sideband database at %s does not answer: %s", self._connection.server, error)
        self._silent_until = time.monotonic() + self._connection.retry_seconds

    def _answered(self) -> None:
        if self._silent_until:
            _log.warning("The sideband database at %s answers again", self._connection.server)
            self._silent_until = 0.0


class _Pool:
    """Sessions of one process. No lock is held while a session connects or waits for an answer."""

    def __init__(self, process: int, connection: SidebandConnection) -> None:
        self.process = process
        self._timeout = connection.pool_timeout
        # The session used last goes out first, so that a quiet service keeps few connections.
        self._sessions: queue.LifoQueue[_Session] = queue.LifoQueue()
        for _ in range(connection.pool_size):
            self._sessions.put(_Session(connection))

    @contextmanager
    def checked_out(self) -> Iterator["_Session"]:
        try:
            session = self._sessions.get(timeout=self._timeout)
        except queue.Empty:
            raise SidebandError("all connections to the sideband database are in use") from None
        try:
            yield session
        finally:
            self._sessions.put(session)


class _Session:
    """A connection that one thread at a time uses."""

    def __init__(self, connection: SidebandConnection) -> None:
        # Only the pool's owner sees the object, so peewee need not keep a connection for each thread.
        self._database = MySQLDatabase(
            connection.schema,
            thread_safe=False,
            **_address(connection),
            user=connection.user,
            password=connection.password,
            charset="latin1",
            use_unicode=False,  # PyMySQL takes latin1 for cp1252, which lacks five of the bytes
            connect_timeout=connection.connect_timeout,
            read_timeout=connection.read_timeout,
            write_timeout=connection.read_timeout,
        )
        self._last_used = 0.0

    def rows(self, query: Any) -> list[tuple[Any, ...]]:
        """Return what *query* selects; ask again, once, when a connection from earlier turns out to be lost."""
        if time.monotonic() - self._last_used > _MAX_IDLE:
            self.close()
        is_new = self._database.is_closed()
        try:
            return self._ask(query)
        except (OperationalError, InterfaceError):
            if is_new:
                raise
        return self._ask(query)

    def close(self) -> None:
        if not self._database.is_closed():
            self._database.close()

    def _ask(self, query: Any) -> list[tuple[Any, ...]]:
        try:
            self._database.connect(reuse_if_open=True)
            rows = list(query.bind(self._database).tuples())
        except BaseException:
            # What is left of an answer must not meet the next question.
            self.close()
            raise
        self._last_used = time.monotonic()
        return rows


def _address(connection: SidebandConnection) -> dict[str, Any]:
    """Return what PyMySQL is told of where the server is and of TLS, which it prefers unless told."""
    if connection.unix_socket:
        address: dict[str, Any] = {"unix_socket": connection.unix_socket}
    else:
        address = {"host": connection.host, "port": connection.port}
    if isinstance(connection.tls, ssl.SSLContext):
        return {**address, "ssl": connection.tls}
    return {**address, "ssl_disabled": not connection.tls}


def _exactly(name: str) -> Cast:
    """Return *name* to be compared byte by byte; the columns' collation takes "a" for "A" and "a " for "a"."""
    return Cast(Value(os.fsencode(name), converter=False), "BINARY")


def _inodes(archive: type[SamArchive]) -> "ModelSelect[SamInode]":
    """Return the query for files with their copies, newest generation first; ``seq`` 0 stands for the whole copy."""
    same = (archive.ino == SamInode.ino) & (archive.gen == SamInode.gen) & (archive.seq == 0)
    return (
        SamInode.select(
            SamInode.ino,
            SamInode.gen,
            SamInode.type,
            SamInode.size,
            SamInode.create_time,
            SamInode.modify_time,
            SamInode.online,
            archive.copy,
            archive.media_type,
            archive.vsn,
            archive.position,
            archive.offset,
            archive.create_time,
            archive.stale,
        )
        .join(archive, JOIN.LEFT_OUTER, on=same)
        .order_by(SamInode.gen.desc(), archive.copy)
    )


def _newest(rows: Sequence[tuple[Any, ...]]) -> Inode | None:
    """Return the file of the first of *rows*, with its copies; None if it is not a file."""
    if not rows or rows[0][2] not in (REGULAR, SEGMENT_INDEX):
        return None
    ino, gen, kind, size, create_time, modify_time, online = rows[0][:7]
    copies = tuple(
        ArchiveCopy(number, media_type, vsn, position, offset, created or 0, bool(stale))
        for _, row_gen, *_, number, media_type, vsn, position, offset, created, stale in rows
        if row_gen == gen and number is not None
    )
    return Inode(ino, gen, kind, size or 0, create_time or 0, modify_time or 0, bool(online), copies)
