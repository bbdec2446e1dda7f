"""A system call fails, or somebody changes a name, in the middle of a request to the POSIX backend."""

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.backends.conformance import fails_with, get, put
from pacifica.archiveinterface.backends.oracle_hsm_sideband.extended_file_factory import SamQfsTree
from pacifica.archiveinterface.backends.posix import partial
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.backends.posix.options import PosixOptions
from pacifica.archiveinterface.backends.posix.tree import Tree
from pacifica.archiveinterface.exception import (
    BackendUnavailableError,
    ConfigurationError,
    ConflictError,
    DamagedFileError,
    ForbiddenPathError,
    MissingFileError,
    ModTimeError,
    NoSpaceError,
    NotARegularFileError,
    PreconditionError,
    StorageError,
)
from tests.backends.posix.conftest import NEW, OLD, become, is_kind, left_overs
from tests.support.service import TIMEOUT, Meanwhile, SidecarArchive, open_files

NESTED = "12345"  # 39/3039 in a tree

BeforeCall = Callable[[str, Callable[..., object]], None]


def make(prefix: Path, *roots: Path, kind: type[PosixBackendArchive] = PosixBackendArchive, **options: Any) -> Any:
    """Return an archive, a tree of ids, that holds OLD as NESTED."""
    prefix.mkdir(exist_ok=True)
    options["move_roots"] = tuple(f"{root}/" for root in roots)  # with a slash at the end, as many write it
    archive = kind(str(prefix), ArchiveOptions(**options), PosixOptions(use_id2filename=True))
    put(archive, NESTED, OLD)
    return archive


@pytest.fixture
def archive(prefix: Path, uploads: Path) -> PosixBackendArchive:
    """An archive that holds OLD as NESTED."""
    made: PosixBackendArchive = make(prefix, uploads)
    return made


@pytest.fixture
def before_call(monkeypatch: pytest.MonkeyPatch) -> BeforeCall:
    """Let a function be called before each call of ``os.NAME``, with its arguments; what it raises, the call raises."""

    def arrange(name: str, deed: Callable[..., object]) -> None:
        call = getattr(os, name)

        def arranged(*args: Any, **options: Any) -> Any:
            deed(*args, **options)
            return call(*args, **options)

        monkeypatch.setattr(os, name, arranged)

    return arrange


def failing(number: int) -> OSError:
    """Return what a system call raises that fails with the errno *number*."""
    return OSError(number, os.strerror(number))


def is_directory(fd: int) -> bool:
    """Return whether *fd* is open for a directory."""
    return stat.S_ISDIR(os.fstat(fd).st_mode)


# The name of a file that is being moved gets another one


def on_removal(source: Path, deed: Callable[[], object]) -> Callable[..., None]:
    """Return what does *deed* once, when *source* is about to be renamed so that it can be removed."""
    todo = [deed]

    def look(old: Any, new: Any, **_options: Any) -> None:
        if old == source.name and todo:
            todo.pop()()

    return look


@pytest.mark.parametrize("kind", ["file", "link", "link to nowhere", "link to the file", "directory", "fifo"])
@pytest.mark.parametrize(("target", "before"), [(NESTED, OLD), ("8", None)])
def test_what_gets_the_name_of_the_source_at_the_last_moment_is_put_back(
    archive: PosixBackendArchive, source: Path, before_call: BeforeCall, kind: str, target: str, before: bytes | None
) -> None:
    before_call("rename", on_removal(source, lambda: become(source, kind)))
    with fails_with(ConflictError):
        archive.patch(target, str(source))
    assert is_kind(source, kind)
    assert sorted(os.listdir(source.parent)) == ["aside", "upload"]
    assert source.with_name("aside").read_bytes() == NEW
    assert left_overs(archive) == []
    if before is None:
        with fails_with(MissingFileError):
            archive.open(target, "r")
    else:
        assert get(archive, target) == before


