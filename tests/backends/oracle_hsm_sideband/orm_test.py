"""The sideband database through a real server: the right row, and connections that come back."""

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.backends.oracle_hsm_sideband.connecting import connections_of
from pacifica.archiveinterface.backends.oracle_hsm_sideband.options import HsmSidebandOptions
from pacifica.archiveinterface.backends.oracle_hsm_sideband.orm import (
    BaseModel,
    SamArchive,
    SamFile,
    SamInode,
    SamPath,
    SamVersion,
)
from pacifica.archiveinterface.backends.oracle_hsm_sideband.sideband import Sideband
from pacifica.archiveinterface.connections import DatabaseUnavailableError
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.host import READER, SCHEMA
from tests.samqfs_emulator.updater import Updater
from tests.support.mariadb import MariaDB


@pytest.fixture
def stored(filesystem: SamQfs, updater: Updater) -> Path:
    """A file of 18 bytes with one copy on tape, known to the database."""
    path = filesystem.mount / "39" / "3039"
    path.parent.mkdir()
    path.write_bytes(b"eighteen bytes ...")
    filesystem.archive(path)
    updater.run_once()
    return path


def insert_inode(mariadb: MariaDB, ino: int, gen: int, kind: int = 0, size: int = 0, online: int = 1) -> None:
    mariadb.execute(
        f"INSERT INTO sam_inode VALUES ({ino}, {gen}, {kind}, {size}, '', 0, 0, 0, 0, {online})", database=SCHEMA
    )


def test_the_documented_models_are_the_five_tables() -> None:
    tables = {model._meta.table_name for model in (SamArchive, SamFile, SamInode, SamPath, SamVersion)}
    assert tables == {"sam_archive", "sam_file", "sam_inode", "sam_path", "sam_version"}
    assert all(issubclass(model, BaseModel) for model in (SamArchive, SamFile, SamInode, SamPath, SamVersion))


def test_a_file_is_found_by_its_inode(sideband: Sideband, stored: Path) -> None:
    inode = sideband.inode(stored.stat().st_ino)
    assert inode is not None
    assert (inode.size, inode.online, inode.modify_time) == (18, True, int(stored.stat().st_mtime))
    assert [(copy.number, copy.media_type, copy.vsn) for copy in inode.valid_copies()] == [(0, "li", "VOL001")]


def test_an_unknown_inode_is_none(sideband: Sideband) -> None:
    assert sideband.inode(4_000_000_000) is None


def test_the_highest_generation_is_the_file(mariadb: MariaDB, sideband: Sideband) -> None:
    insert_inode(mariadb, 5000, 3, size=9, online=1)
    insert_inode(mariadb, 5000, 1, size=5, online=0)
    mariadb.execute("INSERT INTO sam_archive VALUES (5000, 1, 0, 0, 'li', 'OLD', 0, 0, 5, 0, 0)", database=SCHEMA)
    inode = sideband.inode(5000)
    assert inode is not None
    assert (inode.gen, inode.size, inode.online, inode.copies) == (3, 9, True, ())


@pytest.mark.parametrize("kind", [1, 2, 4, 5])
def test_only_files_are_files(mariadb: MariaDB, sideband: Sideband, kind: int) -> None:
    insert_inode(mariadb, 5000, 1, kind=kind)
    assert sideband.inode(5000) is None


@pytest.mark.parametrize("path", ["/39/", "/39", "39/", "39"])
def test_a_path_is_found_however_its_slashes_are(sideband: Sideband, stored: Path, mariadb: MariaDB, path: str) -> None:
    mariadb.execute(f"UPDATE sam_path SET path = '{path}' WHERE path = '/39/'", database=SCHEMA)
    inode = sideband.inode_at("/39/", "3039")
    assert inode is not None
    assert inode.ino == stored.stat().st_ino


def test_a_file_in_the_root_is_found(sideband: Sideband, filesystem: SamQfs, updater: Updater) -> None:
    (filesystem.mount / "file.5").write_bytes(b"five")
    updater.run_once()
    inode = sideband.inode_at("/", "file.5")
    assert inode is not None
    assert inode.size == 4


def test_case_and_trailing_spaces_count_in_paths(sideband: Sideband, filesystem: SamQfs, updater: Updater) -> None:
    expected = {("abc", "name"): 1, ("ABC", "name"): 2, ("abc ", "name"): 3, ("abc", "NAME"): 4, ("abc", "name "): 5}
    for (directory, name), size in expected.items():
        (filesystem.mount / directory).mkdir(exist_ok=True)
        (filesystem.mount / directory / name).write_bytes(b"x" * size)
    updater.run_once()
    found = {place: sideband.inode_at(*place) for place in expected}
    assert {place: inode.size for place, inode in found.items() if inode} == expected


