"""Points at which a process can die: before each statement, each commit and each call of the storage."""

import itertools
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pymysql
import pytest
from peewee import Database, MySQLDatabase, OperationalError

DIED = -signal.SIGKILL  # exit code of a process that died at a point


class Points:
    """Counts the points that a process passes, and has it *happen* at the *last* one."""

    def __init__(self, last: int, happen: Callable[[Any], None]) -> None:
        self._last, self._happen = last, happen
        self._passed = itertools.count(1)
        self.was_reached = False

    def reach(self, database: Any = None) -> None:
        """Pass a point."""
        if next(self._passed) == self._last:
            self.was_reached = True
            self._happen(database)


def die(_: Any) -> None:
    """End this process; os._exit() would let coverage write its data first, perhaps in two threads."""
    os.kill(os.getpid(), signal.SIGKILL)


def lose_connection(database: Any) -> None:
    """Close the connection to the *database* as if its server had."""
    if database:
        connection = database.connection()
        if isinstance(database, MySQLDatabase):
            with suppress(pymysql.Error):
                connection.kill(connection.thread_id())
        else:
            connection.close()
        raise OperationalError("the connection was lost")


def started(action: Callable[[], object]) -> int:
    """Run *action* in a process of its own, and return its id."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return child


def ends_well(child: int) -> bool:
    """Return whether the process *child* was not ended at a point; its action must not fail."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, DIED), code
    return code == 0


def between_transactions(action: Callable[[], object]) -> Callable[[Any], None]:
    """Return what does *action* at a point of SQLite's unless a transaction is under way: it would wait for it."""

    def happen(database: Any) -> None:
        if not database.connection().in_transaction:
            action()

    return happen


def runs_to_the_end(action: Callable[[], object]) -> bool:
    """Return whether *action*, in a process of its own, was not ended at a point."""
    return ends_well(started(action))


@contextmanager
def passing(points: Points, *, after: bool = False) -> Iterator[None]:
    """Let all databases of this process pass *points* in the block, before or *after* each statement and commit."""
    kept: Any = (Database.execute_sql, Database.commit)

    def around(database: Any, action: Callable[[], Any]) -> Any:
        if not after:
            points.reach(database)
        result = action()
        if after:
            points.reach(database)
        return result

    def execute_sql(database: Any, *statement: Any) -> Any:
        return around(database, lambda: kept[0](database, *statement))

    def commit(database: Any) -> Any:
        return around(database, lambda: kept[1](database))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "execute_sql", execute_sql)
        patch.setattr(Database, "commit", commit)
        yield