def test_a_source_is_set_aside_where_nobody_else_looks(
    archive: PosixBackendArchive, source: Path, before_call: BeforeCall, far: Path
) -> None:
    places: list[str] = []

    def look(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if old == source.name:
            places.append(os.readlink(f"/proc/self/fd/{dst_dir_fd}"))

    before_call("rename", look)
    archive.patch(NESTED, str(source))
    beside = f"{archive.prefix}/.partial"
    assert places == ([beside, str(source.parent)] if source.parent == far else [beside])
    assert os.listdir(source.parent) == []


def test_a_file_that_cannot_be_put_back_keeps_the_name_that_the_log_tells(
    archive: PosixBackendArchive, source: Path, before_call: BeforeCall, caplog: pytest.LogCaptureFixture
) -> None:
    below = source.parent / "below"
    below.mkdir()
    source = source.rename(below / source.name)
    before_call("rename", on_removal(source, lambda: become(source, "file")))
    returned = []

    def take_the_name(old: str, new: str, **_options: Any) -> None:
        if new == source.name:
            source.write_bytes(b"newest")
            returned.append(new)

    before_call("link", take_the_name)
    with fails_with(ConflictError):
        archive.patch(NESTED, str(source))
    assert returned == [source.name]
    [kept] = [name for name in os.listdir(source.parent) if name.startswith(".moved-")]
    assert (source.with_name(kept).read_bytes(), source.read_bytes()) == (b"newer", b"newest")
    [record] = caplog.records
    assert record.getMessage().startswith(f"{source} is now named {kept}: ")
    assert os.strerror(errno.EEXIST) in record.getMessage()
    assert get(archive, NESTED) == OLD


@pytest.mark.parametrize(
    ("kind", "error"), [("link", ForbiddenPathError), ("fifo", NotARegularFileError), ("file", ConflictError)]
)
def test_what_gets_the_name_of_the_source_before_it_is_linked_is_not_archived(
    tmp_path: Path, prefix: Path, before_call: BeforeCall, kind: str, error: type[StorageError]
) -> None:
    archive = make(prefix, tmp_path)
    source = tmp_path / "upload"
    source.write_bytes(NEW)
    todo = [lambda: become(source, kind)]
    before_call("link", lambda *_names, **_options: todo and todo.pop()())
    with fails_with(error):
        archive.patch(NESTED, str(source))
    assert todo == []
    assert is_kind(source, kind)
    assert get(archive, NESTED) == OLD
    assert left_overs(archive) == []


def test_a_source_that_cannot_be_removed_after_all_stays(
    archive: PosixBackendArchive, source: Path, before_call: BeforeCall
) -> None:
    def refuse() -> None:
        raise failing(errno.EPERM)

    before_call("rename", on_removal(source, refuse))
    with fails_with(StorageError):
        archive.patch(NESTED, str(source))
    assert source.read_bytes() == NEW
    assert get(archive, NESTED) == OLD
    assert left_overs(archive) == []


# A file of another owner is copied


def refuse_modes_of(path: Path, deed: Callable[[], object] = lambda: None) -> Callable[..., None]:
    """Return what refuses to change the mode of *path*, as for a file of another owner, after *deed*."""
    found = path.stat()

    def refuse(fd: int, mode: int) -> None:
        if os.path.samestat(os.fstat(fd), found):
            deed()
            raise failing(errno.EPERM)

    return refuse


def test_a_source_of_another_owner_is_copied(tmp_path: Path, prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix, tmp_path)
    source = tmp_path / "upload"
    source.write_bytes(NEW)
    inode = source.stat().st_ino
    before_call("fchmod", refuse_modes_of(source))
    archive.patch(NESTED, str(source))
    assert get(archive, NESTED) == NEW
    stored = Path(archive.file(NESTED).filepath).stat()
    assert (stored.st_ino != inode, stored.st_mode & 0o777) == (True, 0o444)
    assert not source.exists()
    assert left_overs(archive) == []


def test_a_source_of_another_owner_that_is_written_to_is_not_copied(
    tmp_path: Path, prefix: Path, before_call: BeforeCall
) -> None:
    archive = make(prefix, tmp_path)
    source = tmp_path / "upload"
    source.write_bytes(NEW)
    before_call("fchmod", refuse_modes_of(source, lambda: source.write_bytes(NEW + b" and more")))
    with fails_with(ConflictError):
        archive.patch(NESTED, str(source))
    assert get(archive, NESTED) == OLD
    assert source.read_bytes() == NEW + b" and more"
    assert left_overs(archive) == []


def test_a_copy_has_the_modification_time_of_its_source(archive: PosixBackendArchive, source: Path) -> None:
    os.link(source, source.with_name("another name"))  # so that it is copied
    os.utime(source, ns=(0, 1473806059_290000000))
    archive.patch(NESTED, str(source))
    assert abs(Path(archive.file(NESTED).filepath).stat().st_mtime_ns - 1473806059_290000000) < 1000


@pytest.mark.parametrize("path", ["upload", "01/201"])  # one as an archive has it
def test_digests_that_a_source_brings_along_are_not_believed(
    archive: PosixBackendArchive, uploads: Path, path: str
) -> None:
    with archive.open("8", "w") as file:
        file.write(NEW)
        file.set_digests({"sha-256": bytes(32)})
    source = uploads / path
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(NEW)
    stored = Path(archive.file("8").filepath)
    for name in os.listxattr(stored):
        os.setxattr(source, name, os.getxattr(stored, name))
    archive.patch(NESTED, str(source))
    assert get(archive, NESTED) == NEW
    assert archive.file(NESTED).status().digests.get("sha-256") != bytes(32)


def test_a_file_of_the_archive_keeps_its_digests_when_it_is_moved(archive: PosixBackendArchive) -> None:
    with archive.open("65536", "w") as file:
        file.write(NEW)
        file.set_digests({"md5": bytes(16)})
    path = archive.file("65536").path
    archive.patch(NESTED, f"{archive.prefix}/./{path}")
    assert archive.file(NESTED).status().digests == {"md5": bytes(16)}


def test_a_damaged_file_is_not_copied(archive: PosixBackendArchive, tmp_path: Path) -> None:
    with archive.open("8", "w") as file:
        file.write(NEW)
        file.set_digests({"sha-256": bytes(32)})
    os.link(archive.file("8").filepath, tmp_path / "another name")  # so that it is copied
    with fails_with(DamagedFileError):
        archive.patch(NESTED, archive.file("8").filepath)
    assert get(archive, NESTED) == OLD


def test_a_copy_without_space_for_it_is_not_begun(prefix: Path, far: Path, before_call: BeforeCall) -> None:
    archive = make(prefix, far)
    source = far / "upload"
    source.touch()
    found = os.statvfs(prefix)
    os.truncate(source, 2 * found.f_bavail * found.f_frsize)

    def fail(*_names: Any) -> None:
        pytest.fail("the copy was begun")

    before_call("write", fail)
    with fails_with(NoSpaceError):
        archive.patch("8", str(source))
    assert source.exists()
    assert left_overs(archive) == []


# What the path of a source may look like, and what it is compared with


def test_an_open_file_tells_its_path(archive: PosixBackendArchive) -> None:
    with archive.open(NESTED, "r") as file:
        assert file.filepath == f"{archive.prefix}/39/3039"


def test_a_file_that_is_being_written_tells_what_is_there_so_far(archive: PosixBackendArchive) -> None:
    with archive.open("513", "w") as file:
        file.write(NEW)
        status = file.status()
        assert (status.filesize, status.filepath) == (len(NEW), f"{archive.prefix}/01/201")


def test_a_time_that_the_file_system_does_not_keep_is_told(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(prefix)
    monkeypatch.setattr(os, "utime", lambda *_arguments, **_options: None)
    with fails_with(ModTimeError):
        put(archive, "8", NEW, mod_time=1473806059)
    assert left_overs(archive) == []


def test_a_path_may_have_dots_and_slashes(archive: PosixBackendArchive, source: Path) -> None:
    archive.patch(NESTED, f"{source.parent}/.//./{source.name}")
    assert get(archive, NESTED) == NEW


def test_a_condition_holds_for_a_file_that_is_moved_to_its_own_place(archive: PosixBackendArchive) -> None:
    place = archive.file(NESTED).filepath
    seen: list[tuple[int, str]] = []

    def refuse(existing: AbstractStatus | None) -> None:
        if existing:
            seen.append((existing.filesize, existing.filepath))
            raise PreconditionError("it has to stay")

    with fails_with(PreconditionError):
        archive.patch(NESTED, place, Meanwhile(deed=refuse))
    assert seen == [(len(OLD), place)]
    archive.patch(NESTED, place, Meanwhile(deed=lambda existing: seen.append((0, ""))))
    assert get(archive, NESTED) == OLD


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "directory", "fifo"])
def test_what_is_not_a_file_is_in_the_way_whatever_the_condition(prefix: Path, kind: str) -> None:
    archive = make(prefix)
    place = Path(archive.file("8").filepath)
    place.touch()
    become(place, kind)
    for precondition in (None, Precondition(none_match=("*",)), Precondition(match=("*",))):
        with fails_with(ConflictError), archive.open("8", "w", precondition=precondition) as file:
            file.write(NEW)
    assert is_kind(place, kind)