@pytest.mark.parametrize("name", ["é.txt", "À.txt", "naïve ÿ", b"not utf-8 \xff\x81"])
def test_names_are_bytes(sideband: Sideband, filesystem: SamQfs, updater: Updater, name: str | bytes) -> None:
    text = os.fsdecode(name)
    (filesystem.mount / text).write_bytes(b"found")
    updater.run_once()
    inode = sideband.inode_at("/", text)
    assert inode is not None
    assert inode.size == 5


def test_a_symlink_whose_target_looks_like_the_directory_is_not_the_directory(
    sideband: Sideband, stored: Path, mariadb: MariaDB
) -> None:
    insert_inode(mariadb, 6000, 1, kind=4)
    insert_inode(mariadb, 6001, 1, size=666)
    mariadb.execute(
        "INSERT INTO sam_path VALUES (6000, 1, '/39/')",
        "INSERT INTO sam_file VALUES (6000, 1, 56191, '3039', 6001, 9)",
        "UPDATE sam_file SET gen = 1 WHERE ino = 6001",
        database=SCHEMA,
    )
    inode = sideband.inode_at("/39/", "3039")
    assert inode is not None
    assert inode.size == 18


def test_a_row_of_an_older_generation_does_not_join(sideband: Sideband, stored: Path, mariadb: MariaDB) -> None:
    ino = stored.stat().st_ino
    mariadb.execute(
        f"UPDATE sam_inode SET gen = 3 WHERE ino = {ino}",
        f"UPDATE sam_file SET gen = 3 WHERE ino = {ino}",
        database=SCHEMA,
    )
    insert_inode(mariadb, ino, 1, size=5, online=0)
    inode = sideband.inode_at("/39/", "3039")
    assert inode is not None
    assert (inode.gen, inode.size, inode.online) == (3, 18, True)


@pytest.mark.parametrize("host", ["offset", "off_set"], indirect=True)
def test_both_spellings_of_offset_are_read(sideband: Sideband, stored: Path) -> None:
    inode = sideband.inode(stored.stat().st_ino)
    assert inode is not None
    [copy] = inode.copies
    assert (copy.number, copy.media_type, copy.vsn, copy.position, copy.offset) == (0, "li", "VOL001", 1, 1)
    assert inode.places() == (("VOL001", 1, 1),)


def test_a_schema_that_gets_the_other_spelling_is_read_again(
    sideband: Sideband, stored: Path, mariadb: MariaDB
) -> None:
    ino = stored.stat().st_ino
    assert sideband.inode(ino)
    mariadb.execute("ALTER TABLE sam_archive RENAME COLUMN `offset` TO off_set", database=SCHEMA)
    with pytest.raises(DatabaseUnavailableError):
        sideband.inode(ino)
    inode = sideband.inode(ino)
    assert inode is not None
    assert inode.places() == (("VOL001", 1, 1),)


@pytest.mark.parametrize(
    ("media_type", "vsn", "create_time", "stale", "is_valid"),
    [
        ("li", "VOL001", 100, 0, True),
        ("dk", "disk1", 101, 0, True),
        ("li", "VOL001", 100, 1, False),
        ("li", "VOL001", 99, 0, False),
        ("", "VOL001", 100, 0, False),
        ("li", "", 100, 0, False),
    ],
)
def test_a_copy_is_valid_when_it_names_a_volume_and_is_newer_than_the_file(
    mariadb: MariaDB, sideband: Sideband, media_type: str, vsn: str, create_time: int, stale: int, is_valid: bool
) -> None:
    mariadb.execute(
        "INSERT INTO sam_inode VALUES (5000, 1, 0, 4, '', 50, 100, 0, 0, 1)",
        f"INSERT INTO sam_archive VALUES (5000, 1, 0, 0, '{media_type}', '{vsn}', 0, 0, 4, {create_time}, {stale})",
        database=SCHEMA,
    )
    inode = sideband.inode(5000)
    assert inode is not None
    assert bool(inode.valid_copies()) == is_valid


def test_a_copy_on_two_volumes_is_one_copy(
    sideband: Sideband, filesystem: SamQfs, updater: Updater, mariadb: MariaDB
) -> None:
    path = filesystem.mount / "big"
    path.write_bytes(b"0123456789")
    filesystem.archive(path, sections=2)
    filesystem.archive(path, copy=2)
    updater.run_once()
    inode = sideband.inode(path.stat().st_ino)
    assert inode is not None
    assert [copy.number for copy in inode.valid_copies()] == [0, 1]
    assert len(mariadb.execute("SELECT * FROM sam_archive", database=SCHEMA)) == 3


