"""The tables of what is counted. Times are in seconds of the database's clock."""

from peewee import BigIntegerField, CharField, Database, DoubleField, Model

from ..stores import EncodedField, Kind, VersionRow, make_tables

ALL = "all"  # the key of the usage of everybody together
NOBODY = "nobody"  # the key of the owner of files that were stored before anything was counted


class Schema(VersionRow):
    """One row: the version of the tables, and the archive that they belong to."""

    class Meta:
        """Its name in the database."""

        table_name = "limit_schema"


class Holder(Model):
    """A process that holds space or transfers; they count until *until*, which the process moves on while it lives."""

    name = CharField(64, primary_key=True)
    until = DoubleField(index=True)

    class Meta:
        """Its name in the database."""

        table_name = "limit_holder"


class Usage(Model):
    """What a principal has stored, by the key of its name; and ALL, and NOBODY."""

    key = CharField(32, primary_key=True)
    name = EncodedField()
    bytes = BigIntegerField(default=0)
    files = BigIntegerField(default=0)

    class Meta:
        """Its name in the database."""

        table_name = "limit_usage"


class StoredFile(Model):
    """A file that is counted; *owner* is the key of a Usage.

    *stamp* changes with each change of the row; *run* is that of the last recount that has found the file.
    """

    key = CharField(32, primary_key=True)
    file_id = EncodedField()
    owner = CharField(32, index=True)
    bytes = BigIntegerField()
    stamp = CharField(32)
    run = CharField(32, default="")

    class Meta:
        """Its name in the database."""

        table_name = "limit_file"


class Change(Model):
    """A change of a file that is under way, and the *bytes* and *files* that are kept free for it for the *owner*.

    *turn* is the key of the file while the change is being published, which one at a time may be, and NULL before.
    """

    id = CharField(32, primary_key=True)
    holder = CharField(64, index=True)
    key = CharField(32, index=True)
    turn = CharField(32, null=True, unique=True)
    file_id = EncodedField()
    owner = CharField(32, index=True)
    name = EncodedField()  # of the owner
    bytes = BigIntegerField()
    files = BigIntegerField()

    class Meta:
        """Its name in the database."""

        table_name = "limit_change"


class Bucket(Model):
    """The requests that a principal may still make at once, *tokens*, when they were last counted, at *counted_at*."""

    key = CharField(32, primary_key=True)
    tokens = DoubleField()
    counted_at = DoubleField()

    class Meta:
        """Its name in the database."""

        table_name = "limit_bucket"


class Transfer(Model):
    """An upload or a download of the principal with the *key* that is under way."""

    id = CharField(32, primary_key=True)
    key = CharField(32, index=True)
    holder = CharField(64, index=True)

    class Meta:
        """Its name in the database."""

        table_name = "limit_transfer"


def _first_tables(database: Database) -> None:
    make_tables(database, (Holder, Usage, StoredFile, Change, Bucket, Transfer))
    for key in (ALL, NOBODY):
        Usage.insert(key=key, name="").execute(database)


LIMITS = Kind("limits", "limits", Schema, (_first_tables,))
