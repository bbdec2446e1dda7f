"""The layout of an archive in HPSS: its marker, and the conversion of files that were stored under plain ids."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.__main__ import cmd
from pacifica.archiveinterface.backends.hpss.archive import HpssBackendArchive
from pacifica.archiveinterface.commands.layout import require_layout
from pacifica.archiveinterface.exception import ConfigurationError
from tests.backends.hpss.conftest import Installation
from tests.backends.hpss.support import NEWEST, archive_on, client_of, installed, names_of, write_config
from tests.hpss_simulator import Simulator
from tests.support.crashes import Points, die, runs_to_the_end
from tests.support.processes import Server, uwsgi
from tests.support.service import TIMEOUT

CONTENTS = {"5": b"five", "39": b"thirty-nine", "12345": b"a longer file"}
TREE = ["39/3039", "file.27", "file.5"]
DIGESTS = {"sha-256": bytes(32)}

Run = Callable[..., int]


@pytest.fixture
def run(simulator: Simulator, directory: Path) -> Run:
    """Return what runs the administrator's tool."""
    config = write_config(simulator)

    def start(*arguments: str) -> int:
        with installed(NEWEST):
            return cmd(["-t", "hpss", "--prefix", str(directory), "-c", str(config), *arguments])

    return start


@pytest.fixture
def archive(simulator: Simulator, directory: Path) -> HpssBackendArchive:
    """An archive in which nothing is."""
    return archive_on(simulator, directory)


@pytest.fixture
def flat(archive: HpssBackendArchive, client: Any, directory: Path) -> HpssBackendArchive:
    """An archive of files with notes and plain ids for names; one is on tape."""
    for file_id, content in CONTENTS.items():
        file = archive.file("7")
        file.store([content], 1473806059, lambda: DIGESTS)
        if file_id == "5":
            file.send_to_tape()
        client.rename(file.filepath, str(directory / file_id))
    return archive


def assert_converted(archive: HpssBackendArchive) -> None:
    require_layout(archive)
    assert [entry.path for entry in archive.entries()] == TREE
    for file_id, content in CONTENTS.items():
        status = archive.file(file_id).status()
        assert (status.filesize, status.digests, status.mtime) == (len(content), DIGESTS, 1473806059)
        assert status.file_storage_media == ("tape" if file_id == "5" else "disk")


def test_an_archive_is_marked_once(archive: HpssBackendArchive, client: Any, directory: Path) -> None:
    for _ in range(2):
        require_layout(archive)
        assert client.listdir(str(directory / ".layout")) == ["tree"]
    assert list(archive.entries()) == []


def test_files_with_plain_ids_are_refused_and_renamed_without_a_recall(
    flat: HpssBackendArchive, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="convert --to tree"):
        require_layout(flat)
    assert run("convert", "--to", "flat") == 2
    assert run("convert", "--to", "tree", "--dry-run") == 0
    assert run("convert", "--to", "tree") == 0
    assert capfd.readouterr().out == "3 files can be converted\n3 files converted to tree\n"
    assert_converted(flat)


def test_a_file_that_is_there_already_is_left(
    flat: HpssBackendArchive, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    flat.file("5").store([b"another"], 7.0)
    assert run("convert", "--to", "tree") == 1
    assert capfd.readouterr().out.splitlines()[:2] == ["5: file.5 is there already", "2 files converted to tree, 1 not"]
    with pytest.raises(ConfigurationError, match="interrupted"):
        require_layout(flat)
    flat.file("5").remove()
    assert run("convert", "--to", "tree") == 0
    assert_converted(flat)


@pytest.mark.parametrize("moment", range(1, 7))
def test_a_conversion_that_is_killed_is_completed_by_the_next(flat: HpssBackendArchive, run: Run, moment: int) -> None:
    assert not runs_to_the_end(lambda: dying(run, moment))
    assert run("convert", "--to", "tree") == 0
    assert_converted(flat)


def dying(run: Run, last: int) -> None:
    """Run the tool, and die as of SIGKILL before the call number *last* that changes names."""
    points, extension = Points(last, die), client_of(NEWEST)

    def before(call: Any) -> Any:
        def made(*given: Any) -> Any:
            points.reach()
            return call(*given)

        return made

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "mkdir"):
            patch.setattr(extension, name, before(getattr(extension, name)))
        assert run("convert", "--to", "tree") == 0


@pytest.mark.usefixtures("flat")
def test_uwsgi_stops_when_the_layout_is_another_one(
    simulator: Simulator, directory: Path, installation: Installation
) -> None:
    environment = {
        "PAI_BACKEND_TYPE": "hpss",
        "ARCHIVEINTERFACE_CONFIG": str(write_config(simulator)),
        **names_of(simulator),
    }
    with (
        pytest.raises(RuntimeError, match="convert --to tree") as stopped,
        uwsgi(directory, "--pythonpath", str(installation(NEWEST)), env=environment) as server,
    ):
        raise RuntimeError(ended(server))
    assert "NO MERCY" not in str(stopped.value)  # no worker had to be killed


def ended(server: Server) -> str:
    """Return what *server* has written, once it has ended."""
    server.process.wait(TIMEOUT)
    return server.stderr
