"""Many files at a time: where they are on tape, their recalls, the end of those, and the release of disk copies."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.backends.abstract.recalls import RecallTraits
from pacifica.archiveinterface.backends.abstract.residency import Locality, Place, RecallState, Residency
from pacifica.archiveinterface.backends.conformance import get, put
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.backends.oracle_hsm_sideband.tape.libsam import Libsam
from pacifica.archiveinterface.backends.oracle_hsm_sideband.tape.running import HungCommandError
from pacifica.archiveinterface.exception import BackendUnavailableError, ConflictError, MissingFileError
from tests.samqfs_emulator.filesystem import SamQfs
from tests.samqfs_emulator.host import HsmHost
from tests.support.needs import need
from tests.support.waiting import await_true

ROOT = Path(__file__).parents[3]
IDS = [str(number) for number in range(1000, 1007)]
Make = Callable[..., HsmSidebandBackendArchive]


@pytest.fixture
def make(host: HsmHost, libraries: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make archives on the host, with libsam unless told otherwise."""
    monkeypatch.setenv("SAMQFS_EMULATOR", str(host.filesystem.root))

    def make_with(**changes: Any) -> HsmSidebandBackendArchive:
        options = host.options(**{"libsam": str(libraries[0]), **changes})
        return HsmSidebandBackendArchive(str(host.filesystem.mount), options=options)

    return make_with