def test_a_changed_row_is_seen_at_once(sideband: Sideband, stored: Path, mariadb: MariaDB) -> None:
    ino = stored.stat().st_ino
    assert sideband.inode(ino) is not None
    mariadb.execute(f"UPDATE sam_inode SET online = 0 WHERE ino = {ino}", database=SCHEMA)
    inode = sideband.inode(ino)
    assert inode is not None
    assert inode.online is False


def test_nothing_connects_before_a_question(updater: Updater, options: HsmSidebandOptions, mariadb: MariaDB) -> None:
    Sideband(connections_of(options))
    assert mariadb.connections(READER) == 0


def test_one_connection_serves_many_questions(sideband: Sideband, mariadb: MariaDB) -> None:
    for _ in range(20):
        sideband.inode(2)
    assert mariadb.connections(READER) == 1


def test_a_lost_connection_is_made_again(sideband: Sideband, stored: Path, mariadb: MariaDB) -> None:
    assert sideband.inode(stored.stat().st_ino)
    assert mariadb.kill_connections(READER) == 1
    assert sideband.inode(stored.stat().st_ino)


def test_connections_that_the_server_timed_out_are_made_again(
    sideband: Sideband, stored: Path, mariadb: MariaDB
) -> None:
    [[wait_timeout]] = mariadb.execute("SELECT @@global.wait_timeout")
    mariadb.execute("SET GLOBAL wait_timeout = 1")
    try:
        assert sideband.inode(stored.stat().st_ino)
        while mariadb.connections(READER):
            pass
        assert sideband.inode(stored.stat().st_ino)
    finally:
        mariadb.execute(f"SET GLOBAL wait_timeout = {wait_timeout}")


def test_a_server_that_is_down_is_an_error_until_it_is_back(sideband: Sideband, stored: Path, mariadb: MariaDB) -> None:
    ino = stored.stat().st_ino
    assert sideband.inode(ino)
    mariadb.kill()
    with pytest.raises(DatabaseUnavailableError):
        sideband.inode(ino)
    mariadb.start()
    assert sideband.inode(ino)


def test_after_a_failure_nobody_asks_for_a_while(
    updater: Updater, options: HsmSidebandOptions, mariadb: MariaDB
) -> None:
    sideband = Sideband(connections_of(replace(options, retry_seconds=3600)))
    mariadb.kill()
    with pytest.raises(DatabaseUnavailableError):
        sideband.inode(2)
    mariadb.start()
    with pytest.raises(DatabaseUnavailableError):
        sideband.inode(2)
    assert mariadb.connections(READER) == 0


@pytest.mark.parametrize("wrong", [{"user": "nobody"}, {"password": "guess"}, {"schema": "another"}, {"port": 1}])
def test_refused_credentials_are_an_error_without_the_password(
    updater: Updater, options: HsmSidebandOptions, wrong: dict[str, Any]
) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        Sideband(connections_of(replace(options, **wrong))).inode(2)
    assert options.password not in str(caught.value)
    assert "guess" not in str(caught.value)


def test_missing_tables_are_an_error(mariadb: MariaDB, options: HsmSidebandOptions) -> None:
    mariadb.create_database(SCHEMA)
    with pytest.raises(DatabaseUnavailableError):
        Sideband(connections_of(options)).inode(2)


def test_a_server_that_never_answers_is_an_error(options: HsmSidebandOptions) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = replace(options, port=deaf.getsockname()[1], connect_timeout=1, read_timeout=1)
        with pytest.raises(DatabaseUnavailableError):
            Sideband(connections_of(silent)).inode(2)


def test_threads_that_end_leave_their_connection_to_others(
    updater: Updater, options: HsmSidebandOptions, mariadb: MariaDB
) -> None:
    sideband = Sideband(connections_of(replace(options, pool_size=2)))
    for _ in range(5):
        thread = threading.Thread(target=sideband.inode, args=(2,))
        thread.start()
        thread.join()
    sideband.inode(2)
    assert mariadb.connections(READER) <= 2


def test_a_forked_child_has_a_connection_of_its_own(sideband: Sideband, stored: Path, mariadb: MariaDB) -> None:
    ino = stored.stat().st_ino
    assert sideband.inode(ino)
    asked, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end[1])
        os.write(asked[1], b"1" if sideband.inode(ino) else b"0")
        os.read(end[0], 1)  # until the parent has looked
        os._exit(0)
    assert os.read(asked[0], 1) == b"1"
    assert mariadb.connections(READER) == 2
    os.close(end[1])
    os.waitpid(child, 0)
    assert sideband.inode(ino)
    for descriptor in (*asked, end[0]):
        os.close(descriptor)
