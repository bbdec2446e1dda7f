"""The database of the recall service."""

from peewee import Database

from .. import stores
from ..stores import Kind, Migration, make_tables
from .options import RecallOptions
from .tables import TABLES, Lease, Schema


def _first_tables(database: Database) -> None:
    make_tables(database, TABLES)
    Lease.insert(
        id=1, holder="", beat=0, clock=0, completed_files=0, completed_bytes=0, failed_files=0, files_per_second=0
    ).execute(database)


MIGRATIONS: tuple[Migration, ...] = (_first_tables,)
RECALLS = Kind("recalls", "recalls", Schema, MIGRATIONS)


class Store(stores.Store):
    """The tables; any number of threads may share it."""

    def __init__(self, archive: str, options: RecallOptions) -> None:
        """Keep the recalls of *archive*, a name for backend and prefix. Raises ConfigurationError for a bad URL."""
        super().__init__(RECALLS, archive, options.database, options.database_timeout)
