"""The emulator keeps what its README promises, so that the tests standing on it mean something."""

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.backends.oracle_hsm_sideband.conftest import Clock
from tests.samqfs_emulator import stubs
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.host import SCHEMA
from tests.samqfs_emulator.namehash import name_hash
from tests.samqfs_emulator.state import SS_ARCHIVED, SS_OFFLINE, SS_PARTIAL, SS_SAMFS, SS_STAGEFAIL
from tests.samqfs_emulator.updater import Updater
from tests.support.mariadb import MariaDB

CONTENT = bytes(range(256)) * 400
ROOT = Path(__file__).parents[3]
SS_STAGING = 0x01
STAT_SIZE = 420


@pytest.fixture
def path(filesystem: SamQfs) -> Path:
    path = filesystem.mount / "39" / "3039"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.chmod(0o444)
    os.utime(path, ns=(5, 1_473_806_059_290_000_000))
    return path


@pytest.fixture
def libsam(libraries: tuple[Path, Path], filesystem: SamQfs, monkeypatch: pytest.MonkeyPatch) -> ctypes.CDLL:
    monkeypatch.setenv("SAMQFS_EMULATOR", str(filesystem.root))
    return ctypes.CDLL(str(libraries[0]), use_errno=True)


def sam_stat(libsam: ctypes.CDLL, path: Path) -> tuple[int, int, int]:
    """Return (attr, flags, partial KiB)."""
    record = ctypes.create_string_buffer(STAT_SIZE)
    assert libsam.sam_stat(os.fsencode(path), record, STAT_SIZE) == 0
    raw = record.raw
    assert int.from_bytes(raw[4:8], "little") == path.stat().st_ino & 0xFFFFFFFF
    assert int.from_bytes(raw[28:36], "little") == path.stat().st_size
    return int.from_bytes(raw[412:420], "little"), raw[329], int.from_bytes(raw[336:340], "little")


def rows(mariadb: MariaDB, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return sorted(mariadb.execute(f"SELECT {columns} FROM {table}", database=SCHEMA), key=repr)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ab", 0),
        ("abc", 56766),
        ("abcd", 60958),
        ("3039", 56191),
        ("4d2", 32675),
        ("file.5", 47047),
        ("file.ff", 56290),
        ("12345678", 52733),
        ("123456789", 40691),
        ("mickey.gif", 61300),
        ("é.txt", 48638),
        ("sample-file-name-longer.dat", 30590),
    ],
)
def test_names_hash_as_the_kernel_hashes_them(name: str, expected: int) -> None:
    assert name_hash(name.encode()) == expected


def test_release_drops_the_blocks_and_nothing_else(filesystem: SamQfs, path: Path) -> None:
    before = path.stat()
    filesystem.archive(path)
    assert filesystem.release(path)
    after = path.stat()
    assert (after.st_blocks, after.st_size, after.st_mtime_ns) == (0, before.st_size, before.st_mtime_ns)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_stage_brings_every_byte_back_into_the_same_inode(filesystem: SamQfs, path: Path) -> None:
    before = path.stat()
    filesystem.archive(path, sections=3)
    filesystem.release(path)
    filesystem.stage(path)
    after = path.stat()
    assert path.read_bytes() == CONTENT
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)


