"""Recalls: asked for once, never waited for, and told of when they fail."""

import errno
import json
import os
import shlex
import signal
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pacifica.archiveinterface.backends.abstract.file import Reader, Writer
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.residency import RecallState, Residency
from pacifica.archiveinterface.backends.oracle_hsm_sideband.archive import HsmSidebandBackendArchive
from pacifica.archiveinterface.backends.oracle_hsm_sideband.extended_file_factory import extended_hsmsideband_factory
from pacifica.archiveinterface.backends.oracle_hsm_sideband.tape.libsam import Libsam
from pacifica.archiveinterface.id2filename import id2filename
from tests.backends.oracle_hsm_sideband.stand import CONTENT, FILE, Answer, Stand, standing
from tests.samqfs_emulator.host import HsmHost
from tests.support.processes import launcher
from tests.support.service import TIMEOUT, Client, Service
from tests.support.waiting import await_true

ROOT = Path(__file__).parents[3]
ON_TAPE = Answer(204, "tape", (0, 18))
ON_BOTH = Answer(204, "disk", (18, 18))


@pytest.fixture
def libsam(libraries: tuple[Path, Path], host: HsmHost, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of the stub, which finds the host."""
    monkeypatch.setenv("SAMQFS_EMULATOR", str(host.filesystem.root))
    return str(libraries[0])


@pytest.fixture
def command(tmp_path: Path) -> "Command":
    return Command(tmp_path)


class Command:
    """A stage command that notes each call and, if told to, runs until it is released."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "stage-command.log"
        self.gate = directory / "stage-command.gate"
        self.program = directory / "stage"
        self.log.touch()

    def write(self, waits: bool = False, ending: str = "exit 0") -> str:
        """Write the command and return what the option says."""
        wait = f'until [ -e "{self.gate}" ]; do sleep 0.02; done' if waits else ":"
        self.program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{self.log}"\n{wait}\n{ending}\n')
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        return f'"{self.program}" -i'

    def calls(self) -> list[str]:
        """Return the arguments of each call."""
        return self.log.read_text().splitlines()

    def release(self) -> None:
        """Let every call end."""
        self.gate.touch()


def options_of(command: str) -> tuple[str, ...]:
    """Return a command as config.ini would give it."""
    return tuple(shlex.split(command))


def residency_of(stand: Stand, file_id: str = FILE) -> Residency:
    """Return what the backend says of a file."""
    assert isinstance(stand.service, Service)
    return stand.service.archive.file(file_id).residency()


def post(stand: Stand, file_id: str = FILE) -> int:
    """Ask for a recall and return the status of the answer."""
    return stand.service.request("POST", f"/{file_id}").status_code


def wait_for_failure(stand: Stand, file_id: str = FILE) -> str:
    """Wait until the recall of a file has failed and return why."""
    await_true(lambda: residency_of(stand, file_id).recall is RecallState.FAILED)
    return residency_of(stand, file_id).error


def message_of(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["message"]


@pytest.mark.parametrize("residency", ["auto", "database", "sam_stat", "blocks"])
def test_a_file_goes_to_tape_and_comes_back(host: HsmHost, libsam: str, residency: str) -> None:
    with standing(host, residency=residency, stager="libsam", libsam=libsam) as stand:
        stand.tape()
        assert stand.head() == ON_TAPE
        asked = stand.service.request("POST", f"/{FILE}")
        assert message_of(asked) == (202, "File is being staged")
        assert asked.headers["Retry-After"]
        assert stand.head() == ON_TAPE
        host.filesystem.serve_requests()
        host.updater.run_once()
        assert stand.head() == (ON_BOTH if residency != "blocks" else Answer(204, "disk", (18, 0)))
        assert message_of(stand.service.request("POST", f"/{FILE}")) == (200, "File was staged")
        assert stand.service.request("GET", f"/{FILE}").content == CONTENT


def test_a_partly_released_file_is_on_tape_and_tells_what_stayed(host: HsmHost, libsam: str) -> None:
    with standing(host, libsam=libsam) as stand:
        stand.put("1", bytes(100_000))
        host.filesystem.archive(stand.path("1"))
        host.filesystem.release(stand.path("1"), partial=16)
        assert stand.head("1") == Answer(204, "tape", (16384, 100_000))


def test_a_damaged_file_is_told_by_libsam(host: HsmHost, libsam: str, caplog: pytest.LogCaptureFixture) -> None:
    with standing(host, libsam=libsam) as stand:
        stand.tape()
        host.filesystem.damage(stand.path())
        assert stand.head() == Answer(204, "tape", (0, 0))
    assert "damaged" in caplog.text


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENXIO, 409), (errno.ENOSPC, 507), (errno.EBUSY, 503), (errno.EIO, 503)]
)
def test_a_recall_that_cannot_be_says_why(host: HsmHost, libsam: str, number: int, expected: int) -> None:
    with standing(host, stager="libsam", libsam=libsam) as stand:
        stand.tape()
        host.filesystem.fail_stage_requests(number)
        assert stand.service.request("POST", f"/{FILE}").status_code == expected
        host.filesystem.fail_stage_requests(0)
        assert stand.service.request("POST", f"/{FILE}").status_code == 202


