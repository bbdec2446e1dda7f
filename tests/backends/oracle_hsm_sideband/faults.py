"""What can be wrong with the sideband database, how it comes about, and what HEAD shall answer nevertheless.

``python -m tests.backends.oracle_hsm_sideband.faults`` makes each of them and prints what HEAD answered.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.backends.oracle_hsm_sideband.stand import FILE, Answer, Stand, standing
from tests.samqfs_emulator.host import READER, HsmHost
from tests.support.mariadb import shared_server

DUAL = Answer(204, "disk", (18, 18))
ONLINE = Answer(204, "disk", (18, 0))  # nothing is known of copies
OFFLINE = Answer(204, "tape", (0, 18))
MISSING = Answer(404, "File Not Found", ())


@dataclass(frozen=True)
class Fault:
    """Something wrong: *make* brings it about, HEAD answers *answer*, and the log says *log*."""

    name: str
    make: Callable[[Stand], None]
    answer: Answer
    log: str = ""
    below: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


def _kill_connections(stand: Stand) -> None:
    stand.archive()
    stand.head()
    assert stand.host.server.kill_connections(READER)


def _let_connections_time_out(stand: Stand) -> None:
    stand.archive()
    stand.host.server.kill_connections(READER)  # the time-out is for new ones
    stand.host.server.execute("SET GLOBAL wait_timeout = 1")
    try:
        stand.head()
        while stand.host.server.connections(READER):
            pass
    finally:
        stand.host.server.execute("SET GLOBAL wait_timeout = DEFAULT")


def _stop_server(stand: Stand) -> None:
    stand.archive()
    stand.head()
    stand.host.server.kill()


def _stop_server_of_released(stand: Stand) -> None:
    stand.tape()
    stand.host.server.kill()


def _older_generation(stand: Stand) -> None:
    stand.archive()
    inode = stand.path().stat().st_ino
    for table in ("sam_inode", "sam_archive", "sam_file"):
        stand.execute(f"UPDATE {table} SET gen = 3 WHERE ino = {inode}")
    stand.execute(f"INSERT INTO sam_inode VALUES ({inode}, 1, 0, 5, '', 0, 0, 0, 0, 0)")


def _unmount(stand: Stand) -> None:
    """Take the prefix away: what a service sees whose SAM-QFS is not mounted."""
    away = stand.host.filesystem.root / "away"
    stand.host.filesystem.mount.rename(away)
    shutil.rmtree(away)


def _no_mount(stand: Stand) -> None:
    stand.archive()
    _unmount(stand)


def _symlink_like_directory(stand: Stand) -> None:
    stand.archive()
    stand.execute(
        "INSERT INTO sam_inode VALUES (6000, 1, 4, 0, '', 0, 0, 0, 0, 1), (6001, 9, 0, 666, '', 0, 0, 0, 0, 0)",
        "INSERT INTO sam_path VALUES (6000, 1, '/39/')",
        "INSERT INTO sam_file VALUES (6000, 1, 56191, '3039', 6001, 9)",
    )
    _unmount(stand)


def _path_without_slash(stand: Stand) -> None:
    stand.host.updater.switch(directory_slash=False)
    stand.archive()
    _unmount(stand)


def _relative_path(stand: Stand) -> None:
    stand.host.updater.switch(relative_paths=True)
    stand.archive()
    _unmount(stand)


def _case_twins(stand: Stand) -> None:
    stand.archive()
    twin = stand.prefix.parent / "PACIFICA" / "39"
    twin.mkdir(parents=True)
    (twin / "3039").write_bytes(b"the twin")
    stand.host.updater.run_once()
    _unmount(stand)


def _no_valid_volume(stand: Stand) -> None:
    stand.archive()
    stand.execute("UPDATE sam_archive SET vsn = '', media_type = ''")


def _bogus_row_beside(stand: Stand) -> None:
    stand.host.updater.switch(archange="faithful")
    stand.archive()
    stand.host.filesystem.damage(stand.path())
    stand.host.updater.run_once()
    assert len(stand.execute("SELECT * FROM sam_archive")) == 2


def _two_sections(stand: Stand) -> None:
    stand.archive(sections=2)
    assert len(stand.execute("SELECT * FROM sam_archive")) == 2


def _unmarked_stale_copy(stand: Stand) -> None:
    stand.host.updater.switch(stale="faithful")
    stand.archive()
    path = stand.path()
    path.chmod(0o644)
    path.write_bytes(b"18 bytes, but new.")
    status = path.stat()
    os.utime(path, (status.st_mtime + 60, status.st_mtime + 60))  # not in the second of the copy
    stand.host.updater.run_once()
    assert stand.execute("SELECT stale FROM sam_archive") == [(0,)]


def _no_row_yet(stand: Stand) -> None:
    stand.host.updater.switch(delay=15)
    stand.put()
    stand.host.updater.run_once()


def _release_not_seen(stand: Stand) -> None:
    stand.archive()
    stand.host.updater.switch(stopped=True)
    assert stand.host.filesystem.release(stand.path())


def _stage_not_seen(stand: Stand) -> None:
    stand.tape()
    stand.host.updater.switch(stopped=True)
    stand.host.filesystem.stage(stand.path())


def _row_without_size(stand: Stand) -> None:
    stand.host.updater.switch(shared_client=True)
    stand.put()
    stand.host.updater.run_once()
    assert (0,) in stand.execute(f"SELECT size FROM sam_inode WHERE ino = {stand.path().stat().st_ino}")


def _row_of_deleted_file(stand: Stand) -> None:
    stand.archive()
    stand.host.updater.switch(lose_remove=True)
    stand.service.request("DELETE", f"/{FILE}")
    stand.host.updater.run_once()
    assert (b"3039",) in stand.execute("SELECT name FROM sam_file")


def _reused_inode(stand: Stand) -> None:
    """Leave the rows of a deleted file to the next file with its inode number."""
    stand.put()
    inode = stand.path().stat().st_ino
    stand.execute(
        f"INSERT INTO sam_inode VALUES ({inode}, 7, 0, 999, '', 0, 0, 0, 0, 0)",
        f"INSERT INTO sam_archive VALUES ({inode}, 7, 0, 0, 'li', 'OLD', 0, 0, 999, 5, 0)",
    )


def _segmented(stand: Stand) -> None:
    stand.archive()
    stand.execute("UPDATE sam_inode SET type = 3, online = 0 WHERE type = 0")


def _renamed_directory(stand: Stand) -> None:
    """Corrupt the paths as the updater does on a renamed directory."""
    stand.archive()
    stand.execute("UPDATE sam_path SET path = '/40/' WHERE path = '/39/'")


def _copies_not_seen(stand: Stand) -> None:
    stand.tape()
    stand.execute("DELETE FROM sam_archive")


FAULTS = [
    Fault("connections killed", _kill_connections, DUAL),
    Fault("wait_timeout of 1 s", _let_connections_time_out, DUAL),
    Fault("server stopped", _stop_server, ONLINE, log="does not answer"),
    Fault("server stopped, file released", _stop_server_of_released, OFFLINE, log="does not answer"),
    Fault("password refused", Stand.archive, ONLINE, log="Access denied", options={"password": "guess"}),
    Fault("account unknown", Stand.archive, ONLINE, log="Access denied", options={"user": "nobody"}),
    Fault("schema unknown", Stand.archive, ONLINE, log="denied", options={"schema": "another"}),
    Fault("row of an older generation", _older_generation, DUAL),
    Fault("rows of a lost removal, inode number reused", _reused_inode, ONLINE, log="lags"),
    Fault("no mount", _no_mount, DUAL),
    Fault("no mount, symlink with equal target", _symlink_like_directory, DUAL),
    Fault("no mount, path without trailing slash", _path_without_slash, DUAL),
    Fault("no mount, path without leading slash", _relative_path, DUAL),
    Fault("no mount, names that differ in case", _case_twins, DUAL, below="pacifica"),
    Fault("no mount, name not ASCII", _no_mount, DUAL, below="donnÀes-ÿ"),
    Fault("archive row without volume", _no_valid_volume, ONLINE),
    Fault("archive row without volume beside a good one", _bogus_row_beside, DUAL),
    Fault("copy of two sections", _two_sections, DUAL),
    Fault("stale copy with stale = 0", _unmarked_stale_copy, ONLINE),
    Fault("no row yet", _no_row_yet, ONLINE, log="no row"),
    Fault("release not in the row yet", _release_not_seen, OFFLINE, log="has not seen its release"),
    Fault("copies not in their rows yet", _copies_not_seen, OFFLINE, log="has not seen its archive copies"),
    Fault("stage not in the row yet", _stage_not_seen, DUAL),
    Fault("written by a shared client", _row_without_size, ONLINE, log="lags"),
    Fault("row of a deleted file", _row_of_deleted_file, MISSING),
    Fault("segmented file", _segmented, ONLINE, log="segmented"),
    Fault("paths broken by a renamed directory", _renamed_directory, DUAL),
]


def main() -> None:
    """Print a table of the faults and of what HEAD answers."""
    logging.disable()
    print("| fault | HEAD | media | bytes on (disk, tape) | as it should be |\n|---|---|---|---|---|")
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as directory:
            host = HsmHost(Path(directory, "sam"), shared_server())
            with standing(host, fault.below, **fault.options) as stand:
                fault.make(stand)
                answer = stand.head()
            if not host.server.pid:
                host.server.start()
        right = "yes" if answer == fault.answer else f"no: {fault.answer}"
        print(f"| {fault.name} | {answer.code} | {answer.media} | {answer.levels or ''} | {right} |", flush=True)


if __name__ == "__main__":
    main()
