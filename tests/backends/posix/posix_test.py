"""The directories of a POSIX archive: locked, replaced, swept and opened in ways that are not the usual ones."""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.file import Reader, Writer
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.conformance import fails_with, get, put
from pacifica.archiveinterface.backends.oracle_hsm_sideband.extended_file_factory import (
    extended_hsmsideband_factory,
)
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.backends.posix.extendedfile import extended_file_factory
from pacifica.archiveinterface.backends.posix.tree import Recent
from pacifica.archiveinterface.exception import NoSpaceError
from tests.backends.posix.ordeals import site_in
from tests.support.mounts import mounted_new, require_mounts, run
from tests.support.service import POSIX_TREE, SidecarArchive, open_files, serving


@pytest.fixture
def archive(prefix: Path) -> PosixBackendArchive:
    """An archive of plain names."""
    prefix.mkdir()
    return PosixBackendArchive(str(prefix))


@pytest.fixture
def sidecars(prefix: Path) -> SidecarArchive:
    """An archive that keeps digests in ``.notes``."""
    prefix.mkdir()
    return SidecarArchive(str(prefix))


def put_with_digest(archive: PosixBackendArchive, file_id: str, content: bytes) -> None:
    """Store *content* with a digest, which is made up of the id."""
    with archive.open(file_id, "w") as file:
        file.write(content)
        file.set_digests({"md5": file_id.encode().ljust(16)})
        file.set_file_permissions()


def digest(archive: PosixBackendArchive, file_id: str) -> bytes | None:
    """Return the digest that `put_with_digest` stored."""
    return archive.file(file_id).status().digests.get("md5")


def notes_of(prefix: Path) -> list[Path]:
    """Return the files that digests are kept in."""
    return [path for path in (prefix / ".notes").rglob("*") if not path.is_dir()]


# Locks


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on *path*, as any user can who may open it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def test_locks_on_what_others_can_open_hold_nothing_up(prefix: Path, tmp_path: Path) -> None:
    source = tmp_path / "archive" / "upload"
    with serving(POSIX_TREE.make(prefix)) as service:
        service.request("PUT", "/12345", data=b"old")
        source.write_bytes(b"moved")
        stored = Path(service.archive.file("12345").filepath)
        with locked(prefix), locked(stored.parent), locked(stored), locked(source):
            assert service.request("PUT", "/12345", data=b"new").status_code == 201
            assert service.request("PATCH", "/12345", json={"path": str(source)}).status_code == 200
            assert service.request("DELETE", "/12345").status_code == 200


@pytest.mark.parametrize("mode", [None, 0o755, 0o777])
def test_the_directory_of_uploads_is_the_service_s_alone(prefix: Path, mode: int | None) -> None:
    prefix.mkdir()
    if mode is not None:  # what an earlier release made
        (prefix / ".partial").mkdir()
        (prefix / ".partial").chmod(mode)
    archive = PosixBackendArchive(str(prefix))
    archive.sweep()
    put(archive, "7", b"x")
    assert (prefix / ".partial").stat().st_mode & 0o777 == 0o700


# What is synced


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch, prefix: Path) -> list[str]:
    """What this process syncs from now on, as paths below the prefix; ``file`` for an upload."""
    paths: list[str] = []
    sync = os.fsync

    def recording(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}")).relative_to(prefix)
        paths.append("file" if path.parent.name == ".partial" else str(path))
        sync(fd)

    monkeypatch.setattr(os, "fsync", recording)
    return paths


def drained(paths: list[str]) -> tuple[list[str], set[str]]:
    """Return what was synced since the last call: files, then directories."""
    files = [path for path in paths if path == "file"]
    assert paths[: len(files)] == files, "each file before any name"
    directories = set(paths) - {"file"}
    paths.clear()
    return files, directories