def test_head_tells_of_a_recall_that_is_under_way(host: HsmHost, command: Command, libsam: str) -> None:
    def recall_of(file_id: str) -> str | None:
        return stand.service.request("HEAD", f"/{file_id}").headers.get("X-Pacifica-Recall")

    options: dict[str, Any] = {"stage_command": options_of(command.write(waits=True)), "recall_threads": 1}
    with standing(host, stager="command", libsam=libsam, **options) as stand:
        for file_id in ("1000", "1001"):
            stand.tape(file_id)
            assert recall_of(file_id) is None
            assert stand.service.request("POST", f"/{file_id}").status_code == 202
        await_true(lambda: recall_of("1000") == "active")
        assert recall_of("1001") == "queued"
        host.filesystem.stage(stand.path("1000"))
        assert recall_of("1000") is None
        command.release()


def test_head_tells_of_a_recall_that_libsam_knows(host: HsmHost, libsam: str) -> None:
    with standing(host, libsam=libsam) as stand:
        stand.tape()
        assert "X-Pacifica-Recall" not in stand.service.request("HEAD", f"/{FILE}").headers
        Libsam(libsam).stage(str(stand.path()))
        assert stand.service.request("HEAD", f"/{FILE}").headers["X-Pacifica-Recall"] == "active"


def test_a_file_tells_where_on_tape_it_is(host: HsmHost) -> None:
    with standing(host, residency="database") as stand:
        stand.archive("7")
        stand.tape()
        stand.archive(copy=2, vsn="VOL002")
        options = host.options(residency="database")
        places = HsmSidebandBackendArchive(str(host.filesystem.mount), options=options).file(FILE).status().places
        assert places == (("VOL001", 2, 1), ("VOL002", 1, 1))


def test_where_libsam_cannot_stage_the_command_does(host: HsmHost, libsam: str, command: Command) -> None:
    with standing(host, libsam=libsam, stage_command=options_of(command.write())) as stand:
        stand.tape()
        host.filesystem.fail_stage_requests(errno.ENOTTY)
        assert post(stand) == 202
        await_true(lambda: command.calls() == [f"-i {stand.path()}"])


def test_the_command_runs_once_for_many(host: HsmHost, command: Command) -> None:
    with standing(host, stager="command", stage_command=options_of(command.write(waits=True))) as stand:
        stand.tape()
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: stand.service.request("POST", f"/{FILE}").status_code, range(32)))
        assert set(answers) == {202}
        await_true(lambda: bool(command.calls()))
        assert command.calls() == [f"-i {stand.path()}"]
        command.release()


