"""What the tests of the POSIX backend share: files to be moved, and what happens to them meanwhile."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive

OLD, NEW = b"archived before", b"brought by PATCH"


@pytest.fixture(params=["near", "far"])
def uploads(request: pytest.FixtureRequest, tmp_path: Path, far: Path) -> Path:
    """A directory that files are moved from, on the archive's file system and on another."""
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads" if request.param == "near" else far


@pytest.fixture
def source(uploads: Path) -> Path:
    """A file that waits to be moved in."""
    path = uploads / "upload"
    path.write_bytes(NEW)
    path.chmod(0o640)
    return path


def left_overs(archive: PosixBackendArchive) -> list[str]:
    """Return what unfinished requests have left."""
    return os.listdir(Path(archive.prefix, ".partial"))


def become(path: Path, kind: str) -> None:
    """Let *path* be something else, and keep the file that it was as ``aside``."""
    path.rename(path.with_name("aside"))
    makers: dict[str, Callable[[], object]] = {
        "file": lambda: path.write_bytes(b"newer"),
        "link": lambda: path.symlink_to("/etc/hostname"),
        "link to nowhere": lambda: path.symlink_to("nowhere"),
        "link to the file": lambda: path.symlink_to(path.with_name("aside")),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }
    makers[kind]()


def is_kind(path: Path, kind: str) -> bool:
    """Return whether *path* is what `become` made."""
    tests = {"file": stat.S_ISREG, "link": stat.S_ISLNK, "directory": stat.S_ISDIR, "fifo": stat.S_ISFIFO}
    return tests[kind.partition(" ")[0]](path.lstat().st_mode)