@pytest.mark.parametrize("target", ["nowhere", "/etc/hostname"])
def test_a_link_in_the_place_of_a_file_is_not_removed(prefix: Path, target: str) -> None:
    archive = make(prefix)
    place = Path(archive.file("8").filepath)
    place.symlink_to(target)
    with fails_with(ConflictError):
        archive.file("8").remove()
    assert place.is_symlink()


# What follows the change of a name fails


def test_the_old_file_is_back_when_the_new_one_is_not_durable(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix)

    def fail(fd: int) -> None:
        if is_directory(fd) and get(archive, NESTED) == NEW:
            archive.sweep()  # of a service that starts now
            raise failing(errno.EIO)

    before_call("fsync", fail)
    with fails_with(StorageError):
        put(archive, NESTED, NEW)
    assert get(archive, NESTED) == OLD
    assert left_overs(archive) == []


def test_a_new_file_is_gone_when_it_is_not_durable(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix)
    place = Path(archive.file("513").filepath)  # 01/201
    todo = [failing(errno.EIO)]

    def fail(fd: int) -> None:
        if place.exists() and todo:
            raise todo.pop()

    before_call("fsync", fail)
    with fails_with(StorageError):
        put(archive, "513", NEW)
    assert todo == []
    assert not place.exists()
    assert left_overs(archive) == []


