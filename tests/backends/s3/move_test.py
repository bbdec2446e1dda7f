"""PATCH on the S3 backend: copies that the store makes, of sources that others change, and uploads of local files."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.archiveinterface import digests
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import ABSENT, Precondition
from pacifica.archiveinterface.backends.abstract.status import AbstractStatus
from pacifica.archiveinterface.backends.conformance import fails_with, get, put
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.exception import (
    ConflictError,
    ForbiddenPathError,
    MissingFileError,
    NotARegularFileError,
    PreconditionError,
)
from tests.backends.s3.support import objects_below, split
from tests.support.seaweedfs import SeaweedFS
from tests.support.service import Meanwhile

MIB = 1 << 20  # bytes
OLD, NEW = b"the old content", b"the new one"
LARGE = os.urandom(11 * MIB)
MOD_TIME = 1473806059.25

Place = Callable[..., str]
MakeArchive = Callable[..., S3BackendArchive]


@pytest.fixture
def place(prefix: str, store: SeaweedFS) -> Place:
    """Return what puts an object beside the archived ones, with what boto3 can say of it, and returns its path."""

    def place_object(content: bytes = NEW, **said: object) -> str:
        path = f"{prefix}/incoming/upload"
        store.client().put_object(**split(path), Body=content, **said)
        return path

    return place_object


def store_file(archive: S3BackendArchive, file_id: str, content: bytes) -> AbstractStatus:
    """Store a file with time and digest, and return its status."""
    hasher = digests.Hasher(["sha-256"])
    return archive.file(file_id).store(hasher.hashed([content]), MOD_TIME, hasher.digests)


def just_before(deed: Callable[[], object]) -> Precondition:
    """Return a precondition that holds, and does *deed* first."""
    return Meanwhile(deed=lambda _existing: deed())


class OnceChecked(Precondition):
    """A precondition that does *deed* once, after it was seen to hold."""

    def then(self, deed: Callable[[], object]) -> "OnceChecked":
        """Do *deed*."""
        vars(self)["deeds"] = [deed]
        return self

    def check(self, existing: AbstractStatus | None) -> None:
        """Check it."""
        super().check(existing)
        deeds = vars(self)["deeds"]
        while deeds:
            deeds.pop()()


# Within the bucket


@pytest.mark.parametrize("content", [NEW, LARGE], ids=["small", "large"])
def test_a_moved_file_keeps_what_is_known_of_it(
    make_archive: MakeArchive, store: SeaweedFS, prefix: str, content: bytes
) -> None:
    archive = make_archive(part_size=5 * MIB, copy_size=5 * MIB)
    before = store_file(archive, "7", content)
    store_file(archive, "8", OLD)
    archive.patch("8", before.filepath)
    after = archive.file("8").status()
    assert (after.mtime, after.filesize, after.digests) == (MOD_TIME, len(content), before.digests)
    assert get(archive, "8") == content
    with fails_with(MissingFileError):
        archive.file("7").status()
    # One object, and one with its notes when it was copied in parts.
    assert len(objects_below(store, prefix)) == (1 if content is NEW else 2)
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket="archive", Prefix=prefix.split("/", 3)[3])


def test_a_file_of_several_parts_that_is_copied_at_once_is_one_object(
    make_archive: MakeArchive, store: SeaweedFS, prefix: str
) -> None:
    archive = make_archive(part_size=5 * MIB)
    before = store_file(archive, "7", LARGE)
    archive.patch("8", before.filepath)
    after = archive.file("8").status()
    assert (after.mtime, after.filesize, after.digests) == (MOD_TIME, len(LARGE), before.digests)
    assert len(objects_below(store, prefix)) == 1


@pytest.mark.parametrize("copy_size", [5 * MIB, 20 * MIB])
def test_metadata_of_an_object_from_elsewhere_are_not_believed(
    make_archive: MakeArchive, place: Place, store: SeaweedFS, copy_size: int
) -> None:
    forged = {"pacifica-digest-sha-256": "00" * 32, "pacifica-size": "5", "pacifica-damaged": "yes"}
    archive = make_archive(copy_size=copy_size)
    archive.patch("7", place(LARGE, Metadata=forged))
    status = archive.file("7").status()
    assert (status.filesize, status.digests, status.damaged) == (len(LARGE), {}, "")
    assert get(archive, "7") == LARGE


@pytest.mark.parametrize("copy_size", [5 * MIB, 20 * MIB])
def test_a_source_that_is_replaced_before_the_copy_is_not_moved(
    make_archive: MakeArchive, place: Place, copy_size: int
) -> None:
    archive = make_archive(copy_size=copy_size)
    put(archive, "7", OLD)
    source = place(LARGE)
    with fails_with(ConflictError):
        archive.patch("7", source, just_before(lambda: place(LARGE[::-1])))
    assert get(archive, "7") == OLD
    archive.patch("7", source)
    assert get(archive, "7") == LARGE[::-1]


def test_a_source_that_is_removed_before_the_copy_leaves_the_old_file(
    archive: S3BackendArchive, place: Place, store: SeaweedFS
) -> None:
    put(archive, "7", OLD)
    source = place()
    with fails_with(MissingFileError):
        archive.patch("7", source, just_before(lambda: store.client().delete_object(**split(source))))
    assert get(archive, "7") == OLD


@pytest.mark.parametrize("copy_size", [5 * MIB, 20 * MIB])
def test_a_file_that_is_stored_meanwhile_is_not_replaced_against_the_condition(
    make_archive: MakeArchive, place: Place, store: SeaweedFS, prefix: str, copy_size: int
) -> None:
    archive = make_archive(copy_size=copy_size)
    source = place(LARGE)
    with fails_with(PreconditionError):
        archive.patch("7", source, OnceChecked(none_match=ABSENT.none_match).then(lambda: put(archive, "7", OLD)))
    known = Precondition(match=(archive.file("7").status().etag,))
    with fails_with(PreconditionError):
        archive.patch("7", source, OnceChecked(match=known.match).then(lambda: put(archive, "7", OLD[::-1])))
    assert get(archive, "7") == OLD[::-1]
    assert len(objects_below(store, prefix)) == 2
    archive.patch("7", source, Precondition(match=(archive.file("7").status().etag,)))
    assert get(archive, "7") == LARGE


@pytest.mark.parametrize("is_archived", [True, False])
def test_a_move_that_was_cut_short_is_completed_where_nothing_may_be_replaced(
    make_archive: MakeArchive, place: Place, is_archived: bool
) -> None:
    archive = make_archive(ArchiveOptions(overwrite="refuse"))
    put(archive, "7", NEW)
    source = store_file(archive, "8", NEW).filepath if is_archived else place(NEW)
    archive.patch("7", source)
    assert get(archive, "7") == NEW
    with fails_with(MissingFileError):
        archive.patch("7", source)


def test_a_source_in_an_archive_class_is_not_moved(
    archive: S3BackendArchive, place: Place, store: SeaweedFS, prefix: str
) -> None:
    with fails_with(ConflictError):
        archive.patch("7", place(StorageClass="GLACIER"))
    assert objects_below(store, prefix) == ["incoming/upload"]


# From the machine of the service


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    """The directory that local files may come from."""
    directory = tmp_path / "uploads"
    directory.mkdir()
    return directory


@pytest.fixture
def source(uploads: Path) -> Path:
    """A local file."""
    path = uploads / "near" / "upload"
    path.parent.mkdir()
    path.write_bytes(NEW)
    os.utime(path, ns=(1473806059_250_000_000, 1473806059_250_000_000))
    return path


@pytest.fixture
def with_uploads(make_archive: MakeArchive, uploads: Path) -> S3BackendArchive:
    """An archive that holds OLD as 7."""
    archive = make_archive(ArchiveOptions(move_roots=(str(uploads),)))
    put(archive, "7", OLD)
    return archive


def test_a_local_file_is_stored_and_removed(with_uploads: S3BackendArchive, source: Path) -> None:
    with_uploads.patch("7", str(source))
    status = with_uploads.file("7").status()
    assert get(with_uploads, "7") == NEW
    assert (status.mtime, list(status.digests)) == (MOD_TIME, ["sha-256"])
    assert os.listdir(source.parent) == []


def test_a_local_file_of_several_parts_is_stored(make_archive: MakeArchive, uploads: Path, source: Path) -> None:
    archive = make_archive(ArchiveOptions(move_roots=(str(uploads),)), part_size=5 * MIB)
    source.write_bytes(LARGE)
    archive.patch("7", str(source))
    assert get(archive, "7") == LARGE
    assert not source.exists()


def test_only_a_regular_file_without_links_on_its_way_is_taken(
    with_uploads: S3BackendArchive, uploads: Path, source: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (uploads / "link").symlink_to(outside)
    (uploads / "way").symlink_to(source.parent)
    os.mkfifo(uploads / "fifo")
    for path, error in [
        (uploads / "link", ForbiddenPathError),
        (uploads / "way" / "upload", ForbiddenPathError),
        (outside, ForbiddenPathError),
        (source.parent, NotARegularFileError),
        (uploads / "fifo", NotARegularFileError),
        (uploads / "none", MissingFileError),
    ]:
        with fails_with(error):
            with_uploads.patch("7", str(path))
    assert get(with_uploads, "7") == OLD
    assert source.read_bytes() == NEW


def test_a_local_file_stays_when_the_precondition_does_not_hold(with_uploads: S3BackendArchive, source: Path) -> None:
    with fails_with(PreconditionError):
        with_uploads.patch("7", str(source), ABSENT)
    assert get(with_uploads, "7") == OLD
    assert source.read_bytes() == NEW


def test_a_local_file_that_changes_while_it_is_read_is_not_stored(with_uploads: S3BackendArchive, source: Path) -> None:
    def change() -> None:
        with source.open("ab") as file:
            file.write(b" and more")

    with fails_with(ConflictError):
        with_uploads.patch("7", str(source), OnceChecked().then(change))
    assert get(with_uploads, "7") == OLD
    assert source.read_bytes() == NEW + b" and more"


def test_a_local_file_that_replaces_the_stored_one_stays(with_uploads: S3BackendArchive, source: Path) -> None:
    def replace() -> None:
        if get(with_uploads, "7") != OLD:
            return
        source.rename(source.with_name("aside"))
        source.write_bytes(b"another file")

    # The second check is the one just before the upload is published.
    calls = iter([lambda: None, replace])
    with_uploads.patch("7", str(source), Meanwhile(deed=lambda _existing: next(calls)()))
    assert get(with_uploads, "7") == NEW
    assert source.read_bytes() == b"another file"


def test_a_local_file_is_moved_by_one_request_at_a_time(with_uploads: S3BackendArchive, source: Path) -> None:
    with source.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with fails_with(ConflictError):
            with_uploads.patch("7", str(source))
    with_uploads.patch("7", str(source))
    assert get(with_uploads, "7") == NEW
