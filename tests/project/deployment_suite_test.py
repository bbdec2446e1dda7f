"""The post-deployment tests pass on what works, as a site runs them, and fail on what does not."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus, Replaced
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive, PosixFile
from pacifica.archiveinterface.backends.posix.extendedfile import PosixReader, PosixWriter
from pacifica.archiveinterface.backends.posix.status import PosixStatus
from pacifica.archiveinterface.exception import StorageError
from tests.support.forked import forked_launcher
from tests.support.processes import Server, uwsgi
from tests.support.service import serving
from tests.support.waiting import await_true

SUITE = Path(__file__).parents[2] / "post_deployment_tests" / "deployment_test.py"
SUITE_TIMEOUT = 300  # seconds; never a measure of speed
TREE = "pacifica/archiveinterface/http"  # of files, that are put and come back

Launch = Callable[..., AbstractContextManager[Server]]
Outcome = subprocess.CompletedProcess[str]
RunSuite = Callable[..., Outcome]
StartSuite = Callable[..., "subprocess.Popen[str]"]

with_each_launcher = pytest.mark.parametrize("launch", [forked_launcher, uwsgi])


@pytest.fixture
def start_suite(tmp_path: Path) -> StartSuite:
    """Start the suite with small files against a URL, from a directory that holds nothing else."""
    place = tmp_path / "suite"
    place.mkdir()
    shutil.copy(SUITE, place)

    def start(url: str, *options: str, **variables: str) -> "subprocess.Popen[str]":
        small = {"LARGE_FILE_SIZE": str((1 << 20) + 1), "MANY_FILES_TEST_COUNT": "20", "STAGE_TIMEOUT": "60"}
        plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # a site has no plugins
        environment = {**os.environ, **plain, **small, "ARCHIVE_URL": url, **variables}
        command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", SUITE.name]
        command += options
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=place, env=environment, stdout=pipe, stderr=pipe, text=True)

    return start


@pytest.fixture
def run_suite(start_suite: StartSuite) -> RunSuite:
    """Run the suite to its end."""

    def run(url: str, *options: str, **variables: str) -> Outcome:
        with start_suite(url, *options, **variables) as suite:
            try:
                output, errors = suite.communicate(timeout=SUITE_TIMEOUT)
            finally:
                suite.kill()
        return Outcome(suite.args, suite.returncode, output, errors)

    return run


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The directory of an archive."""
    directory = tmp_path / "archive"
    directory.mkdir()
    return directory