@pytest.mark.parametrize("level", ["full", "file", "none"])
def test_files_and_names_are_synced_as_the_site_says(prefix: Path, synced: list[str], level: str) -> None:
    archive = POSIX_TREE.make(prefix, ArchiveOptions(durability=level))
    file = [] if level == "none" else ["file"]

    def expect(*directories: str) -> None:
        assert drained(synced) == (file, set(directories) if level == "full" else set())

    put(archive, str(0x10203), b"x")  # 03/02/10203
    expect(".", "03", "03/02")
    put(archive, str(0x20203), b"x")
    expect("03/02")
    put(archive, str(0x10303), b"x")
    expect("03", "03/03")
    shutil.rmtree(prefix / "03")
    put(archive, str(0x10203), b"x")
    expect(".", "03", "03/02")
    archive.patch(str(0x10304), archive.file(str(0x10203)).filepath)
    expect(".", "04", "04/03", "03", "03/02")
    file = []
    archive.file(str(0x10304)).remove()
    expect("04/03")


def test_only_the_last_directories_are_remembered() -> None:
    recent = Recent(2)
    recent.update(["a", "b"])
    recent.update(["a"])
    recent.update(["c"])
    assert [path in recent for path in "abc"] == [True, False, True]
    recent.discard("a")
    recent.discard("b")
    assert [path in recent for path in "abc"] == [False, False, True]


# The space for a file


def blocks_of_the_upload(archive: PosixBackendArchive, length: int | None) -> tuple[int, int]:
    """Return the size of an upload of *length* bytes before any came, and how many bytes have their place on disk."""
    with archive.open("7", "w", length=length):
        [name] = os.listdir(Path(archive.prefix, ".partial"))
        found = Path(archive.prefix, ".partial", name).stat()
        return found.st_size, found.st_blocks * 512


def test_a_large_file_finds_its_space_before_its_bytes_come(archive: PosixBackendArchive) -> None:
    for length in (1 << 20, 3 << 20):
        size, reserved = blocks_of_the_upload(archive, length)
        assert (size, length <= reserved < length + 4096) == (0, True)
    assert blocks_of_the_upload(archive, (1 << 20) - 1) == (0, 0)
    assert blocks_of_the_upload(archive, None) == (0, 0)
    with fails_with(NoSpaceError):
        archive.open("7", "w", length=1 << 61)
    assert os.listdir(Path(archive.prefix, ".partial")) == []


def test_what_the_file_system_keeps_for_root_is_not_used(tmp_path: Path) -> None:
    require_mounts()
    with mounted_new(tmp_path, "ext4", 64 << 20) as root:
        archive = PosixBackendArchive(str(root))
        put(archive, "1", b"x")
        found = os.statvfs(root)
        available, free = found.f_bavail * found.f_frsize, found.f_bfree * found.f_frsize
        assert available + (2 << 20) < free
        with fails_with(NoSpaceError):
            archive.open("7", "w", length=available + (1 << 20))
        archive.open("7", "w", length=available - (1 << 20)).discard()
        archive.store.tree.close()


def test_the_reserve_is_kept_to_the_byte(tmp_path: Path) -> None:
    require_mounts()
    place = tmp_path / "small"
    place.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place))
    try:
        (place / ".partial").mkdir()
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        reserve = free - (40 << 20)
        archive = PosixBackendArchive(str(place), ArchiveOptions(reserve_bytes=reserve))
        archive.open("7", "w", length=40 << 20).discard()
        with fails_with(NoSpaceError):
            archive.open("7", "w", length=(40 << 20) + 1)
        with fails_with(NoSpaceError), archive.open("7", "w") as file:
            for number in range(64):
                written = number
                file.write(bytes(1 << 20))
        assert 40 <= written <= 40 + 16  # MiB; the reserve is looked at now and then
        assert os.listdir(place / ".partial") == []
        put(archive, "7", bytes(33 << 20))
    finally:
        run("umount", "--lazy", str(place))


# A prefix that is not what it was


@pytest.mark.parametrize("become", ["removed", "renamed", "replaced"])
def test_a_prefix_that_is_not_there_any_more_is_told(prefix: Path, become: str) -> None:
    with serving(POSIX_TREE.make(prefix)) as service:
        service.request("PUT", "/7", data=b"x")
        shutil.rmtree(prefix) if become == "removed" else prefix.rename(prefix.with_name("elsewhere"))
        if become == "replaced":
            prefix.mkdir()
        for verb in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            answer = service.request(verb, "/7", data=b"" if verb == "PUT" else None)
            assert answer.status_code == 503, verb
        answer = service.request("PATCH", "/7", json={"path": str(prefix / "upload")})
        assert answer.status_code == 503