def test_a_second_copy_of_a_released_file_is_whole(filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    filesystem.release(path)
    filesystem.archive(path, copy=2, vsn="VOL002")
    filesystem.damage(path, copy=1)
    filesystem.stage(path)
    assert path.read_bytes() == CONTENT


def test_a_partial_release_keeps_the_first_bytes(filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    assert filesystem.release(path, partial=16)
    assert path.stat().st_blocks * 512 == 16384
    assert path.read_bytes() == CONTENT[:16384] + bytes(len(CONTENT) - 16384)


def test_a_file_without_a_good_copy_is_not_released(filesystem: SamQfs, path: Path) -> None:
    assert not filesystem.release(path)
    filesystem.archive(path)
    filesystem.damage(path)
    assert not filesystem.release(path)
    assert path.read_bytes() == CONTENT


def test_a_thousand_files_cost_no_more_each_than_a_hundred(filesystem: SamQfs) -> None:
    written: list[int] = []
    for count in (100, 1000):
        directory = filesystem.mount / str(count)
        directory.mkdir()
        for number in range(count):
            (directory / str(number)).touch()
        before = _bytes_written()
        filesystem.notice()
        written.append((_bytes_written() - before) // count)
    assert written[1] < 2 * written[0]


def _bytes_written() -> int:
    """Return how many bytes this process has written by system calls so far."""
    [line] = [line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("wchar")]
    return int(line.split()[1])


def test_an_empty_file_is_not_released(filesystem: SamQfs) -> None:
    empty = filesystem.mount / "file.0"
    empty.touch()
    filesystem.archive(empty)
    assert not filesystem.release(empty)


def test_an_offline_file_without_a_good_copy_cannot_be_staged(filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    filesystem.release(path)
    filesystem.damage(path)
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        filesystem.stage(path)
    assert filesystem.status(path).stage_failed


def test_the_stub_says_where_a_file_is(libsam: ctypes.CDLL, filesystem: SamQfs, path: Path) -> None:
    assert sam_stat(libsam, path) == (SS_SAMFS, 0, 0)
    filesystem.archive(path)
    assert sam_stat(libsam, path) == (SS_SAMFS | SS_ARCHIVED, 0, 0)
    filesystem.release(path, partial=8)
    assert sam_stat(libsam, path) == (SS_SAMFS | SS_ARCHIVED | SS_OFFLINE | SS_PARTIAL, 0, 8)
    assert libsam.sam_stage(os.fsencode(path), b"i") == 0
    assert sam_stat(libsam, path)[1] == SS_STAGING
    filesystem.serve_requests()
    assert sam_stat(libsam, path) == (SS_SAMFS | SS_ARCHIVED, 0, 0)


def test_many_stage_calls_are_one_request(libsam: ctypes.CDLL, filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    filesystem.release(path)
    for _ in range(5):
        assert libsam.sam_stage(os.fsencode(path), b"i") == 0
    assert filesystem.requests() == [path]
    assert [line.split()[0] for line in filesystem.stage_calls()] == ["call", "queued", "call", "call", "call", "call"]
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        filesystem.release(path)
    assert libsam.sam_cancelstage(os.fsencode(path)) == 0
    assert filesystem.requests() == []


def test_the_stub_releases_what_has_a_good_copy(
    libsam: ctypes.CDLL, filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path
) -> None:
    assert libsam.sam_release(os.fsencode(path), b"i") == 0
    assert path.read_bytes() == CONTENT
    filesystem.archive(path)
    before = path.stat()
    assert libsam.sam_release(os.fsencode(path), b"i") == 0
    after = path.stat()
    assert (after.st_blocks, after.st_size, after.st_mtime_ns) == (0, before.st_size, before.st_mtime_ns)
    assert after.st_mode == before.st_mode
    assert sam_stat(libsam, path) == (SS_SAMFS | SS_ARCHIVED | SS_OFFLINE, 0, 0)
    updater.run_once()
    assert (path.stat().st_ino, 0) in rows(mariadb, "sam_inode", "ino, online")
    filesystem.stage(path)
    assert path.read_bytes() == CONTENT


def test_the_stub_does_not_release_what_is_being_staged(libsam: ctypes.CDLL, filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    filesystem.release(path)
    libsam.sam_stage(os.fsencode(path), b"i")
    assert libsam.sam_release(os.fsencode(path), b"i") == -1
    assert ctypes.get_errno() == errno.EBUSY


def test_on_a_linux_client_there_is_only_sam_stat(libsam: ctypes.CDLL, filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    filesystem.refuse_calls()
    for call in (libsam.sam_stage, libsam.sam_release):
        assert call(os.fsencode(path), b"i") == -1
        assert ctypes.get_errno() == errno.ENOTTY
    assert libsam.sam_cancelstage(os.fsencode(path)) == -1
    assert sam_stat(libsam, path) == (SS_SAMFS | SS_ARCHIVED, 0, 0)
    filesystem.refuse_calls(False)
    assert libsam.sam_release(os.fsencode(path), b"i") == 0


@pytest.mark.parametrize(("operations", "number"), [(b"ip", errno.EINVAL), (b"z", errno.EINVAL), (b"i", errno.ENXIO)])
def test_a_stage_that_cannot_be_says_why(
    libsam: ctypes.CDLL, filesystem: SamQfs, path: Path, operations: bytes, number: int
) -> None:
    filesystem.archive(path)
    filesystem.release(path)
    filesystem.unarchive(path)
    assert libsam.sam_stage(os.fsencode(path), operations) == -1
    assert ctypes.get_errno() == number


def test_a_failed_stage_is_told(libsam: ctypes.CDLL, filesystem: SamQfs, path: Path) -> None:
    filesystem.archive(path)
    filesystem.release(path)
    libsam.sam_stage(os.fsencode(path), b"i")
    filesystem.unarchive(path)
    filesystem.serve_requests()
    assert sam_stat(libsam, path)[1] == SS_STAGEFAIL


def test_a_reader_blocks_until_the_file_is_back(filesystem: SamQfs, path: Path, libraries: tuple[Path, Path]) -> None:
    filesystem.archive(path)
    filesystem.release(path, partial=16)
    program = "import os, sys; f = os.open(sys.argv[1], 0); os.pread(f, 9, 0); print('start', flush=True)"
    program += "; print(os.pread(f, 4, 102396).hex())"
    environment = {**os.environ, "LD_PRELOAD": str(libraries[1]), "SAMQFS_EMULATOR": str(filesystem.root)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == "start\n"  # what stayed on disk is read at once
        while not filesystem.requests():
            assert reader.poll() is None
        filesystem.serve_requests()
        assert reader.stdout.readline() == "fcfdfeff\n"


def test_the_stubs_are_built_without_a_warning(libraries: tuple[Path, Path]) -> None:
    assert {"-Wall", "-Wextra", "-Werror"} <= set(stubs.FLAGS)
    assert all(library.exists() for library in libraries)


def test_the_control_command_works_on_the_same_state(filesystem: SamQfs, path: Path) -> None:
    def control(*words: str) -> str:
        command = [sys.executable, "-m", "tests.samqfs_emulator", str(filesystem.root), *words]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    control("tape", "39/3039")
    assert path.stat().st_blocks == 0
    assert filesystem.status(path).offline
    assert '"offline": true' in control("status", str(path))
    control("stage", "39/3039")
    assert path.read_bytes() == CONTENT
    assert '"delay": 15' in control("switch", "delay=15", 'stale="faithful"')


# The updater


def test_every_kind_of_entry_gets_its_rows(filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path) -> None:
    (filesystem.mount / "link").symlink_to("39/3039")
    os.link(path, filesystem.mount / "hard")
    updater.run_once()
    ino, parent = path.stat().st_ino, path.parent.stat().st_ino
    link = (filesystem.mount / "link").lstat().st_ino
    assert set(rows(mariadb, "sam_path")) == {(2, 2, b"/"), (parent, 1, b"/39/"), (link, 1, b"39/3039")}
    assert set(rows(mariadb, "sam_file", "p_ino, name, ino")) == {
        (2, b"39", parent),
        (parent, b"3039", ino),
        (2, b"hard", ino),
        (2, b"link", link),
    }
    kinds = rows(mariadb, "sam_inode", "ino, type, online")
    assert set(kinds) == {(2, 1, 1), (parent, 1, 1), (ino, 0, 1), (link, 4, 1)}


def test_archive_release_and_stage_reach_the_rows(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path
) -> None:
    filesystem.archive(path, copy=2, media="ti", vsn="T1")
    filesystem.release(path)
    updater.run_once()
    assert rows(mariadb, "sam_archive", "copy, seq, media_type, vsn, size, stale") == [
        (1, 0, b"ti", b"T1", len(CONTENT), 0)
    ]
    assert (path.stat().st_ino, 0) in rows(mariadb, "sam_inode", "ino, online")
    filesystem.stage(path)
    updater.run_once()
    assert (path.stat().st_ino, 1) in rows(mariadb, "sam_inode", "ino, online")


def test_rows_come_after_the_delay(filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path) -> None:
    filesystem.clock = updater.clock = clock = Clock()
    updater.switch(delay=15)
    assert updater.run_once() == 0
    clock.now += 14
    assert updater.run_once() == 0
    clock.now += 1
    assert updater.run_once() > 0
    assert path.stat().st_ino in [ino for [ino] in rows(mariadb, "sam_inode", "ino")]


def test_utime_and_chmod_raise_no_event(filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path) -> None:
    filesystem.archive(path)
    updater.run_once()
    before = rows(mariadb, "sam_inode")
    os.utime(path, (7, 7))
    path.chmod(0o600)
    assert updater.run_once() == 0
    assert rows(mariadb, "sam_inode") == before


def test_a_removed_file_loses_its_rows_and_its_number_a_generation(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path
) -> None:
    filesystem.archive(path)
    updater.run_once()
    ino = path.stat().st_ino
    path.unlink()
    updater.run_once()
    assert rows(mariadb, "sam_archive") == []
    assert ino not in [row[0] for row in rows(mariadb, "sam_inode")]
    assert b"3039" not in [name for [name] in rows(mariadb, "sam_file", "name")]
    with filesystem.state.locked():
        assert filesystem.state.count(f"generation of {ino}") == 3


def test_a_lost_removal_leaves_the_rows(filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path) -> None:
    updater.switch(lose_remove=True)
    updater.run_once()
    ino = path.stat().st_ino
    path.unlink()
    updater.run_once()
    assert ino in [row[0] for row in rows(mariadb, "sam_inode")]


@pytest.mark.parametrize(("stale", "expected"), [("faithful", [(0, 0)]), ("fixed", [(0, 1)]), ("checked", [])])
def test_a_changed_file_has_stale_copies(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path, stale: str, expected: list[tuple[int, int]]
) -> None:
    updater.switch(stale=stale)
    filesystem.archive(path)
    updater.run_once()
    path.chmod(0o644)
    path.write_bytes(b"another content")
    updater.run_once()
    assert rows(mariadb, "sam_archive", "copy, stale") == expected
    assert (path.stat().st_ino, 15) in rows(mariadb, "sam_inode", "ino, size")


def test_from_a_shared_client_a_row_stays_empty_until_archived(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path
) -> None:
    updater.switch(shared_client=True)
    updater.run_once()
    assert (path.stat().st_ino, 0) in rows(mariadb, "sam_inode", "ino, size")
    filesystem.archive(path)
    updater.run_once()
    assert (path.stat().st_ino, len(CONTENT)) in rows(mariadb, "sam_inode", "ino, size")


@pytest.mark.parametrize(
    ("archange", "expected"), [("faithful", [(0, b"VOL001"), (1, b"")]), ("fixed", [(0, b"VOL001")])]
)
def test_a_damaged_copy_may_leave_a_row_without_a_volume(
    filesystem: SamQfs,
    updater: Updater,
    mariadb: MariaDB,
    path: Path,
    archange: str,
    expected: list[tuple[int, bytes]],
) -> None:
    updater.switch(archange=archange)
    filesystem.archive(path)
    filesystem.damage(path)
    updater.run_once()
    assert rows(mariadb, "sam_archive", "copy, vsn") == expected


@pytest.mark.parametrize(("rename", "expected"), [("faithful", b"/x/c/"), ("fixed", b"/x/b/a/c/")])
def test_a_renamed_directory_may_break_the_paths_below(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, rename: str, expected: bytes
) -> None:
    updater.switch(rename=rename)
    (filesystem.mount / "a" / "b" / "a" / "c").mkdir(parents=True)
    updater.run_once()
    (filesystem.mount / "a").rename(filesystem.mount / "x")
    updater.run_once()
    assert expected in [path for [path] in rows(mariadb, "sam_path", "path")]


@pytest.mark.parametrize(
    ("switches", "expected"),
    [({}, b"/39/"), ({"directory_slash": False}, b"/39"), ({"relative_paths": True}, b"39/")],
)
def test_paths_may_lose_a_slash(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path, switches: dict[str, bool], expected: bytes
) -> None:
    updater.switch(**switches)
    updater.run_once()
    assert expected in [text for [text] in rows(mariadb, "sam_path", "path")]


def test_fewer_sections_leave_the_rows_of_more(
    filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path
) -> None:
    filesystem.archive(path, sections=3)
    updater.run_once()
    filesystem.archive(path, vsn="VOL002")
    updater.run_once()
    assert rows(mariadb, "sam_archive", "seq, vsn") == [(0, b"VOL002"), (1, b"VOL001+1"), (2, b"VOL001+2")]


def test_short_names_that_differ_in_case_stop_the_updater(filesystem: SamQfs, updater: Updater) -> None:
    (filesystem.mount / "ab").touch()
    (filesystem.mount / "AB").touch()
    for _ in range(2):
        with pytest.raises(pymysql.err.IntegrityError):
            updater.run_once()


def test_a_stopped_updater_writes_nothing(filesystem: SamQfs, updater: Updater, mariadb: MariaDB, path: Path) -> None:
    updater.switch(stopped=True)
    assert updater.run_once() == 0
    assert rows(mariadb, "sam_file") == []