@pytest.mark.parametrize("become_of_it", ["replaced", "removed"])
def test_what_another_request_did_to_the_name_meanwhile_stays(
    prefix: Path, before_call: BeforeCall, become_of_it: str
) -> None:
    archive = make(prefix, durability="full")
    other = make(prefix, durability="none")
    todo = [failing(errno.EIO)]

    def fail(fd: int) -> None:
        if is_directory(fd) and get(archive, NESTED) == NEW and todo:
            if become_of_it == "replaced":
                put(other, NESTED, b"the latest")
            else:
                other.file(NESTED).remove()
            raise todo.pop()

    before_call("fsync", fail)
    with fails_with(StorageError):
        put(archive, NESTED, NEW)
    if become_of_it == "replaced":
        assert get(archive, NESTED) == b"the latest"
    else:
        with fails_with(MissingFileError):
            archive.open(NESTED, "r")
    assert left_overs(archive) == []


def test_an_old_file_that_cannot_be_put_back_is_told(
    prefix: Path, before_call: BeforeCall, caplog: pytest.LogCaptureFixture
) -> None:
    archive = make(prefix)
    is_broken = []

    def fail(fd: int) -> None:
        if is_directory(fd) and get(archive, NESTED) == NEW:
            is_broken.append(True)
            raise failing(errno.EIO)

    def fail_to_rename(*_names: str, **_options: Any) -> None:
        if is_broken:
            raise failing(errno.EROFS)

    before_call("fsync", fail)
    before_call("rename", fail_to_rename)
    with fails_with(StorageError):
        put(archive, NESTED, NEW)
    assert get(archive, NESTED) == NEW
    [record] = caplog.records
    assert record.levelname == "ERROR"
    path = archive.file(NESTED).path
    begin = f"{path}: the request failed, and the old file could not be put back: "
    assert record.getMessage().startswith(begin)
    assert os.strerror(errno.EROFS) in record.getMessage()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_a_file_is_replaced_where_a_file_has_one_name_only(prefix: Path, before_call: BeforeCall, number: int) -> None:
    archive = make(prefix)

    def fail(*_names: str, **_options: Any) -> None:
        raise failing(number)

    before_call("link", fail)
    put(archive, NESTED, NEW)
    assert get(archive, NESTED) == NEW