def test_a_service_need_not_be_able_to_search_the_directories_above(
    users_place: Path, ordinary_user: str | None, far: Path
) -> None:
    with site_in(users_place, far, user=ordinary_user) as site:
        site.put(7, b"before")
        if ordinary_user:
            os.chown(users_place, 0, 0)
        users_place.chmod(0o600 if ordinary_user else 0)
        try:
            site.put(7, b"after")
            assert site.content(7) == b"after"
        finally:
            users_place.chmod(0o700)


def test_a_file_in_the_place_of_the_directory_of_uploads_is_the_service_s_fault(archive: PosixBackendArchive) -> None:
    Path(archive.prefix, ".partial").write_bytes(b"")
    archive.sweep()
    with serving(archive) as service:
        assert service.request("PUT", "/7", data=b"x").status_code == 500


def test_a_file_in_the_place_of_a_directory_is_the_service_s_fault(prefix: Path) -> None:
    with serving(POSIX_TREE.make(prefix)) as service:
        (prefix / "39").write_bytes(b"")
        assert service.request("PUT", "/12345", data=b"x").status_code == 500
        assert [service.request(verb, "/12345").status_code for verb in ("GET", "HEAD", "DELETE")] == [404] * 3


def test_the_directory_of_uploads_is_made_again(archive: PosixBackendArchive) -> None:
    put(archive, "7", b"old")
    Path(archive.prefix, ".partial").rmdir()
    put(archive, "7", b"new")
    Path(archive.prefix, ".partial").rmdir()
    archive.file("7").remove()


# Sweeping


def test_a_sweep_removes_no_upload_that_has_just_begun(prefix: Path) -> None:
    prefix.mkdir()
    archive = PosixBackendArchive(str(prefix), ArchiveOptions(durability="none"))
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            archive.sweep()

    with ThreadPoolExecutor(6) as pool:
        sweeps = [pool.submit(sweep) for _ in range(2)]
        try:
            ids = [str(number) for number in range(1000)]
            list(pool.map(lambda file_id: put(archive, file_id, b"x"), ids))
        finally:
            done.set()
        for sweep_ in sweeps:
            sweep_.result()
    assert all(get(archive, file_id) == b"x" for file_id in ids[::100])
    assert os.listdir(prefix / ".partial") == []


def test_an_upload_that_was_finished_but_got_no_name_is_found_and_removed(archive: PosixBackendArchive) -> None:
    left = Path(archive.prefix, ".partial", "left")
    left.parent.mkdir()
    left.write_bytes(b"whole")
    left.chmod(0o444)  # an ordinary user cannot open it to write
    assert [(entry.path, entry.is_partial) for entry in archive.entries()] == [(".partial/left", True)]
    archive.sweep()
    assert not left.exists()


def test_what_cannot_be_removed_is_told(archive: PosixBackendArchive, caplog: pytest.LogCaptureFixture) -> None:
    Path(archive.prefix, ".partial", "directory").mkdir(parents=True)
    Path(archive.prefix, ".partial", "left").write_bytes(b"half")
    archive.sweep()
    assert os.listdir(Path(archive.prefix, ".partial")) == ["directory"]
    assert ".partial/directory" in caplog.text
    assert "removed .partial/left" in caplog.text


def test_a_sweep_removes_the_digests_of_what_it_removes_and_no_others(sidecars: SidecarArchive) -> None:
    put_with_digest(sidecars, "7", b"stored")
    put_with_digest(sidecars, "8", b"never finished")
    partial = Path(sidecars.prefix, ".partial")
    Path(sidecars.prefix, "8").rename(partial / "left")  # as if its process had been killed before it was published
    os.link(Path(sidecars.prefix, "7"), partial / "second name")  # and another one while it was replacing 7
    sidecars.sweep()
    assert os.listdir(partial) == []
    assert len(notes_of(Path(sidecars.prefix))) == 1
    assert digest(sidecars, "7") == b"7".ljust(16)


# Digests in files of their own


