"""Many at a time, and processes that die: the count is right in the end, and the quota was never exceeded."""

import random
import sqlite3
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from pacifica.archiveinterface.exception import QuotaError
from tests.limits.conftest import on_sqlite
from tests.support.crashes import Points, die, ends_well, passing, runs_to_the_end, started
from tests.support.limits import Limited
from tests.support.service import Meanwhile
from tests.support.waiting import await_true

UPLOADS, PROCESSES = 32, 4
LEASE = 0.3  # seconds; long enough for the beats of a process that lives
PATIENCE = 60  # seconds for an answer of the database, whatever else this machine does


def _race(directory: Path, url: str, files: Sequence[tuple[str, int]], quota_bytes: int) -> None:
    """Store all *files*, ids and sizes, at once, each as a creator of its own; those that are refused do not matter."""
    limited = Limited(directory, _patient(url), quota_bytes=quota_bytes, database_timeout=PATIENCE)
    failed: list[BaseException] = []

    def store(file_id: str, size: int) -> None:
        try:
            limited.store(file_id, b"x" * size, f"creator {file_id}")
        except QuotaError:
            pass
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=store, args=file) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def _patient(url: str) -> str:
    """Let connecting to the database at *url* take PATIENCE, too; SQLite does not connect."""
    return url if url.startswith("sqlite") else f"{url}{'&' if '?' in url else '?'}connect_timeout={PATIENCE}"


def _stored(limited: Limited) -> dict[str, int]:
    ids = [entry.file_id for entry in limited.archive.entries() if entry.file_id and not entry.is_partial]
    return {file_id: limited.archive.file(file_id).status().filesize for file_id in ids}


def test_racers_fill_the_quota_and_take_no_more(tmp_path: Path, url: str) -> None:
    sizes = {str(number): random.Random(number).randint(1, 100) for number in range(1, UPLOADS + 1)}
    quota = sum(sizes.values()) // 2
    limited = Limited(tmp_path, url, quota_bytes=quota)
    files = list(sizes.items())
    parts = [files[first::PROCESSES] for first in range(PROCESSES)]
    children = [started(partial(_race, tmp_path, url, part, quota_bytes=quota)) for part in parts]
    assert all(map(ends_well, children))
    stored = _stored(limited)
    assert limited.used() == (sum(stored.values()), len(stored))
    assert sum(stored.values()) <= quota
    assert [size for file_id, size in files if file_id not in stored and size <= quota - sum(stored.values())] == []
    assert all(limited.used_by(f"creator {file_id}") == (size, 1) for file_id, size in stored.items())


def test_writers_of_the_same_file_leave_its_size(tmp_path: Path, url: str) -> None:
    limited = Limited(tmp_path, url, quota_bytes=1000)
    children = [started(partial(_race, tmp_path, url, [("7", size)] * 3, quota_bytes=1000)) for size in (10, 20, 30)]
    assert all(map(ends_well, children))
    [size] = _stored(limited).values()
    assert limited.used() == (size, 1)


@on_sqlite
@pytest.mark.parametrize("action", ["store", "replace", "remove", "move"])
def test_a_process_that_dies_at_one_of_many_points_leaves_the_count_right(
    tmp_path: Path, url: str, action: str
) -> None:
    directories: list[Path] = []
    is_done = False
    while not is_done:
        directories.append(tmp_path / str(len(directories)))
        directories[-1].mkdir()
        is_done = runs_to_the_end(partial(_change_until, directories[-1], action, 3 * len(directories)))
    assert len(directories) > 3
    # Not before: SQLite's state, and threads that hold locks, do not survive a fork.
    for directory in directories:
        await_true(partial(_is_right, _limited(directory)))


def _limited(directory: Path) -> Limited:
    place = f"sqlite:///{directory / 'limits.sqlite3'}"
    return Limited(directory, place, quota_bytes=1000, lease_seconds=LEASE)


def _change_until(directory: Path, action: str, point: int) -> None:
    limited = _limited(directory)
    limited.store("1", b"x" * 300)
    (limited.outside / "file").write_bytes(b"x" * 500)
    with passing(Points(point, die)):
        if action == "store":
            limited.store("2", b"x" * 500)
        elif action == "replace":
            limited.store("1", b"x" * 500)
        elif action == "remove":
            limited.limits.file("1", "").remove()
        else:
            limited.limits.file("1", "").move_in(str(limited.outside / "file"))


def _is_right(limited: Limited) -> bool:
    """Return whether a file can be stored that needs all that is left, and the count is that of the archive."""
    left = 1000 - sum(_stored(limited).values())
    try:
        limited.store("3", b"x" * left)
    except QuotaError:
        return False
    return limited.used() == (1000, len(_stored(limited)))


def test_what_was_stored_while_the_database_was_lost_is_counted_later(tmp_path: Path) -> None:
    place = tmp_path / "limits.sqlite3"
    limited = Limited(tmp_path, f"sqlite:///{place}", quota_bytes=1000, lease_seconds=LEASE, database_timeout=0.2)
    limited.store("1", b"x" * 100)
    lock = _Lock(place)
    looks = iter([lambda: None, lock.take])  # before the upload, and when the file gets its name
    meanwhile = Meanwhile(deed=lambda existing: next(looks)())
    limited.limits.file("1", "").store([b"x" * 200], 1.0, length=200, precondition=meanwhile)
    assert _stored(limited) == {"1": 200}
    lock.release()
    await_true(lambda: limited.used() == (200, 1))


class _Lock:
    """Keeps others from changing a SQLite database."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def take(self) -> None:
        """Keep others out."""
        self._connection = sqlite3.connect(self._place, check_same_thread=False, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        """Let others in."""
        self._connection.execute("ROLLBACK")
        self._connection.close()