def test_a_file_that_cannot_be_kept_is_not_replaced(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix)

    def fail(*_names: str, **_options: Any) -> None:
        raise failing(errno.EIO)

    before_call("link", fail)
    with fails_with(StorageError):
        put(archive, NESTED, NEW)
    assert get(archive, NESTED) == OLD
    assert left_overs(archive) == []


def test_a_second_name_that_cannot_be_removed_is_told(
    prefix: Path, before_call: BeforeCall, caplog: pytest.LogCaptureFixture
) -> None:
    archive = make(prefix)

    def fail(name: str, **_options: Any) -> None:
        if name in left_overs(archive):
            raise failing(errno.EIO)

    before_call("unlink", fail)
    put(archive, NESTED, NEW)
    assert get(archive, NESTED) == NEW
    [name] = left_overs(archive)
    [record] = caplog.records
    assert record.getMessage().startswith(f".partial/{name} stays until a service starts: ")
    assert os.strerror(errno.EIO) in record.getMessage()


# What is in the way


def test_a_file_that_differs_in_its_last_byte_only_is_another_file(prefix: Path) -> None:
    archive = make(prefix, overwrite="refuse")
    content = bytes(5 << 20)
    put(archive, "8", content)
    put(archive, "8", content)
    with fails_with(ConflictError):
        put(archive, "8", content[:-1] + b"x")
    assert get(archive, "8") == content
    assert left_overs(archive) == []


def test_a_directory_that_goes_while_it_is_looked_at_holds_no_file(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix)
    Path(prefix, "01").write_bytes(b"not a directory")

    def fail(*_names: Any, **_options: Any) -> None:
        raise failing(errno.ENOENT)

    before_call("lstat", fail)
    with fails_with(MissingFileError):
        archive.open("513", "r")  # 01/201


def test_a_link_in_the_place_of_a_directory_is_not_followed(prefix: Path, tmp_path: Path) -> None:
    archive = make(prefix)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "201").write_bytes(b"a secret")
    (prefix / "01").symlink_to(elsewhere)
    with fails_with(ForbiddenPathError):
        archive.open("513", "r")  # 01/201


def test_what_cannot_be_opened_beside_the_uploads_hides_no_other(prefix: Path) -> None:
    archive = make(prefix)
    (prefix / ".partial" / "a link").symlink_to("nowhere")
    (prefix / ".partial" / "left").write_bytes(b"half")
    assert [entry.path for entry in archive.entries()] == [".partial/left", "39/3039"]


def test_a_mark_of_damage_in_any_bytes_counts(prefix: Path) -> None:
    archive = make(prefix)
    with archive.open(NESTED, "r") as file:
        file.mark_damaged("md5 was another")
    place = archive.file(NESTED).filepath
    [name] = [name for name in os.listxattr(place) if "damaged" in name]
    os.setxattr(place, name, b"\xff")
    assert archive.file(NESTED).status().damaged