def test_a_command_that_fails_is_told_and_run_again_for_who_asks_again(host: HsmHost, command: Command) -> None:
    with standing(host, stager="command", stage_command=options_of(command.write(ending="exit 3"))) as stand:
        stand.tape()
        for turn in (1, 2):
            assert post(stand) == 202
            assert "could not be started" in wait_for_failure(stand)
            assert len(command.calls()) == turn


@pytest.mark.parametrize("program", ["/nowhere/stage", "/etc/passwd", "/etc/passwd/stage", "text"])
def test_a_command_that_cannot_be_run_is_told(host: HsmHost, tmp_path: Path, program: str) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    with standing(host, stager="command", stage_command=(str(tmp_path / program),)) as stand:
        stand.tape()
        assert post(stand) == 202
        assert "no way of recalling files works" in wait_for_failure(stand)


def test_commands_that_hang_hold_up_nobody(host: HsmHost, command: Command) -> None:
    waiting = [str(number) for number in range(1000, 1030)]  # more than the service has threads
    stage_command = options_of(command.write(waits=True))
    with standing(host, stager="command", stage_command=stage_command, recall_threads=3) as stand:
        stand.put("7", b"on disk")
        for file_id in waiting:
            stand.put(file_id)
            host.filesystem.archive(stand.path(file_id))
            host.filesystem.release(stand.path(file_id))
        try:
            with ThreadPoolExecutor(len(waiting)) as threads:
                answers = list(threads.map(lambda file_id: stand.service.request("POST", f"/{file_id}"), waiting))
            assert {answer.status_code for answer in answers} == {202}
            assert stand.service.request("GET", "/7").content == b"on disk"
            await_true(lambda: len(command.calls()) == 3)
        finally:
            command.release()
        names = sorted(f"{int(file_id):x}" for file_id in waiting)
        await_true(lambda: sorted(call.split("/")[-1] for call in command.calls()) == names)


def test_a_command_that_hangs_is_ended_with_its_children_and_told(
    host: HsmHost, command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = tmp_path / "child"
    stage_command = options_of(
        command.write(ending=f'sleep 600 & echo $! > "{child}.new"; mv "{child}.new" "{child}"; wait')
    )
    with standing(host, stager="command", stage_command=stage_command, stage_timeout=0.5) as stand:
        stand.tape()
        assert post(stand) == 202
        assert "did not end in time" in wait_for_failure(stand)
        await_true(lambda: not _is_running(int(child.read_text())))
    assert caplog.text.count("did not end within") == 1


def test_commands_that_hang_end_in_time_for_the_files_that_wait(host: HsmHost, command: Command) -> None:
    stage_command = options_of(command.write(waits=True))
    with standing(host, stager="command", stage_command=stage_command, stage_timeout=0.3, recall_threads=1) as stand:
        for file_id in ("1000", "1001"):
            stand.tape(file_id)
            assert post(stand, file_id) == 202
        for file_id in ("1000", "1001"):
            wait_for_failure(stand, file_id)
        command.release()
        assert post(stand, "1000") == 202
        await_true(lambda: len(command.calls()) == 3)


def test_a_command_that_leaves_a_process_behind_has_ended(host: HsmHost, command: Command, tmp_path: Path) -> None:
    children = tmp_path / "children"
    stage_command = options_of(command.write(ending=f'sleep 600 & echo $! >> "{children}"'))
    with standing(host, stager="command", stage_command=stage_command, recall_threads=1) as stand:
        stand.tape()
        stand.tape("7")
        assert stand.service.request("POST", f"/{FILE}").status_code == 202
        assert stand.service.request("POST", "/7").status_code == 202
        await_true(lambda: len(command.calls()) == 2)
        await_true(lambda: len(children.read_text().split()) == 2)
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)