class Scripts:
    """Commands that note their arguments, and fail for a path that ends in *refused*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.refused = "nothing"

    def command(self, name: str, then: str = ":") -> tuple[str, ...]:
        """Return a command *name*, which does *then*."""
        program = self._directory / name
        refuse = f'case "$*" in *{self.refused}*) exit 3;; esac'
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{program}.log"\n{refuse}\n{then}\n')
        program.chmod(0o755)
        return str(program), "-x"

    def calls(self, name: str) -> list[str]:
        """Return the arguments of each call of the command *name*."""
        log = self._directory / f"{name}.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    return Scripts(tmp_path)


def path_of(archive: HsmSidebandBackendArchive, file_id: str) -> Path:
    return Path(archive.file(file_id).filepath)


def store(host: HsmHost, archive: HsmSidebandBackendArchive, *file_ids: str, vsn: str = "VOL001") -> None:
    """Store files that have a copy on tape, of which the database knows."""
    for file_id in file_ids:
        put(archive, file_id, b"bytes")
        host.filesystem.archive(path_of(archive, file_id), vsn=vsn)
    host.updater.run_once()


def tape(host: HsmHost, archive: HsmSidebandBackendArchive, *file_ids: str) -> None:
    """Store files that are on tape only."""
    store(host, archive, *file_ids)
    for file_id in file_ids:
        assert host.filesystem.release(path_of(archive, file_id))
    host.updater.run_once()


def residency_of(archive: HsmSidebandBackendArchive, file_id: str = "7") -> Residency:
    """Return the residency as it is told for many files."""
    found = archive.residencies([file_id])[file_id]
    assert isinstance(found, Residency)
    return found


# Where


@pytest.mark.parametrize("source", ["sam_stat", "database"])
def test_the_places_of_all_good_copies_are_told(host: HsmHost, make: Make, source: str) -> None:
    archive = make(residency=source)
    store(host, archive, "1", "7")
    host.filesystem.archive(path_of(archive, "7"), copy=3, vsn="VOL003", sections=2)
    host.updater.run_once()
    both = (Place("VOL001", 2, 1), Place("VOL003", 1, 1))
    assert residency_of(archive).places == both
    host.filesystem.release(path_of(archive, "7"))
    host.updater.run_once()
    assert residency_of(archive).places == both


def test_a_damaged_copy_is_no_place_to_read_from(host: HsmHost, make: Make) -> None:
    archive = make()
    store(host, archive, "7")
    host.filesystem.archive(path_of(archive, "7"), copy=2, vsn="VOL002")
    host.filesystem.release(path_of(archive, "7"))
    host.filesystem.damage(path_of(archive, "7"))
    assert residency_of(archive).places == (Place("VOL002", 1, 1),)
    host.filesystem.damage(path_of(archive, "7"), copy=2)
    found = residency_of(archive)
    assert (found.locality, found.places) == (Locality.LOST, ())
    assert found.error == "no archive copy of the file can be read"


@pytest.mark.parametrize("source", ["sam_stat", "database"])
def test_a_copy_of_an_older_content_is_no_place_to_read_from(host: HsmHost, make: Make, source: str) -> None:
    archive = make(residency=source)
    store(host, archive, "7")
    path = path_of(archive, "7")
    path.chmod(0o644)
    path.write_bytes(b"other")
    host.updater.run_once()
    assert residency_of(archive).places == ()


def test_a_failed_stage_is_told_until_the_file_is_asked_for_again(host: HsmHost, make: Make) -> None:
    archive = make()
    tape(host, archive, "7")
    volume = host.filesystem.tape / "VOL001"
    volume.rename(volume.with_name("away"))
    archive.submit_recalls(["7"])
    host.filesystem.serve_requests()
    found = residency_of(archive)
    assert (found.recall, found.error) == (RecallState.FAILED, "the recall from tape failed")
    archive.submit_recalls(["7"])
    assert residency_of(archive).recall is RecallState.ACTIVE


@pytest.mark.parametrize("source", ["sam_stat", "blocks", "database"])
def test_a_file_whose_last_bytes_are_not_back_is_not_on_disk(host: HsmHost, make: Make, source: str) -> None:
    archive = make(residency=source, stager="libsam")
    put(archive, "7", bytes(range(256)) * 64)
    path = path_of(archive, "7")
    host.filesystem.archive(path)
    host.filesystem.release(path)
    host.updater.run_once()
    archive.submit_recalls(["7"])
    found = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(bytes(4096))
    path.chmod(found.st_mode)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert 0 < path.stat().st_blocks * 512 < found.st_size
    assert not archive.file("7").is_online()
    host.filesystem.serve_requests()
    assert archive.file("7").is_online()


# Recalls


def test_a_command_recalls_many_files(host: HsmHost, make: Make, scripts: Scripts) -> None:
    archive = make(residency="database", stager="command", stage_command=scripts.command("stage"), stage_batch=5)
    assert archive.recall_traits.batch == 5
    tape(host, archive, *IDS)
    assert archive.submit_recalls(IDS) == dict.fromkeys(IDS)
    await_true(lambda: len(scripts.calls("stage")) == 2)
    paths = [str(path_of(archive, file_id)) for file_id in IDS]
    assert sorted(scripts.calls("stage")) == sorted([f"-x {' '.join(paths[:5])}", f"-x {' '.join(paths[5:])}"])


def test_no_command_is_run_for_what_is_on_disk_or_on_its_way(
    host: HsmHost, make: Make, scripts: Scripts, libraries: tuple[Path, Path]
) -> None:
    archive = make(stager="command", stage_command=scripts.command("stage"))
    store(host, archive, "6")
    tape(host, archive, "7", "8")
    Libsam(str(libraries[0])).stage(str(path_of(archive, "7")))
    assert archive.submit_recalls(["6", "7", "8"]) == dict.fromkeys(["6", "7", "8"])
    await_true(lambda: bool(scripts.calls("stage")))
    assert scripts.calls("stage") == [f"-x {path_of(archive, '8')}"]


def test_libsam_recalls_many_files_and_says_which_it_refuses(host: HsmHost, make: Make) -> None:
    archive = make()
    tape(host, archive, *IDS)
    host.filesystem.unarchive(path_of(archive, IDS[3]))
    answers = archive.submit_recalls([*IDS, "404"])
    assert {file_id for file_id, answer in answers.items() if answer} == {IDS[3], "404"}
    assert isinstance(answers[IDS[3]], ConflictError)
    assert len(host.filesystem.requests()) == len(IDS) - 1
    host.filesystem.serve_requests()
    assert archive.submit_recalls(IDS[:3]) == dict.fromkeys(IDS[:3])
    assert host.filesystem.requests() == []


# Cancelling and releasing


@pytest.mark.parametrize(
    ("options", "is_linux_client", "cancels", "releases"),
    [
        ({}, False, True, True),
        ({}, True, False, False),
        ({"libsam": "/nowhere/libsam.so"}, False, False, False),
        ({"cancel_command": ("stage", "-x"), "release_command": ("release",)}, True, True, True),
    ],
)
def test_the_traits_say_what_this_server_has(
    host: HsmHost, make: Make, options: dict[str, Any], is_linux_client: bool, cancels: bool, releases: bool
) -> None:
    host.filesystem.refuse_calls(is_linux_client)
    traits = make(**options).recall_traits
    assert (traits.cancels, traits.releases, traits.pins) == (cancels, releases, False)
    assert traits.tells_state is not (is_linux_client or "libsam" in options)


def test_a_library_with_another_record_does_not_tell_the_state(host: HsmHost, make: Make, tmp_path: Path) -> None:
    need("cc")
    source, library = tmp_path / "libsam.c", tmp_path / "libsam.so"
    calls = ("sam_stat", "sam_stage", "sam_cancelstage", "sam_release")
    source.write_text("".join(f"int {call}(void) {{ return 0; }}\n" for call in calls))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    archive = make(libsam=str(library))
    assert not archive.recall_traits.tells_state
    tape(host, archive, "7")
    assert residency_of(archive).locality is Locality.TAPE


def test_what_neither_libsam_nor_a_command_can_do_is_not_done(host: HsmHost, make: Make) -> None:
    host.filesystem.refuse_calls()
    archive = make()
    store(host, archive, "8")
    tape(host, archive, "7")
    assert archive.cancel_recalls(["7"]) == set()
    assert archive.release(["8"]) == {"8": None}
    assert archive.file("8").is_online()


def test_where_libsam_has_only_sam_stat_a_read_recalls(host: HsmHost, make: Make) -> None:
    host.filesystem.refuse_calls()
    archive = make()
    assert archive.recall_traits == RecallTraits()
    tape(host, archive, "7")
    assert archive.submit_recalls(["7"]) == {"7": None}
    assert residency_of(archive).recall is not RecallState.FAILED


def test_commands_cancel_many_recalls(host: HsmHost, make: Make, scripts: Scripts) -> None:
    scripts.refused = "3ea"
    archive = make(cancel_command=scripts.command("cancel"), stage_batch=10)
    tape(host, archive, "1001", "1002", "1003")
    assert archive.cancel_recalls(["1001", "1002", "1003", "404"]) == {"1001", "1003"}
    first, *single = scripts.calls("cancel")
    assert first == f"-x {' '.join(str(path_of(archive, file_id)) for file_id in ('1001', '1002', '1003'))}"
    assert len(single) == 3  # a command does not tell which of the files it refused


def test_a_recall_that_is_being_submitted_is_not_said_to_be_cancelled(
    host: HsmHost, make: Make, scripts: Scripts, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    archive = make(
        residency="database",
        stager="command",
        stage_command=scripts.command("stage", f'until [ -e "{gate}" ]; do sleep 0.02; done'),
        cancel_command=scripts.command("cancel"),
        recall_threads=1,
    )
    tape(host, archive, "7", "8")
    archive.submit_recalls(["7", "8"])
    await_true(lambda: bool(scripts.calls("stage")))
    assert archive.cancel_recalls(["7", "8"]) == {"8"}
    gate.touch()
    await_true(lambda: not residency_of(archive).recall.is_under_way)
    assert archive.cancel_recalls(["7"]) == {"7"}
    assert len(scripts.calls("stage")) == 1


def test_after_a_command_that_hangs_no_other_is_started(host: HsmHost, make: Make, scripts: Scripts) -> None:
    archive = make(release_command=scripts.command("release", "sleep 600"), stage_timeout=0.3)
    store(host, archive, "1", "2", "3")
    answers = archive.release(["1", "2", "3"])
    assert [type(answer) for answer in answers.values()] == [HungCommandError] * 3
    assert len(scripts.calls("release")) == 1


def test_a_command_releases_many_files(host: HsmHost, make: Make, scripts: Scripts) -> None:
    program = f"{sys.executable} -m tests.samqfs_emulator {host.filesystem.root} release"
    command = scripts.command("release", f'shift; cd "{ROOT}" && {program} "$@"')
    archive = make(residency="database", release_command=command, stage_batch=2)
    store(host, archive, "1", "2", "3")
    put(archive, "4", b"bytes")
    tape(host, archive, "5")
    answers = archive.release(["1", "2", "3", "4", "5", "404"])
    assert [answers[file_id] for file_id in "1235"] == [None] * 4
    assert [type(answers[file_id]) for file_id in ("4", "404")] == [ConflictError, MissingFileError]
    assert [archive.file(file_id).is_online() for file_id in "1234"] == [False, False, False, True]
    paths = [str(path_of(archive, file_id)) for file_id in "123"]
    assert scripts.calls("release") == [f"-x {paths[0]} {paths[1]}", f"-x {paths[2]}"]


def test_a_release_command_that_fails_is_told(host: HsmHost, make: Make, scripts: Scripts) -> None:
    archive = make(release_command=scripts.command("release", "exit 4"))
    store(host, archive, "7")
    answers = archive.release(["7"])
    assert isinstance(answers["7"], BackendUnavailableError)
    with pytest.raises(BackendUnavailableError, match="could not be released"):
        archive.file("7").release()


def test_a_file_that_storage_keeps_is_said_to_stay(host: HsmHost, make: Make, scripts: Scripts) -> None:
    archive = make(release_command=scripts.command("release"))
    store(host, archive, "7")
    assert isinstance(archive.release(["7"])["7"], ConflictError)


# The database has no row of damage, and hears of no unarchive: there it is the storage that refuses.
@pytest.mark.parametrize("source", ["sam_stat", "database"])
@pytest.mark.parametrize("spoil", [SamQfs.damage, SamQfs.unarchive])
def test_a_file_whose_only_copy_is_bad_is_not_released(
    host: HsmHost, make: Make, source: str, spoil: Callable[[SamQfs, Path], None]
) -> None:
    archive = make(residency=source)
    store(host, archive, "7")
    spoil(host.filesystem, path_of(archive, "7"))
    assert isinstance(archive.release(["7"])["7"], ConflictError)
    assert get(archive, "7") == b"bytes"


def test_blocks_tell_of_no_copy_so_that_nothing_is_released(host: HsmHost, make: Make) -> None:
    archive = make(residency="blocks")
    store(host, archive, "7")
    assert isinstance(archive.release(["7"])["7"], ConflictError)
    assert archive.file("7").is_online()


def test_a_released_file_is_on_tape_for_the_database_as_well(host: HsmHost, make: Make) -> None:
    archive = make(residency="database")
    store(host, archive, "7")
    assert archive.release(["7"]) == {"7": None}
    host.updater.run_once()
    assert residency_of(archive).locality is Locality.TAPE
    archive.submit_recalls(["7"])
    host.filesystem.serve_requests()
    host.updater.run_once()
    assert get(archive, "7") == b"bytes"
