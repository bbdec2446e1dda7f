"""The five tables of the sideband database of SAM-QFS, as peewee models.

Tables and columns are those of samdb.schema as sam-dbupd fills them. The rows trail the file system by seconds, by more
when the updater is down, and are never written from here: ``GRANT SELECT`` is enough.
"""

import os

from peewee import (
    BigIntegerField,
    CharField,
    CompositeKey,
    DoubleField,
    Field,
    IntegerField,
    Model,
    SmallIntegerField,
)

REGULAR, DIRECTORY, SEGMENT_INDEX = 0, 1, 3  # sam_inode.type


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