def test_files_that_wait_share_a_command(host: HsmHost, command: Command) -> None:
    waiting = [str(number) for number in range(1001, 1006)]
    options: dict[str, Any] = {
        "stage_command": options_of(command.write(waits=True)),
        "recall_threads": 1,
        "stage_batch": 3,
    }
    with standing(host, stager="command", **options) as stand:
        for file_id in ("1000", *waiting):
            stand.tape(file_id)
        assert post(stand, "1000") == 202
        await_true(lambda: len(command.calls()) == 1)
        assert isinstance(stand.service, Service)
        assert stand.service.archive.submit_recalls(waiting) == dict.fromkeys(waiting)
        command.release()
        await_true(lambda: len(command.calls()) == 3)
        paths = [str(stand.path(file_id)) for file_id in waiting]
        assert command.calls()[1:] == [f"-i {' '.join(paths[:3])}", f"-i {' '.join(paths[3:])}"]


def test_a_recall_that_waits_can_be_withdrawn(host: HsmHost, command: Command) -> None:
    options: dict[str, Any] = {"stage_command": options_of(command.write(waits=True)), "recall_threads": 1}
    with standing(host, stager="command", libsam="/nowhere/libsam.so", **options) as stand:
        for file_id in ("1000", "1001", "1002"):
            stand.tape(file_id)
        assert isinstance(stand.service, Service)
        archive = stand.service.archive
        assert archive.submit_recalls(["1000", "1001", "1002"]) == dict.fromkeys(["1000", "1001", "1002"])
        await_true(lambda: len(command.calls()) == 1)
        assert archive.cancel_recalls(["1000", "1001"]) == {"1001"}
        command.release()
        await_true(lambda: len(command.calls()) == 2)
        assert command.calls()[1] == f"-i {stand.path('1002')}"


def test_a_file_that_is_refused_keeps_none_beside_it_from_being_recalled(host: HsmHost, command: Command) -> None:
    waiting = [str(number) for number in range(1001, 1004)]
    refuse = f'case "$*" in *{id2filename(1002)}*) exit 3;; esac'
    options: dict[str, Any] = {
        "stage_command": options_of(command.write(waits=True, ending=refuse)),
        "recall_threads": 1,
    }
    with standing(host, stager="command", stage_batch=10, **options) as stand:
        for file_id in ("1000", *waiting):
            stand.tape(file_id)
            assert post(stand, file_id) == 202
        await_true(lambda: len(command.calls()) == 1)
        command.release()
        wait_for_failure(stand, "1002")
        await_true(lambda: command.calls()[-1] == f"-i {stand.path('1003')}")
        await_true(lambda: residency_of(stand, "1003").recall is RecallState.UNKNOWN)
        assert residency_of(stand, "1001").recall is RecallState.UNKNOWN
        assert command.calls().count(f"-i {stand.path('1001')}") == 1


def test_more_files_than_may_wait_are_refused(host: HsmHost, command: Command) -> None:
    options: dict[str, Any] = {
        "stage_command": options_of(command.write(waits=True)),
        "recall_threads": 1,
        "recall_queue": 2,
    }
    with standing(host, stager="command", **options) as stand:
        answers = []
        for file_id in ("1000", "1001", "1002", "1003"):
            stand.tape(file_id)
            answers.append(stand.service.request("POST", f"/{file_id}"))
            await_true(lambda: len(command.calls()) == 1)
        assert [answer.status_code for answer in answers] == [202, 202, 202, 503]
        assert "too many" in answers[-1].json()["message"]
        command.release()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# Replacing, moving and removing what is on tape


def test_a_put_that_must_compare_with_a_file_on_tape_recalls_it(host: HsmHost, libsam: str) -> None:
    refuse = ArchiveOptions(overwrite="refuse")
    with standing(host, archive=refuse, stager="libsam", libsam=libsam) as stand:
        stand.tape()
        again = stand.service.request("PUT", f"/{FILE}", data=CONTENT)
        assert again.status_code == 503
        assert "total_bytes" not in again.json()
        host.filesystem.serve_requests()
        assert stand.service.request("PUT", f"/{FILE}", data=CONTENT).status_code == 201
        other = CONTENT[::-1]
        assert stand.service.request("PUT", f"/{FILE}", data=other).status_code == 409


