"""PATCH on the POSIX backend: a source that others change, that cannot be removed, or that is not a file."""

import hashlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import ABSENT, Precondition
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.backends.conformance import fail_while_writing, fails_with, get, put
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.exception import (
    ConflictError,
    DamagedFileError,
    MissingFileError,
    NotARegularFileError,
    PreconditionError,
    StorageError,
)
from tests.backends.posix.conftest import NEW, OLD, become, is_kind, left_overs
from tests.backends.posix.ordeals import Site, error_faults, site_in
from tests.backends.posix.ordeals import left_overs as left_overs_of
from tests.support.mounts import mounted_new, require_mounts, run
from tests.support.service import Meanwhile, open_files, serving


@pytest.fixture
def archive(prefix: Path, uploads: Path) -> PosixBackendArchive:
    """An archive that holds OLD as 7."""
    prefix.mkdir()
    archive = PosixBackendArchive(str(prefix), ArchiveOptions(move_roots=(str(uploads),)))
    put(archive, "7", OLD)
    return archive


def just_before(archive: PosixBackendArchive, deed: Callable[[], object]) -> Precondition:
    """Return a precondition that does *deed* when all of the file is there and gets its name next."""

    def do(existing: AbstractStatus | None) -> None:
        if any(path.read_bytes() == NEW for path in Path(archive.prefix, ".partial").iterdir()):
            deed()

    return Meanwhile(deed=do)


def content(archive: PosixBackendArchive, file_id: str) -> bytes | None:
    """Return what the archive holds as *file_id*, None for nothing."""
    try:
        return get(archive, file_id)
    except MissingFileError:
        return None


@pytest.mark.parametrize("kind", ["file", "link", "directory", "fifo"])
@pytest.mark.parametrize(("target", "before"), [("7", OLD), ("8", None)])
def test_what_replaces_the_source_meanwhile_is_neither_archived_nor_removed(
    archive: PosixBackendArchive, source: Path, kind: str, target: str, before: bytes | None
) -> None:
    with fails_with(ConflictError):
        archive.patch(target, str(source), just_before(archive, lambda: become(source, kind)))
    assert content(archive, target) == before
    assert is_kind(source, kind)
    assert os.listdir(source.parent) == [source.name, "aside"] or sorted(os.listdir(source.parent)) == [
        "aside",
        "upload",
    ]
    assert source.with_name("aside").read_bytes() == NEW
    assert source.with_name("aside").stat().st_mode & 0o777 == 0o640
    assert left_overs(archive) == []


def test_a_source_that_is_removed_meanwhile_leaves_the_old_file(archive: PosixBackendArchive, source: Path) -> None:
    with fails_with(MissingFileError):
        archive.patch("7", str(source), just_before(archive, source.unlink))
    assert content(archive, "7") == OLD
    assert left_overs(archive) == []


def test_a_source_that_is_written_to_meanwhile_is_not_archived(archive: PosixBackendArchive, source: Path) -> None:
    with source.open("ab", buffering=0) as file, fails_with(ConflictError):
        archive.patch("7", str(source), just_before(archive, lambda: file.write(b" and more")))
    assert content(archive, "7") == OLD
    assert source.read_bytes() == NEW + b" and more"
    assert left_overs(archive) == []


def test_a_change_during_a_copy_is_noticed_though_size_and_time_are_the_same(prefix: Path, far: Path) -> None:
    prefix.mkdir()
    archive = PosixBackendArchive(str(prefix), ArchiveOptions(move_roots=(str(far),)))
    put(archive, "7", OLD)
    source = far / "upload"
    source.write_bytes(NEW)
    found = source.stat()

    def change(existing: AbstractStatus | None) -> None:
        while source.stat().st_ctime_ns == found.st_ctime_ns:  # the clock of the file system is coarse
            source.write_bytes(NEW[::-1])
            os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))

    with fails_with(ConflictError):
        archive.patch("7", str(source), Meanwhile(deed=change))
    assert content(archive, "7") == OLD
    assert left_overs(archive) == []


