"""Bulk requests of the tape API on an emulated Oracle HSM: order, failures, cancelling, release of disk copies."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.backends.conformance import put
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from tests.samqfs_emulator.host import HsmHost
from tests.support.recalls import TapeClient, tape_service
from tests.support.waiting import await_true

ROOT = Path(__file__).parents[3]
VOLUMES = {"A": ["11", "12", "13", "14"], "B": ["21", "22", "23", "24"], "C": ["31", "32", "33", "34"]}
FILES = [file_id for files in VOLUMES.values() for file_id in files]
Open = Callable[..., TapeClient]


@pytest.fixture
def open_site(
    host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Open sites whose FILES are on tape, with some options of the backend and of recalls; the daemons are at work."""
    monkeypatch.setenv("SAMQFS_EMULATOR", str(host.filesystem.root))
    with ExitStack() as stack:

        def open_with(recalls: dict[str, Any] | None = None, **backend: Any) -> TapeClient:
            options = host.options(**{"libsam": str(libraries[0]), **backend})
            archive = HsmSidebandBackendArchive(str(host.filesystem.mount), options=options)
            for volume, files in VOLUMES.items():
                for file_id in files:
                    put(archive, file_id, b"bytes")
                    path = Path(archive.file(file_id).filepath)
                    host.filesystem.archive(path, vsn=volume)
                    host.filesystem.release(path)
            host.updater.run_once()
            stack.enter_context(host.daemons)
            return stack.enter_context(tape_service(archive, tmp_path, **(recalls or {})))

        yield open_with


def shuffled() -> list[str]:
    """Return the paths of all FILES as clients ask for them: in no order."""
    return random.Random(1).sample([f"/{file_id}" for file_id in FILES], len(FILES))


def states_of(tape: TapeClient, request: str) -> set[str]:
    return set(tape.states(request).values())


def test_a_command_gets_the_files_of_one_volume_in_the_order_of_the_tape(
    host: HsmHost, open_site: Open, tmp_path: Path
) -> None:
    program, log = tmp_path / "stage", tmp_path / "stage.log"
    stage = f"{sys.executable} -m tests.samqfs_emulator {host.filesystem.root} stage"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{log}"\ncd "{ROOT}" && {stage} "$@"\n')
    program.chmod(0o755)
    command = {"stager": "command", "stage_command": (str(program),), "stage_batch": 10}
    tape = open_site(residency="database", **command)
    ended = tape.ended(tape.stage(*shuffled()))
    assert {file["state"] for file in ended.values()} == {"COMPLETED"}
    calls = [[str(int(Path(path).name.removeprefix("file."), 16)) for path in line.split()] for line in log.open()]
    assert sorted(calls) == sorted(VOLUMES.values())


def test_each_volume_is_mounted_once_though_the_stager_does_not_sort(host: HsmHost, open_site: Open) -> None:
    host.filesystem.library.change(sorts=False, mount_seconds=0.05)
    tape = open_site({"volumes": 1})
    ended = tape.ended(tape.stage(*shuffled()))
    assert {file["state"] for file in ended.values()} == {"COMPLETED"}
    counters = host.filesystem.counters()
    assert (counters["mounts"], counters["seek_distance"]) == (3, 0)


def test_a_file_that_cannot_be_read_from_tape_fails_with_the_reason(host: HsmHost, open_site: Open) -> None:
    tape = open_site({"attempts": 2, "retry_seconds": 0.0})
    volume = host.filesystem.tape / "B"
    volume.rename(volume.with_name("away"))
    ended = tape.ended(tape.stage("/11", "/21"))
    assert (ended["/11"]["state"], ended["/21"]["state"]) == ("COMPLETED", "FAILED")
    assert ended["/21"]["error"] == "the recall from tape failed"
    assert host.filesystem.counters()["stages_failed"] == 2


def test_a_cancelled_recall_leaves_the_queue_of_the_stager(host: HsmHost, open_site: Open) -> None:
    host.filesystem.library.change(mount_seconds=3600)
    tape = open_site()
    request = tape.stage("/11", "/12")
    await_true(lambda: len(host.filesystem.requests()) == 2)
    assert tape.call(f"/stage/{request}/cancel", ["/11", "/12"]) == 200
    await_true(lambda: states_of(tape, request) == {"CANCELLED"})
    await_true(lambda: host.filesystem.requests() == [])


def test_what_is_released_goes_back_to_tape_if_the_site_wants_it(host: HsmHost, open_site: Open) -> None:
    tape = open_site({"evict": "released"})
    request = tape.stage("/11", "/12")
    tape.ended(request)
    assert tape.call(f"/release/{request}", ["/11"]) == 200
    await_true(lambda: [file["locality"] for file in tape.archiveinfo("/11", "/12")] == ["TAPE", "DISK_AND_TAPE"])