def test_a_move_across_file_systems_does_not_wait_for_a_tape(host: HsmHost, other_file_system: Path) -> None:
    archive = ArchiveOptions(move_roots=(str(other_file_system),))
    source = other_file_system / "upload"
    with source.open("wb") as file:
        file.truncate(18)  # no block: what a released file looks like
    with standing(host, archive=archive) as stand:
        moved = stand.service.request("PATCH", "/7", json={"path": str(source)})
        assert moved.status_code == 409
        assert source.exists()
        assert stand.head("7").code == 404


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than the tests' files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        assert os.stat(directory).st_dev != tmp_path.stat().st_dev
        yield Path(directory)


# Without a mount


def test_without_a_mount_and_a_row_a_file_is_not_said_to_be_missing(host: HsmHost) -> None:
    with standing(host, below="pacifica") as stand:
        stand.prefix.rmdir()
        for verb in ("HEAD", "GET", "POST", "PUT"):
            answer = stand.service.request(verb, f"/{FILE}", data=b"" if verb == "PUT" else None)
            assert answer.status_code == 503, verb


# A service that really blocks in read


@contextmanager
def blocking_service(host: HsmHost, library: Path, config: str, tmp_path: Path) -> Iterator[Client]:
    """Run the service as a process whose reads of files on tape block, as on a real mount."""
    connection = host.options()
    file = tmp_path / "config.ini"
    fields = ("sam_qfs_prefix", "host", "port", "user", "password", "schema")
    lines = [f"{name} = {getattr(connection, name)}" for name in fields]
    recalls = [
        f"database = sqlite:///{tmp_path}/recalls",
        "quiet_seconds = 0",
        "poll_seconds = 0.05",
        "retry_seconds = 0",
    ]
    file.write_text("\n".join(["[recalls]", *recalls, "[hsm_sideband]", *lines, "stager = read", config]))
    environment = {"LD_PRELOAD": str(library), "SAMQFS_EMULATOR": str(host.filesystem.root)}
    options = ("-t", "hsmsideband", "-c", str(file))
    with launcher(host.filesystem.mount, *options, env=environment) as server:
        yield Client(int(server.url.rpartition(":")[2]))
        assert server.stop() == 0


def test_readers_blocked_on_tape_hold_up_nobody(host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path) -> None:
    released = [str(number) for number in range(1000, 1008)]
    with blocking_service(host, libraries[1], "recall_threads = 4", tmp_path) as service:
        stand = Stand(host, service)
        contents = {file_id: os.urandom(50_000) for file_id in released}
        for file_id in released:
            stand.put(file_id, contents[file_id])
            host.filesystem.archive(stand.path(file_id))
            # Partly released: reading the first bytes would recall nothing.
            host.filesystem.release(stand.path(file_id), partial=16 if int(file_id) % 2 else 0)
        host.updater.run_once()
        for _ in range(3):
            assert {service.request("POST", f"/{file_id}").status_code for file_id in released} == {202}
        await_true(lambda: len(host.filesystem.requests()) == 4)
        assert {stand.head(file_id).media for file_id in released} == {"tape"}
        assert service.request("GET", "/").status_code == 200
        await_true(lambda: _all_back(stand, released))
        calls = [line for line in host.filesystem.stage_calls() if line.startswith("queued")]
        assert len(calls) == len(set(calls)) == len(released)
        for file_id in released:
            assert service.request("GET", f"/{file_id}").content == contents[file_id]


def _all_back(stand: Stand, file_ids: list[str]) -> bool:
    stand.host.filesystem.serve_requests()
    stand.host.updater.run_once()
    return {stand.head(file_id).media for file_id in file_ids} == {"disk"}