def test_a_source_is_moved_by_one_request_at_a_time(archive: PosixBackendArchive, source: Path) -> None:
    def move_again() -> None:
        with fails_with(ConflictError):
            archive.patch("9", str(source))

    archive.patch("8", str(source), just_before(archive, move_again))
    assert content(archive, "8") == NEW
    assert content(archive, "9") is None
    assert Path(archive.file("8").filepath).stat().st_mode & 0o777 == 0o444


def test_one_of_many_clients_gets_the_file(archive: PosixBackendArchive, source: Path) -> None:
    with serving(archive) as service, ThreadPoolExecutor(8) as pool:
        for turn in range(10):
            source.write_bytes(NEW)
            ids = [str(100 + 8 * turn + number) for number in range(8)]
            answers = list(
                pool.map(lambda file_id: service.request("PATCH", f"/{file_id}", json={"path": str(source)}), ids)
            )
            assert sorted({answer.status_code for answer in answers} - {404, 409}) == [200]
            assert [answer.ok for answer in answers] == [content(archive, file_id) == NEW for file_id in ids]
            winner = ids[[answer.ok for answer in answers].index(True)]
            assert Path(archive.file(winner).filepath).stat().st_mode & 0o777 == 0o444
    assert left_overs(archive) == []


def test_other_names_of_the_source_are_another_file_afterwards(archive: PosixBackendArchive, source: Path) -> None:
    other = source.with_name("other")
    os.link(source, other)
    archive.patch("7", str(source))
    assert other.stat().st_mode & 0o777 == 0o640
    other.write_bytes(b"written by its owner")
    assert content(archive, "7") == NEW
    assert not source.exists()


def test_a_copy_of_an_archived_file_is_compared_with_its_digest(archive: PosixBackendArchive, tmp_path: Path) -> None:
    for file_id, digest in (("good", hashlib.sha256(NEW).digest()), ("bad", bytes(32))):
        with archive.open(file_id, "w") as file:
            file.write(NEW)
            file.set_digests({"sha-256": digest})
        os.link(archive.file(file_id).filepath, tmp_path / file_id)  # so that it is copied
    archive.patch("8", archive.file("good").filepath)
    assert archive.file("8").status().digests == {"sha-256": hashlib.sha256(NEW).digest()}
    with fails_with(DamagedFileError):
        archive.patch("7", archive.file("bad").filepath)
    assert content(archive, "7") == OLD
    assert content(archive, "bad") == NEW