def assert_passed(suite: Outcome) -> None:
    assert suite.returncode == 0, suite.stdout + suite.stderr
    assert not re.search(r"skipped|warning|deselected", suite.stdout), suite.stdout


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize(
    ("launch", "options"),
    [
        (forked_launcher, "[posix]\nuse_id2filename = true\n[http]\nhead = standard\n"),
        (uwsgi, "[archive]\noverwrite = refuse\n"),
    ],
    ids=["tree, standard head", "refuse"],
)
def test_the_suite_passes_on_a_service_of_an_ordinary_user_and_leaves_nothing(
    launch: Launch, options: str, ordinary_user: str | None, users_place: Path, run_suite: RunSuite
) -> None:
    archive, config = users_place / "archive", users_place / "config.ini"
    archive.mkdir()
    config.write_text(options)
    if ordinary_user:
        shutil.chown(archive, ordinary_user)
    with launch(archive, env={"ARCHIVEINTERFACE_CONFIG": str(config)}, user=ordinary_user) as server:
        users = re.findall(r"^Uid:\s+(\d+)\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text(), re.MULTILINE)
        assert users
        assert "0" not in users[0]
        assert_passed(run_suite(server.url))
    assert files_in(archive) == []


def test_the_suite_may_run_again_and_again_on_a_used_archive(archive: Path, run_suite: RunSuite) -> None:
    (archive / "12345").write_bytes(b"a file of the site")
    with forked_launcher(archive) as server:
        assert_passed(run_suite(server.url))
        assert_passed(run_suite(f"{server.url}/"))
    assert files_in(archive) == [archive / "12345"]


class TapeStatus(PosixStatus):
    """All bytes are on the second level."""

    def define_levels(self) -> tuple[str, ...]:
        """Return disk and tape."""
        return ("disk", "tape")


class TapeFile(PosixFile):
    """Is on tape while the directory of tape names it; a recall is over after two looks at its status."""

    _archive: "TapeArchive"

    def is_online(self) -> bool:
        """Return whether the file is not on tape."""
        return self.status().file_storage_media == "disk"

    def stage(self) -> bool:
        """Start the recall of a file on tape."""
        if not self.is_online():
            self._archive.looks_left.setdefault(self.path, 2)
        return self.is_online()

    def status(self) -> AbstractStatus:
        """Return the status of the file, on tape or not."""
        found, marker, looks_left = super().status(), self._archive.tape / self.path, self._archive.looks_left
        if not marker.exists():
            return found
        if self.path in looks_left:
            looks_left[self.path] -= 1
            if not looks_left[self.path]:
                marker.unlink()
        status = TapeStatus(found.mtime, found.ctime, (0, found.filesize), found.filesize)
        status.filepath, status.version = found.filepath, found.version
        return status


class TapeArchive(PosixBackendArchive):
    """Files of which the directory *tape* holds the names are on tape."""

    file_type = TapeFile

    def __init__(self, prefix: Path, tape: Path) -> None:
        """Keep the files below *prefix*."""
        super().__init__(str(prefix))
        self.tape = tape
        self.looks_left: dict[str, int] = {}


def test_the_suite_passes_through_tape(archive: Path, tmp_path: Path, run_suite: RunSuite) -> None:
    tape = tmp_path / "tape"
    tape.mkdir()
    with serving(TapeArchive(archive, tape)) as service:
        assert_passed(run_suite(service.url, MIGRATE_COMMAND=f"echo >> {tmp_path}/migrated; cd {tape} && touch"))
    assert len((tmp_path / "migrated").read_text()) == 4  # text, binary, large, and the one that nobody stages


class CorruptingReader(PosixReader):
    """Changes what it reads."""

    def read(self, size: int) -> bytes:
        """Return the next bytes, letters in the other case."""
        return super().read(size).swapcase()


class CorruptingFile(PosixFile):
    """Changes what it reads."""

    def _open_reader(self) -> PosixReader:
        return CorruptingReader(self._store, self.path)


class CorruptingArchive(PosixBackendArchive):
    """Changes what it reads."""

    file_type = CorruptingFile


class MixingFile(PosixFile):
    """Gives a reader another file's bytes now and then."""

    _archive: "MixingArchive"

    def open_reader(self) -> PosixReader:
        """Open the file, or the one before it."""
        return self._archive.reader_of(self.path)


class MixingArchive(PosixBackendArchive):
    """Gives a reader another file's bytes now and then."""

    file_type = MixingFile

    def __init__(self, prefix: str) -> None:
        """Keep the files below *prefix*."""
        super().__init__(prefix)
        self._asked: list[str] = []

    def reader_of(self, path: str) -> PosixReader:
        """Open the file at *path*, or the one before it."""
        self._asked.append(path)
        return PosixReader(self.store, self._asked[-2] if len(self._asked) % 10 == 0 else path)


class TimelessWriter(PosixWriter):
    """Forgets the modification time."""

    def set_mod_time(self, mod_time: float) -> None:
        """Do nothing."""


class TimelessFile(PosixFile):
    """Forgets its modification time."""

    def open_writer(self, length: int | None = None, precondition: Precondition | None = None) -> PosixWriter:
        """Start to replace the file."""
        return TimelessWriter(self._store, self.path, length, precondition)


class TimelessArchive(PosixBackendArchive):
    """Forgets modification times."""

    file_type = TimelessFile


class UndeletableFile(PosixFile):
    """Is on a disk that fails when it comes to deleting."""

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Fail."""
        raise StorageError("the disk does not answer")


class UndeletableArchive(PosixBackendArchive):
    """Has failed disks when it comes to deleting."""

    file_type = UndeletableFile


class KeptFile(PosixFile):
    """Says that it was removed, and is not."""

    def remove(self, precondition: Precondition | None = None) -> Replaced:
        """Do nothing to a file that is there."""
        return Replaced.of(self.status())


class KeepingArchive(PosixBackendArchive):
    """Deletes nothing and says that it did."""

    file_type = KeptFile


class CopiedFile(PosixFile):
    """Is copied where it should be moved."""

    def move_in(self, old_path: str, precondition: Precondition | None = None) -> Replaced:
        """Put the content of the old file under the new id."""
        return self.store([Path(old_path).read_bytes()], 0.0).replaced


class CopyingArchive(PosixBackendArchive):
    """Copies where it should move."""

    file_type = CopiedFile


@pytest.mark.parametrize(
    ("faulty", "finding"),
    [
        (MixingArchive, "test_each_of_many_files_comes_back_with_its_own_bytes"),
        (TimelessArchive, "test_the_status_tells_the_modification_time_that_was_put[text]"),
        (KeepingArchive, "test_a_deleted_file_is_gone"),
        (CopyingArchive, "test_a_file_moves_to_another_id"),
    ],
)
def test_the_suite_finds_a_fault(
    faulty: type[PosixBackendArchive], finding: str, archive: Path, run_suite: RunSuite
) -> None:
    with serving(faulty(str(archive))) as service:
        suite = run_suite(service.url, "-k", f"put or {finding.partition('[')[0]}")
    assert suite.returncode == 1
    assert f"FAILED {SUITE.name}::{finding}" in suite.stdout


def test_the_suite_finds_bytes_that_are_changed_and_cleans_up(archive: Path, run_suite: RunSuite) -> None:
    with serving(CorruptingArchive(str(archive))) as service:
        suite = run_suite(service.url, "-k", "put or byte_by_byte")
    assert suite.returncode == 1
    assert f"FAILED {SUITE.name}::test_a_file_comes_back_byte_by_byte[large]" in suite.stdout
    assert files_in(archive) == []


def test_the_suite_cleans_up_when_it_is_terminated(archive: Path, start_suite: StartSuite) -> None:
    with serving(PosixBackendArchive(str(archive))) as service:
        suite = start_suite(service.url, MANY_FILES_TEST_COUNT="300")
        try:
            await_true(lambda: len(files_in(archive)) > 100)
            suite.terminate()
            suite.communicate(timeout=SUITE_TIMEOUT)
        finally:
            suite.kill()
    assert suite.returncode != 0
    assert files_in(archive) == []


def test_the_suite_names_files_that_it_could_not_delete(archive: Path, run_suite: RunSuite) -> None:
    with serving(UndeletableArchive(str(archive))) as service:
        suite = run_suite(service.url, "-k", "put")
    assert suite.returncode == 1
    assert "could not be deleted" in suite.stdout


def test_the_suite_ends_at_once_where_nothing_answers(run_suite: RunSuite) -> None:
    suite = run_suite("http://127.0.0.1:9")
    assert suite.returncode == 1
    assert "no service answers at ARCHIVE_URL=http://127.0.0.1:9" in suite.stdout


def test_the_suite_needs_pytest_and_requests_only() -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(SUITE.read_text())):
        if isinstance(node, ast.Import):
            imported.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported - sys.stdlib_module_names == {"pytest", "requests"}


def round_trip(url: str, *options: str) -> Outcome:
    command = [sys.executable, "-m", "tests.project.tree_roundtrip", url, TREE, "--large", "3145729", *options]
    return subprocess.run(
        command, cwd=SUITE.parents[1], capture_output=True, text=True, timeout=SUITE_TIMEOUT, check=False
    )


@with_each_launcher
def test_a_tree_comes_back_as_it_was_put(launch: Launch, archive: Path) -> None:
    with launch(archive) as server:
        result = round_trip(server.url, "--pid", str(server.pid))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\n0 differences\n" in result.stdout
    assert "memory after the puts: peak " in result.stdout


def test_the_round_trip_counts_differences(archive: Path) -> None:
    with serving(CorruptingArchive(str(archive))) as service:
        result = round_trip(service.url)
    assert result.returncode == 1
    assert re.search(r"^[1-9]\d* differences$", result.stdout, re.MULTILINE)
