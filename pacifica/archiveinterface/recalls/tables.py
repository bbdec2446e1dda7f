"""The tables of the recall service, and how they come into being.

Times are in epoch seconds, for clients. Everything that the recaller waits for is in seconds of the *recaller's
clock* (`lease`): it runs only while a recaller is at work, and does not jump when the clock of a host is set.
"""

from peewee import (
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    DoubleField,
    IntegerField,
    Model,
    SmallIntegerField,
)

from ..stores import EncodedField, VersionRow


class Phase:
    """How far the recall of a file has come; the phases below STARTED are SUBMITTED for clients."""

    NEW = 0  # nobody has looked where the file is
    WAITING = 1  # on tape; its volume has not been started
    RETRYING = 2  # the last attempt failed, the next one has to wait
    STARTED = 3  # the storage was asked for it
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6


SUBMITTED = (Phase.NEW, Phase.WAITING, Phase.RETRYING)
ACTIVE = (*SUBMITTED, Phase.STARTED)


class Schema(VersionRow):
    """One row: the version of the tables, and the archive whose recalls they hold."""

    class Meta:
        """Its name in the database."""

        table_name = "recall_schema"


class Lease(Model):
    """One row: which recaller is at work, and what all of them have done."""

    id = IntegerField(primary_key=True)
    holder = CharField(64)
    beat = BigIntegerField()
    clock = DoubleField()
    completed_files = BigIntegerField()
    completed_bytes = BigIntegerField()
    failed_files = BigIntegerField()
    files_per_second = DoubleField()

    class Meta:
        """Its name in the database."""

        table_name = "recall_lease"


class Recall(Model):
    """The recall of one file, however many have asked for it.

    *key* is a digest of *file_id*; *active* is the same while the recall is not over, then NULL: a file has one
    active recall at most. *is_direct*: somebody asked without a request of the tape API. *is_unwanted*: all who
    asked have cancelled. *is_asked_again*: a client has asked since the storage was asked. *is_final*: another attempt
    would fail, too. *is_told*: a client knows of the failure.
    """

    id = BigAutoField()
    key = CharField(32, index=True)
    active = CharField(32, null=True, unique=True)
    file_id = EncodedField()
    phase = SmallIntegerField()
    priority = IntegerField(default=0)
    is_direct = BooleanField(default=False)
    is_unwanted = BooleanField(default=False)
    is_asked_again = BooleanField(default=False)
    created_at = DoubleField()
    changed_at = DoubleField()
    started_at = DoubleField(null=True)
    finished_at = DoubleField(null=True, index=True)
    size = BigIntegerField(default=0)
    volume = CharField(128, default="")
    position = BigIntegerField(default=0)
    position_offset = BigIntegerField(default=0)
    queued_clock = DoubleField(default=0)
    due_clock = DoubleField(default=0)  # of the next attempt, or of the end of the time-out
    attempts = IntegerField(default=0)
    error = EncodedField(default="")
    is_final = BooleanField(default=False)
    is_told = BooleanField(default=False)

    class Meta:
        """Its name and indexes in the database."""

        table_name = "recall_file"
        indexes = (
            (("phase", "volume", "position", "position_offset", "id"), False),
            (("phase", "id"), False),
        )


class Request(Model):
    """A request of the tape API."""

    id = CharField(36, primary_key=True)
    created_at = DoubleField(index=True)

    class Meta:
        """Its name in the database."""

        table_name = "recall_request"


class RequestedFile(Model):
    """A file of a request: *path* as the client spelled it.

    *recall* is NULL for what no file can be, *error* says why. *pin_until* is a time of the recaller's clock, set
    when the recall has completed, and NULL again when the pin has ended.
    """

    request = CharField(36)
    number = IntegerField()
    path = EncodedField()
    key = CharField(32, index=True)
    recall = BigIntegerField(null=True, index=True)
    lifetime = DoubleField()  # seconds
    pin_until = DoubleField(null=True, index=True)
    cancelled_at = DoubleField(null=True)
    released_at = DoubleField(null=True)
    error = EncodedField(default="")

    class Meta:
        """Its name and key in the database."""

        table_name = "recall_requested"
        primary_key = CompositeKey("request", "number")


class Eviction(Model):
    """A file whose disk copy may go unless it is pinned."""

    key = CharField(32, primary_key=True)
    file_id = EncodedField()

    class Meta:
        """Its name in the database."""

        table_name = "recall_eviction"


class Volume(Model):
    """What the recaller last knew of a volume with recalls; *ahead* is how many files are expected before its own.

    *active_since* is when the volume was started, *idle_since* when its queue was last empty, 0 for never.
    """

    name = CharField(128, primary_key=True)
    active_since = DoubleField()
    idle_since = DoubleField()
    waiting_files = BigIntegerField()
    waiting_bytes = BigIntegerField()
    in_flight = BigIntegerField()
    oldest_clock = DoubleField()
    ahead = BigIntegerField()

    class Meta:
        """Its name in the database."""

        table_name = "recall_volume"


TABLES: tuple[type[Model], ...] = (Lease, Recall, Request, RequestedFile, Eviction, Volume)