def test_uploads_that_may_not_be_listed_are_told(
    prefix: Path, before_call: BeforeCall, caplog: pytest.LogCaptureFixture
) -> None:
    archive = make(prefix)

    def fail(*_names: Any) -> None:
        raise failing(errno.EACCES)

    before_call("listdir", fail)
    assert [entry.file_id for entry in archive.entries()] == [NESTED]
    [record] = caplog.records
    assert record.getMessage().startswith(f"{prefix}/.partial is not searched for left-overs: ")
    assert os.strerror(errno.EACCES) in record.getMessage()


# The lock of all names


def store(archive: PosixBackendArchive) -> None:
    """Replace the file."""
    put(archive, NESTED, NEW)


def remove(archive: PosixBackendArchive) -> None:
    """Remove the file."""
    archive.file(NESTED).remove()


def move(archive: PosixBackendArchive) -> None:
    """Replace the file by another."""
    source = Path(archive.prefix, "upload")
    source.write_bytes(NEW)
    archive.patch(NESTED, str(source))


@pytest.mark.parametrize(("deed", "call"), [(store, "rename"), (move, "rename"), (remove, "unlink")])
def test_names_change_while_every_other_writer_is_kept_out(
    prefix: Path, before_call: BeforeCall, deed: Callable[[PosixBackendArchive], None], call: str
) -> None:
    archive = make(prefix)
    name = os.path.basename(archive.file(NESTED).filepath)
    is_locked: list[bool] = []

    def try_the_lock(*names: str, **_options: Any) -> None:
        if names[-1] != name:
            return
        fd = os.open(prefix / ".partial", os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_locked.append(False)
        except BlockingIOError:
            is_locked.append(True)
        finally:
            os.close(fd)

    before_call(call, try_the_lock)
    deed(archive)
    assert is_locked == [True]


# The lock of a file that is being moved


def test_the_lock_of_a_source_is_beside_the_uploads_and_the_service_s_alone(
    archive: PosixBackendArchive, source: Path
) -> None:
    locks: dict[str, int] = {}

    def look(existing: AbstractStatus | None) -> None:
        for path in Path(archive.prefix, ".partial").glob("moving-*"):
            locks[path.name] = path.stat().st_mode & 0o777

    found = source.stat()
    archive.patch(NESTED, str(source), Meanwhile(deed=look))
    assert locks == {f"moving-{found.st_dev:x}-{found.st_ino:x}": 0o600}
    assert left_overs(archive) == []


def test_a_lock_that_its_holder_has_just_removed_is_taken_anew(
    archive: PosixBackendArchive, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    removed: list[str] = []

    def flock(fd: int, operation: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.name.startswith("moving-") and not removed:
            removed.append(path.name)
            path.unlink()
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    before = open_files(archive.prefix, source.parent)
    archive.patch(NESTED, str(source))
    assert len(removed) == 1
    assert open_files(archive.prefix, source.parent) == before
    assert get(archive, NESTED) == NEW
    assert left_overs(archive) == []


# Digests in files of their own


def with_digest(archive: PosixBackendArchive, file_id: str) -> Path:
    """Store a file with a digest; return where the digest is kept."""
    with archive.open(file_id, "w") as file:
        file.write(NEW)
        file.set_digests({"md5": bytes(16)})
    found = Path(archive.file(file_id).filepath).stat()
    [path] = [
        path
        for path in Path(archive.prefix, ".notes").rglob("*")
        if path.is_file() and path.name.endswith(f"{found.st_ino:x}")
    ]
    return path


def test_the_form_of_kept_digests_is_read_by_later_releases(prefix: Path) -> None:
    archive = make(prefix, kind=SidecarArchive)
    path = with_digest(archive, "8")
    found = Path(archive.file("8").filepath).stat()
    content = {
        "file": {"size": found.st_size, "mtime_ns": found.st_mtime_ns},
        "notes": {"digest.md5": bytes(16).hex()},
    }
    assert json.loads(path.read_text()) == content
    path.write_text(json.dumps({**content, "notes": {"digest.md5": "not hexadecimal", "damaged": "differs"}}))
    status = archive.file("8").status()
    assert (status.digests, status.damaged) == ({}, "differs")


def test_digests_that_cannot_be_kept_leave_nothing(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix, kind=SidecarArchive)

    def fail(fd: int) -> None:
        raise failing(errno.EIO)

    before_call("fsync", fail)
    with fails_with(StorageError), archive.open("8", "w") as file:
        file.write(NEW)
        file.set_digests({"md5": bytes(16)})
    assert left_overs(archive) == []


def test_kept_digests_that_are_on_tape_are_not_waited_for(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make(prefix, kind=SidecarArchive)
    path = with_digest(archive, "8")
    assert archive.file("8").status().digests == {"md5": bytes(16)}
    inode = path.stat().st_ino
    monkeypatch.setattr(SamQfsTree, "is_at_hand", lambda _tree, found: found.st_ino != inode)
    assert archive.file("8").status().digests == {}


def test_a_file_is_removed_though_its_digests_cannot_be_reached(prefix: Path) -> None:
    archive = make(prefix, kind=SidecarArchive)
    place = with_digest(archive, "8")
    place.unlink()
    place.parent.rmdir()
    place.parent.write_bytes(b"not a directory")
    archive.file("8").remove()
    with fails_with(MissingFileError):
        archive.open("8", "r")


def test_another_name_of_a_removed_file_keeps_the_digests(prefix: Path) -> None:
    archive = make(prefix, kind=SidecarArchive)
    with_digest(archive, "8")
    os.link(archive.file("8").filepath, archive.file("9").filepath)
    archive.file("8").remove()
    assert archive.file("9").status().digests == {"md5": bytes(16)}


def test_the_directory_of_digests_is_synced_with_that_of_the_file(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix, kind=SidecarArchive, digests=("md5",))
    source = prefix / "upload"
    source.write_bytes(NEW)
    synced: set[str] = set()
    before_call("fsync", lambda fd: synced.add(os.readlink(f"/proc/self/fd/{fd}")))
    archive.patch(NESTED, str(source))
    assert os.path.dirname(archive.file(NESTED).filepath) in synced


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_gets_the_name_of_a_file_before_it_is_opened_is_not_read(
    archive: PosixBackendArchive, before_call: BeforeCall, kind: str
) -> None:
    path = Path(archive.prefix, archive.path_of(NESTED))
    names = [path.name]

    def replace_once(name: Any, *_flags: Any, **_options: Any) -> None:
        if name in names:
            names.remove(name)
            become(path, kind)

    before_call("open", replace_once)
    before = open_files(archive.prefix)
    with fails_with(MissingFileError):
        archive.open(NESTED, "r")
    assert open_files(archive.prefix) == before
    assert is_kind(path, kind)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system of the archive have no locks."""

    def refuse(fd: int, operation: int) -> None:
        raise failing(errno.ENOLCK)

    locks = SimpleNamespace(flock=refuse, LOCK_EX=fcntl.LOCK_EX, LOCK_NB=fcntl.LOCK_NB)
    monkeypatch.setattr(partial, "fcntl", locks)


@pytest.mark.usefixtures("no_locks")
def test_files_are_stored_and_moved_where_there_are_no_locks(archive: PosixBackendArchive, source: Path) -> None:
    put(archive, "7", b"stored")
    archive.patch("8", str(source))
    with archive.open("7", "r") as stored, archive.open("8", "r") as moved:
        assert (stored.read(100), moved.read(100)) == (b"stored", NEW)
    assert left_overs(archive) == []


def test_a_new_file_has_no_name_when_its_first_one_cannot_be_removed(prefix: Path, before_call: BeforeCall) -> None:
    archive = make(prefix, overwrite="refuse")
    failures = [failing(errno.EIO)]

    def fail_once(name: Any, **_options: Any) -> None:
        if failures and len(str(name)) == 32:  # of an upload
            raise failures.pop()

    before_call("unlink", fail_once)
    with fails_with(StorageError):
        put(archive, "7", b"stored")
    assert failures == []
    with fails_with(MissingFileError):
        archive.open("7", "r")
    assert left_overs(archive) == []


def test_a_file_that_is_not_damaged_has_no_mark(archive: PosixBackendArchive) -> None:
    archive.file("7").store([b"stored"], 7.0, lambda: {"md5": bytes(16)})
    assert os.listxattr(Path(archive.prefix, archive.path_of("7"))) == ["user.pacifica.digest.md5"]


def test_two_listings_do_not_disturb_each_other(prefix: Path) -> None:
    prefix.mkdir()
    for name in ("7", "8", "9"):
        (prefix / name).touch()
    tree = Tree(str(prefix))
    with tree.entries("") as one, tree.entries("") as other:
        assert next(one).name in ("7", "8", "9")
        assert sorted(entry.name for entry in other) == ["7", "8", "9"]
    tree.close()


def test_a_file_that_may_not_be_read_is_replaced(archive: PosixBackendArchive, before_call: BeforeCall) -> None:
    def refuse(name: Any, *_flags: Any, **_options: Any) -> None:
        if name == "3039":
            refused.append(name)
            raise failing(errno.EACCES)

    refused: list[object] = []
    before_call("open", refuse)
    put(archive, NESTED, b"replaced")
    assert refused
    assert Path(archive.prefix, archive.path_of(NESTED)).read_bytes() == b"replaced"


@pytest.mark.usefixtures("no_locks")
def test_threads_keep_each_other_out_where_there_are_no_locks(archive: PosixBackendArchive) -> None:
    def enter() -> None:
        with partial.exclusive(tree):
            order.append("second")

    tree, order = Tree(archive.prefix), ["first"]
    with ThreadPoolExecutor(1) as pool:
        with partial.exclusive(tree):
            entered = pool.submit(enter)
            with pytest.raises(TimeoutError):
                entered.result(0.2)
            order.append("first again")
        entered.result(TIMEOUT)
    tree.close()
    assert order == ["first", "first again", "second"]


def test_a_prefix_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as failure:
        PosixBackendArchive(str(tmp_path / "nowhere"))
    assert str(failure.value) == f"prefix '{tmp_path}/nowhere': no such file or directory"


def test_the_root_directory_may_be_a_prefix() -> None:
    with fails_with(MissingFileError):
        PosixBackendArchive("/").open("no file has this name", "r")


def test_a_file_that_is_being_written_is_the_service_s_alone(archive: PosixBackendArchive) -> None:
    with archive.open("7", "w") as file:
        (name,) = left_overs(archive)
        assert stat.S_IMODE(Path(archive.prefix, ".partial", name).stat().st_mode) == 0o600
        assert file.filepath == f"{archive.prefix}/{archive.path_of('7')}"


def test_an_upload_that_a_sweep_took_for_left_over_leaves_nothing(
    archive: PosixBackendArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, refusals = fcntl.flock, [BlockingIOError()]

    def refuse_once(fd: int, operation: int) -> None:
        if refusals and operation == fcntl.LOCK_EX | fcntl.LOCK_NB:
            raise refusals.pop()
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", refuse_once)
    put(archive, "7", b"stored")
    assert refusals == []
    assert left_overs(archive) == []


def test_a_file_is_no_prefix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError) as failure:
        PosixBackendArchive(str(tmp_path / "file"))
    assert str(failure.value) == f"prefix '{tmp_path}/file': not a directory"


def test_a_directory_that_goes_while_a_file_is_stored_in_it_is_told(prefix: Path, before_call: BeforeCall) -> None:
    def refuse(name: Any, *_mode: Any, **_options: Any) -> None:
        if name == "39":
            raise failing(errno.ENOENT)

    prefix.mkdir()
    archive = PosixBackendArchive(str(prefix), ArchiveOptions(), PosixOptions(use_id2filename=True))
    before_call("mkdir", refuse)
    with pytest.raises(BackendUnavailableError) as failure:
        put(archive, NESTED, b"stored")
    assert str(failure.value) == "a directory of the archive is being removed, try again later"