def test_a_get_that_may_wait_gets_the_bytes(host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path) -> None:
    with blocking_service(host, libraries[1], "[archive]\noffline_read = wait", tmp_path) as service:
        stand = Stand(host, service)
        stand.tape()
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(service.request, "GET", f"/{FILE}")
            await_true(lambda: host.filesystem.requests() == [stand.path()])
            assert stand.head() == ON_TAPE
            host.filesystem.serve_requests()
            assert answer.result(TIMEOUT).content == CONTENT


def test_a_service_ends_though_its_readers_are_blocked(
    host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path
) -> None:
    with blocking_service(host, libraries[1], "", tmp_path) as service:
        stand = Stand(host, service)
        stand.tape()
        assert service.request("POST", f"/{FILE}").status_code == 202
        await_true(lambda: bool(host.filesystem.requests()))
    assert host.filesystem.requests() == [stand.path()]


def test_a_read_that_fails_begins_again(host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path) -> None:
    with blocking_service(host, libraries[1], "", tmp_path) as service:
        stand = Stand(host, service)
        stand.tape()
        assert service.request("POST", f"/{FILE}").status_code == 202
        await_true(lambda: bool(host.filesystem.requests()))
        volume = host.filesystem.tape / "VOL001"
        volume.rename(volume.with_name("away"))
        host.filesystem.serve_requests()
        volume.with_name("away").rename(volume)
        await_true(lambda: _all_back(stand, [FILE]))
        assert service.request("GET", f"/{FILE}").content == CONTENT


def test_a_read_that_hangs_is_ended(host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path) -> None:
    options = "recall_threads = 1\nstage_read_timeout = 0.5"
    with blocking_service(host, libraries[1], options, tmp_path) as service:
        stand = Stand(host, service)
        stand.tape()
        stand.tape("7")
        assert service.request("POST", f"/{FILE}").status_code == 202
        assert service.request("POST", "/7").status_code == 202
        await_true(lambda: host.filesystem.requests() == [stand.path(), stand.path("7")])


def test_a_read_without_a_copy_says_why(
    host: HsmHost, libraries: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", str(libraries[1]))  # for the process that reads
    monkeypatch.setenv("SAMQFS_EMULATOR", str(host.filesystem.root))
    with standing(host, stager="read") as stand:
        stand.tape()
        host.filesystem.unarchive(stand.path())
        assert post(stand) == 202
        assert wait_for_failure(stand) == "no archive copy of the file can be read"


def test_digests_that_are_on_tape_are_not_waited_for(
    host: HsmHost, libraries: tuple[Path, Path], tmp_path: Path
) -> None:
    with blocking_service(host, libraries[1], "", tmp_path) as service:
        stand = Stand(host, service)
        stand.put()
        assert "Repr-Digest" in service.request("HEAD", f"/{FILE}").headers
        [notes] = [path for path in (host.filesystem.mount / ".notes").rglob("*") if path.is_file()]
        host.filesystem.archive(notes)
        assert host.filesystem.release(notes)
        assert "Repr-Digest" not in service.request("HEAD", f"/{FILE}").headers
        assert service.request("GET", f"/{FILE}").content == CONTENT
        assert host.filesystem.requests() == []


# The documented factory


def test_the_documented_factory_opens_files(host: HsmHost) -> None:
    filepath = str(host.filesystem.mount / "upload")
    writer = extended_hsmsideband_factory(filepath, "w", "/upload")
    assert isinstance(writer, Writer)
    writer.write(CONTENT)
    writer.close()
    file = extended_hsmsideband_factory(filepath, "r", "/upload")
    assert isinstance(file, Reader)
    assert file.read(100) == CONTENT
    status = file.status()
    assert (status.filepath, status.file_storage_media, tuple(status.bytes_per_level)) == ("/upload", "disk", (18, 0))
    file.close()
    assert json.dumps(list(status.defined_levels)) == '["disk", "tape"]'