def test_a_socket_is_not_a_file(archive: PosixBackendArchive, uploads: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as entry:
        listener.bind(str(uploads / "socket"))
        entry.bind(archive.file("8").filepath)
        with serving(archive) as service:
            assert service.request("PATCH", "/7", json={"path": str(uploads / "socket")}).status_code == 400
            assert [service.request(verb, "/8").status_code for verb in ("GET", "HEAD", "POST")] == [404] * 3
            assert service.request("DELETE", "/8").status_code == 409
    with fails_with(NotARegularFileError):
        archive.patch("7", str(uploads / "socket"))


def test_a_device_is_not_a_file_and_is_not_opened(archive: PosixBackendArchive, uploads: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can make devices")
    for path in (uploads / "device", Path(archive.file("8").filepath)):
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(240, 99))  # no driver: to open it would fail
    with fails_with(NotARegularFileError):
        archive.patch("7", str(uploads / "device"))
    with fails_with(MissingFileError):
        archive.open("8", "r")


@pytest.fixture(params=["near", "far"])
def site(request: pytest.FixtureRequest, users_place: Path, ordinary_user: str | None, far: Path) -> Iterator[Site]:
    """An archive whose service may not do everything; what is moved comes from *near*."""
    with site_in(users_place, far, user=ordinary_user) as site:
        if request.param == "far":
            site.near = site.far
        site.put(7, OLD)
        yield site


def assert_source_stays(site: Site, source: Path) -> None:
    """Move a source that cannot be removed: all stays as it was."""
    mode = source.stat().st_mode
    for file_id, before in ((7, OLD), (8, None)):
        answer = site.request("PATCH", file_id, json={"path": str(source)})
        assert answer is not None
        assert list(error_faults(answer, 500)) == []
        assert "may not remove" in answer.json()["message"]
        assert site.content(file_id) == before
    assert (source.read_bytes(), source.stat().st_mode) == (NEW, mode)
    assert list(left_overs_of(site)) == []


def test_a_source_in_a_directory_that_cannot_be_written_to_stays(site: Site) -> None:
    source = site.near / "upload"
    source.write_bytes(NEW)
    site.give(source)
    site.near.chmod(0o555)
    if site.user:
        os.chown(site.near, 0, 0)
    assert_source_stays(site, source)
    site.near.chmod(0o755)


def test_another_user_s_source_in_a_sticky_directory_stays(site: Site) -> None:
    if site.user is None:
        pytest.skip("only root can make files of another user")
    source = site.near / "upload"
    source.write_bytes(NEW)
    os.chown(site.near, 0, 0)
    site.near.chmod(0o1777)
    assert_source_stays(site, source)


def test_a_source_in_a_read_only_file_system_stays(tmp_path: Path, prefix: Path) -> None:
    require_mounts()
    prefix.mkdir()
    with mounted_new(tmp_path, "ext4", 16 << 20) as root:
        (root / "upload").write_bytes(NEW)
        run("mount", "-o", "remount,ro", str(root))
        archive = PosixBackendArchive(str(prefix), ArchiveOptions(move_roots=(str(root),)))
        put(archive, "7", OLD)
        with fails_with(StorageError):
            archive.patch("7", str(root / "upload"))
        assert content(archive, "7") == OLD


# What every verb owes: no descriptor and no file is left, whether it succeeds or fails.


def store(archive: PosixBackendArchive, precondition: Precondition | None = None) -> None:
    """Replace 7."""
    with archive.open("7", "w", precondition=precondition) as file:
        file.write(b"stored anew")
        file.set_file_permissions()


def read(archive: PosixBackendArchive) -> None:
    """Read 7, and what is not there."""
    assert get(archive, "7")
    with fails_with(MissingFileError):
        archive.open("404", "r")


def remove(archive: PosixBackendArchive) -> None:
    """Store and remove 9; fail to remove it again."""
    put(archive, "9", OLD)
    archive.file("9").remove()
    with fails_with(MissingFileError):
        archive.file("9").remove()


def fail_to_store(archive: PosixBackendArchive) -> None:
    """Fail to replace 7: before the upload, in it, and at its end."""
    with fails_with(PreconditionError):
        store(archive, ABSENT)
    fail_while_writing(archive, "7")
    with fails_with(ConflictError), archive.open("directory", "w") as file:
        file.write(b"whole")


def fail_to_remove(archive: PosixBackendArchive) -> None:
    """Fail to remove 7 and a directory."""
    with fails_with(PreconditionError):
        archive.file("7").remove(ABSENT)
    with fails_with(ConflictError):
        archive.file("directory").remove()


def move(archive: PosixBackendArchive, source: Path) -> None:
    """Move a file over 7."""
    archive.patch("7", str(source))


def fail_to_move(archive: PosixBackendArchive, source: Path) -> None:
    """Fail to move a file: refused, changed, gone, a directory, and over a directory."""
    source.with_name("directory").mkdir()
    with fails_with(PreconditionError):
        archive.patch("7", str(source), ABSENT)
    with fails_with(ConflictError):
        archive.patch("directory", str(source))
    with fails_with(NotARegularFileError):
        archive.patch("7", str(source.with_name("directory")))
    with fails_with(ConflictError):
        archive.patch("7", str(source), just_before(archive, lambda: become(source, "file")))
    source.with_name("aside").replace(source)
    with fails_with(MissingFileError):
        archive.patch("7", str(source), just_before(archive, source.unlink))
    with fails_with(MissingFileError):
        archive.patch("7", str(source))


@pytest.mark.parametrize("deed", [store, read, remove, fail_to_store, fail_to_remove, move, fail_to_move])
def test_no_verb_leaves_a_descriptor_or_a_file(
    archive: PosixBackendArchive, source: Path, deed: Callable[..., None]
) -> None:
    Path(archive.prefix, "directory").mkdir()
    needs_source = deed in (move, fail_to_move)
    before = open_files(archive.prefix, source.parent)
    deed(archive, source) if needs_source else deed(archive)
    assert open_files(archive.prefix, source.parent) == before
    assert left_overs(archive) == []
    assert set(os.listdir(archive.prefix)) == {"7", "directory", ".partial"}