@pytest.mark.parametrize(
    "nonsense",
    [
        "[]",
        "7",
        "null",
        '"text"',
        '{"file": 7}',
        "{",
        '{"notes": {}}',
        b"\xff",
        "notes",
        "digests",
        "fifo",
        "directory",
        "link",
        "link above",
    ],
)
def test_notes_that_are_none_are_not_read(sidecars: SidecarArchive, nonsense: str | bytes) -> None:
    put_with_digest(sidecars, "7", b"stored")
    [path] = notes_of(Path(sidecars.prefix))
    content = json.loads(path.read_bytes())
    path.unlink()
    if nonsense == "fifo":
        os.mkfifo(path)
    elif nonsense == "directory":
        path.mkdir()
    elif nonsense in ("link", "link above"):
        elsewhere = Path(sidecars.prefix).with_name("elsewhere")
        elsewhere.mkdir()
        (elsewhere / path.name).write_text(json.dumps(content))
        if nonsense == "link":
            path.symlink_to(elsewhere / path.name)
        else:
            path.parent.rmdir()
            path.parent.symlink_to(elsewhere)
    elif nonsense in ("notes", "digests"):
        path.write_text(json.dumps({**content, "notes": ["md5"] if nonsense == "notes" else {"digest.md5": 7}}))
    else:
        path.write_bytes(nonsense if isinstance(nonsense, bytes) else nonsense.encode())
    assert digest(sidecars, "7") is None
    assert get(sidecars, "7") == b"stored"


def test_the_same_bytes_put_again_leave_no_notes(prefix: Path) -> None:
    prefix.mkdir()
    archive = SidecarArchive(str(prefix), ArchiveOptions(overwrite="refuse"))
    for _ in range(3):
        put_with_digest(archive, "7", b"the same")
    assert len(notes_of(prefix)) == 1


def test_a_file_that_goes_takes_no_other_file_s_digest_along(sidecars: SidecarArchive) -> None:
    # An inode number that is free is given to the next upload, which is under way.
    def change(number: int) -> None:
        put_with_digest(sidecars, f"replaced-{number % 4}", b"x")
        put_with_digest(sidecars, f"removed-{number}", b"x")
        sidecars.file(f"removed-{number}").remove()

    ids = [f"kept-{number}" for number in range(150)]
    with ThreadPoolExecutor(8) as pool:
        changes = [pool.submit(change, number) for number in range(150)]
        list(pool.map(lambda file_id: put_with_digest(sidecars, file_id, b"x"), ids))
        for change_ in changes:
            change_.result()
    assert [digest(sidecars, file_id) for file_id in ids] == [file_id.encode().ljust(16) for file_id in ids]
    assert len(notes_of(Path(sidecars.prefix))) == len(ids) + 4


# The documented factories


def _posix(path: str, mode: str) -> Reader | Writer:
    return extended_file_factory(path, mode)


def _sideband(path: str, mode: str) -> Reader | Writer:
    return extended_hsmsideband_factory(path, mode, path)


@pytest.mark.parametrize("factory", [_posix, _sideband])
def test_a_factory_s_files_leave_no_descriptor_open(
    tmp_path: Path, factory: Callable[[str, str], Reader | Writer]
) -> None:
    path = str(tmp_path / "file")
    before = open_files(tmp_path)
    for _ in range(50):
        factory(path, "w").close()
        factory(path, "r").close()
    assert open_files(tmp_path) == before


@pytest.mark.parametrize("factory", [_posix, _sideband])
@pytest.mark.parametrize("mode", ["rb", "wb", "a", "r+", "", "x"])
def test_a_factory_refuses_a_mode_that_it_does_not_know(
    tmp_path: Path, factory: Callable[[str, str], Reader | Writer], mode: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"stays")
    with pytest.raises(ValueError, match="mode"):
        factory(str(path), mode)
    assert path.read_bytes() == b"stays"


def test_a_link_is_listed_and_not_followed(archive: PosixBackendArchive) -> None:
    put(archive, "7", b"x")
    Path(archive.prefix, "loop").symlink_to(".")
    assert [entry.path for entry in archive.entries()] == ["7", "loop"]
