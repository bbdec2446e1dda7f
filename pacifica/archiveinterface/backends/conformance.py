"""What every backend owes, one promise a test; yours too.

Subclass ConformanceSuite in a test module, fill in `make_archive`, and let pytest run it::

    class TestMyBackend(ConformanceSuite):
        @pytest.fixture
        def make_archive(self, tmp_path):
            return lambda archive_options: MyBackendArchive(str(tmp_path), archive_options)
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..exception import (
    ArchiveInterfaceError,
    ConflictError,
    FileIdError,
    ForbiddenPathError,
    MissingFileError,
    NotARegularFileError,
    PreconditionError,
    RequestError,
)
from .abstract.archive import AbstractBackendArchive
from .abstract.options import ArchiveOptions
from .abstract.status import AbstractStatus

MakeArchive = Callable[[ArchiveOptions], AbstractBackendArchive]

MOD_TIME = 1473806059.0  # whole seconds: not every storage system counts finer
BLOCK = 1 << 16  # bytes
# Words for a client, in lower case unless the first is a name.
_MESSAGE = re.compile(r"([a-z]\S*|[A-Z][a-z]+(-[A-Z][A-Za-z0-9]*)*:?) .*[a-z].*[^.\s]", re.DOTALL)


def put(archive: AbstractBackendArchive, file_id: str, content: bytes, mod_time: float = MOD_TIME) -> AbstractStatus:
    """Store *content* the way the REST interface does and return its status."""
    with archive.open(file_id, "w", length=len(content)) as file:
        for start in range(0, len(content), BLOCK):
            file.write(content[start : start + BLOCK])
        file.set_mod_time(mod_time)
        file.set_file_permissions()
    return file.status()


def get(archive: AbstractBackendArchive, file_id: str) -> bytes:
    """Return the whole content of the file."""
    content = bytearray()
    with archive.open(file_id, "r") as file:
        while block := file.read(BLOCK):
            content += block
    return bytes(content)


def fail_while_writing(archive: AbstractBackendArchive, file_id: str) -> None:
    """Leave an upload by an error, as a client that goes away does."""
    with suppress(ZeroDivisionError), archive.open(file_id, "w") as file:
        file.write(b"half")
        raise ZeroDivisionError


@contextmanager
def fails_with(kind: type[ArchiveInterfaceError]) -> Iterator[None]:
    """Expect the block to raise *kind*, with a message that a client can read."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert _MESSAGE.fullmatch(message), message


class ConformanceSuite:
    """The promises; `archive` is an empty archive with default options."""

    @pytest.fixture
    def make_archive(self) -> MakeArchive:
        """Return what makes an archive with the options of [archive] given; all that a test makes share their files."""
        raise NotImplementedError("fill in make_archive")

    @pytest.fixture
    def archive(self, make_archive: MakeArchive) -> AbstractBackendArchive:
        """Return an empty archive."""
        return make_archive(ArchiveOptions())

    @pytest.fixture
    def place(self, archive: AbstractBackendArchive) -> Callable[[str, bytes], str]:
        """Return what puts a file beside the archived ones, below the prefix, and returns its absolute path."""

        def place_file(name: str, content: bytes) -> str:
            path = Path(archive.prefix, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return str(path)

        return place_file

    @pytest.fixture
    def holds(self) -> Callable[[str], bool]:
        """Return what tells whether there is a file at an absolute path on the backend."""
        return os.path.isfile

    @pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7])
    def test_what_was_written_is_read_back(self, archive: AbstractBackendArchive, size: int) -> None:
        content = os.urandom(size)
        put(archive, "12345", content)
        assert get(archive, "12345") == content

    def test_reading_starts_where_it_was_sought(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"0123456789")
        with archive.open("7", "r") as file:
            file.seek(6)
            assert file.read(3) == b"678"
            file.seek(0)
            assert file.read(2) == b"01"

    def test_a_file_is_open_for_reading_or_for_writing(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"old")
        with archive.open("7", "r") as file:
            for write in (
                lambda: file.write(b"new"),
                lambda: file.set_mod_time(MOD_TIME + 2),
                file.set_file_permissions,
            ):
                with fails_with(ConflictError):
                    write()
        with archive.open("8", "w") as file:
            file.write(b"new")
            for read in (lambda: file.read(3), lambda: file.seek(0)):
                with fails_with(ConflictError):
                    read()
        assert (get(archive, "7"), get(archive, "8")) == (b"old", b"new")
        assert archive.file("7").status().mtime == MOD_TIME

    def test_nothing_is_seen_before_the_file_is_closed(self, archive: AbstractBackendArchive) -> None:
        with archive.open("7", "w") as file:
            file.write(b"half")
            with fails_with(MissingFileError):
                archive.open("7", "r")
            with fails_with(MissingFileError):
                archive.file("7").status()
        assert get(archive, "7") == b"half"

    def test_the_old_content_is_served_until_the_new_one_is_whole(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"old")
        with archive.open("7", "w") as file:
            file.write(b"new and longer")
            assert get(archive, "7") == b"old"
        assert get(archive, "7") == b"new and longer"

    def test_a_failed_write_leaves_nothing(self, archive: AbstractBackendArchive) -> None:
        fail_while_writing(archive, "7")
        with fails_with(MissingFileError):
            archive.file("7").status()

    def test_a_failed_write_leaves_the_old_content(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"old")
        fail_while_writing(archive, "7")
        assert get(archive, "7") == b"old"

    def test_a_reader_keeps_the_bytes_it_began_with(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"old content")
        with archive.open("7", "r") as file:
            start = file.read(3)
            put(archive, "7", b"new")
            assert start + file.read(100) == b"old content"

    def test_open_files_never_mix(self, archive: AbstractBackendArchive) -> None:
        first, second = archive.open("1", "w"), archive.open("2", "w")
        first.write(b"a")
        second.write(b"b")
        first.write(b"a")
        second.close()
        first.close()
        assert (get(archive, "1"), get(archive, "2")) == (b"aa", b"b")

    def test_opening_leaves_the_archive_unbound(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        before = dict(vars(archive))
        with archive.open("7", "r") as file:
            assert file is not archive
            assert vars(archive) == before

    def test_threads_share_one_archive(self, archive: AbstractBackendArchive) -> None:
        contents = {str(number): os.urandom(BLOCK + number) for number in range(16)}
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda item: put(archive, *item), contents.items()))
            read = dict(zip(contents, pool.map(lambda file_id: get(archive, file_id), contents), strict=True))
        assert read == contents

    def test_concurrent_writers_of_one_file_leave_one_of_their_contents(self, archive: AbstractBackendArchive) -> None:
        contents = [bytes([number]) * (BLOCK + number) for number in range(8)]
        ready = threading.Barrier(len(contents))

        def write(content: bytes) -> None:
            ready.wait()
            put(archive, "7", content)

        with ThreadPoolExecutor(len(contents)) as pool:
            list(pool.map(write, contents))
        assert get(archive, "7") in contents

    def test_status_tells_size_time_and_place(self, archive: AbstractBackendArchive) -> None:
        put(archive, "12345", b"eighteen bytes ...")
        status = archive.file("12345").status()
        assert status.filesize == 18
        assert status.mtime == MOD_TIME
        assert status.ctime > MOD_TIME
        assert status.filepath.startswith(archive.prefix + "/")

    def test_a_fresh_file_is_on_disk(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        status = archive.file("7").status()
        assert status.file_storage_media == "disk"
        assert len(status.bytes_per_level) == len(status.defined_levels)
        assert sum(status.bytes_per_level) >= 5
        assert archive.file("7").is_online()
        assert archive.file("7").stage()

    def test_an_empty_file_is_on_disk(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"")
        assert archive.file("7").status().file_storage_media == "disk"

    def test_what_close_reports_is_what_status_says_later(self, archive: AbstractBackendArchive) -> None:
        written = put(archive, "7", b"bytes")
        assert archive.file("7").status().etag == written.etag
        with archive.open("7", "r") as file:
            assert file.status().etag == written.etag

    def test_digests_stay_with_the_file(self, archive: AbstractBackendArchive) -> None:
        digests = {"sha-256": bytes(range(32)), "md5": bytes(16)}
        with archive.open("7", "w") as file:
            file.write(b"bytes")
            file.set_digests(digests)
            file.set_file_permissions()
        assert file.status().digests == digests
        assert archive.file("7").status().digests == digests
        archive.patch("70000", archive.file("7").status().filepath)
        assert archive.file("70000").status().digests == digests
        put(archive, "70000", b"others")
        assert archive.file("70000").status().digests == {}

    def test_digests_found_later_are_kept_too(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        with archive.open("7", "r") as file:
            file.set_digests({"sha-256": bytes(range(32))})
        assert archive.file("7").status().digests == {"sha-256": bytes(range(32))}
        assert get(archive, "7") == b"bytes"

    def test_damage_is_remembered_until_the_file_is_replaced(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        with archive.open("7", "r") as file:
            file.set_digests({"sha-256": bytes(range(32))})
            file.mark_damaged("sha-256 was another")
        assert archive.file("7").status().damaged == "sha-256 was another"
        assert archive.file("7").status().digests == {"sha-256": bytes(range(32))}
        put(archive, "7", b"bytes")
        assert archive.file("7").status().damaged == ""

    def test_a_file_from_beside_brings_no_digests(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str]
    ) -> None:
        archive.patch("7", place("incoming/upload", b"moved"))
        assert archive.file("7").status().digests == {}

    def test_every_file_is_listed_in_order_and_from_anywhere_on(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str]
    ) -> None:
        ids = {"1", "256", "257", "258", "513", "65536", "12345"}  # 1/201 comes before 2/102, though 201 > 102
        for file_id in ids:
            put(archive, file_id, b"x")
        place("incoming/upload", b"x")
        entries = list(archive.entries())
        assert {entry.file_id for entry in entries} == {*ids, None}
        assert [entry.path for entry in entries if entry.file_id is None] == ["incoming/upload"]
        assert all(entry.path == archive.path_of(entry.file_id) for entry in entries if entry.file_id)
        for number, entry in enumerate(entries):
            assert list(archive.entries(entry.path)) == entries[number + 1 :]

    def test_other_bytes_have_another_etag(self, archive: AbstractBackendArchive) -> None:
        tags = {put(archive, "7", content).etag for content in (b"one", b"two", b"six", b"ten")}
        assert len(tags) == 4

    @pytest.mark.parametrize("mod_time", [0.0, 1.0, 2147483646.0])
    def test_modification_times_are_kept(self, archive: AbstractBackendArchive, mod_time: float) -> None:
        assert put(archive, "7", b"x", mod_time).mtime == mod_time
        assert archive.file("7").status().mtime == mod_time

    @pytest.mark.parametrize("verb", ["status", "stage", "remove"])
    def test_a_missing_file_is_missing(self, archive: AbstractBackendArchive, verb: str) -> None:
        with fails_with(MissingFileError):
            getattr(archive.file("404"), verb)()

    def test_opening_a_missing_file_makes_none(self, archive: AbstractBackendArchive) -> None:
        for _ in range(2):
            with fails_with(MissingFileError):
                archive.open("404", "r")

    def test_a_removed_file_is_gone(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        archive.file("7").remove()
        with fails_with(MissingFileError):
            archive.open("7", "r")

    def test_a_removed_file_can_be_stored_again(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"first")
        archive.file("7").remove()
        put(archive, "7", b"second")
        assert get(archive, "7") == b"second"

    @pytest.mark.parametrize(
        "file_id", ["", ".", "..", "../1", "1/2", "/1/2", ".hidden", "1\0", "\0", "x" * 256, "a/../1", "1/"]
    )
    def test_what_names_no_file_is_refused(self, archive: AbstractBackendArchive, file_id: str) -> None:
        for call in (archive.file, lambda name: archive.open(name, "r"), lambda name: archive.open(name, "w")):
            with fails_with(FileIdError):
                call(file_id)

    @pytest.mark.parametrize(
        "file_id",
        ["007", "+7", "-1", " 7", "7 ", "1_0", "0x10", "1e3", "\u0667", "\uff17", str(1 << 63), "9" * 30, "seven"],
    )
    def test_an_id_has_one_spelling(self, archive: AbstractBackendArchive, file_id: str) -> None:
        if archive.use_id2filename:
            with fails_with(FileIdError):
                archive.file(file_id)
        else:
            assert archive.file(file_id).filepath == f"{archive.prefix}/{file_id}"

    @pytest.mark.parametrize("file_id", ["0", "1", "255", "256", "65536", str((1 << 63) - 1)])
    def test_ids_of_every_size_are_kept(self, archive: AbstractBackendArchive, file_id: str) -> None:
        put(archive, file_id, file_id.encode())
        assert get(archive, file_id) == file_id.encode()

    def test_ids_do_not_collide(self, archive: AbstractBackendArchive) -> None:
        ids = [str(number) for number in (0, 15, 16, 255, 256, 0x0102, 0x0201, 0x010203, 0x030201)]
        for file_id in ids:
            put(archive, file_id, file_id.encode())
        assert [get(archive, file_id).decode() for file_id in ids] == ids

    def test_the_guard_sees_what_would_be_replaced(self, archive: AbstractBackendArchive) -> None:
        seen: list[tuple[int, str] | None] = []

        def guard(existing: AbstractStatus | None) -> None:
            seen.append((existing.filesize, existing.filepath) if existing else None)

        for content in (b"four", b"longer"):
            with archive.open("12345", "w", guard=guard) as file:
                file.write(content)
        path = archive.file("12345").status().filepath
        archive.file("12345", guard).remove()
        assert (seen[0], seen[-2], seen[-1]) == (None, (4, path), (6, path))

    def test_the_guard_keeps_what_is_there(self, archive: AbstractBackendArchive) -> None:
        def refuse(existing: AbstractStatus | None) -> None:
            raise PreconditionError("it has to stay")

        put(archive, "7", b"old")
        with fails_with(PreconditionError), archive.open("7", "w", guard=refuse) as file:
            file.write(b"new")
        with fails_with(PreconditionError):
            archive.file("7", refuse).remove()
        assert get(archive, "7") == b"old"

    def test_one_of_many_creators_wins(self, archive: AbstractBackendArchive) -> None:
        ready = threading.Barrier(8)

        def only_new(existing: AbstractStatus | None) -> None:
            if existing:
                raise PreconditionError("there already")

        def create(number: int) -> bool:
            ready.wait()
            try:
                with archive.open("7", "w", guard=only_new) as file:
                    file.write(bytes([number]))
            except PreconditionError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))
        assert won.count(True) == 1
        assert get(archive, "7") == bytes([won.index(True)])

    def test_refused_overwriting_keeps_the_file_and_takes_the_same_bytes_again(self, make_archive: MakeArchive) -> None:
        archive = make_archive(ArchiveOptions(overwrite="refuse"))
        first = put(archive, "7", b"bytes")
        assert put(archive, "7", b"bytes").etag == first.etag
        for other in (b"BYTES", b"more bytes"):
            with fails_with(ConflictError):
                put(archive, "7", other)
        assert get(archive, "7") == b"bytes"

    def test_a_file_beside_is_moved_in(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        source = place("incoming/upload", b"moved")
        archive.patch("7", source)
        assert get(archive, "7") == b"moved"
        assert not holds(source)

    def test_a_move_replaces(self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str]) -> None:
        put(archive, "7", b"old")
        archive.patch("7", place("incoming/upload", b"moved"))
        assert get(archive, "7") == b"moved"

    def test_a_move_that_the_guard_refuses_leaves_both(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        def refuse(existing: AbstractStatus | None) -> None:
            raise PreconditionError("it has to stay")

        put(archive, "7", b"old")
        source = place("incoming/upload", b"stays")
        with fails_with(PreconditionError):
            archive.patch("7", source, refuse)
        assert get(archive, "7") == b"old"
        assert holds(source)

    def test_a_refused_move_leaves_both(
        self, make_archive: MakeArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        archive = make_archive(ArchiveOptions(overwrite="refuse"))
        put(archive, "7", b"old")
        source = place("incoming/upload", b"moved")
        with fails_with(ConflictError):
            archive.patch("7", source)
        assert get(archive, "7") == b"old"
        assert holds(source)

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            ("{prefix}/incoming/nothing", MissingFileError),
            ("{prefix}/incoming", NotARegularFileError),
            ("{prefix}/../outside", ForbiddenPathError),
            ("{prefix}-beside/file", ForbiddenPathError),
            ("/etc/hostname", ForbiddenPathError),
            ("/", ForbiddenPathError),
            ("", RequestError),
            ("incoming/upload", RequestError),
            ("{prefix}/incoming/\0", RequestError),
            ("{prefix}/incoming/\udc80\ud800", RequestError),
        ],
    )
    def test_a_move_from_a_wrong_place_is_refused(
        self,
        archive: AbstractBackendArchive,
        place: Callable[[str, bytes], str],
        path: str,
        error: type[ArchiveInterfaceError],
    ) -> None:
        place("incoming/upload", b"stays")
        with fails_with(error):
            archive.patch("7", path.format(prefix=archive.prefix))
        with fails_with(MissingFileError):
            archive.file("7").status()

    def test_a_move_to_a_wrong_id_leaves_the_file(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        source = place("incoming/upload", b"stays")
        with fails_with(FileIdError):
            archive.patch("../7", source)
        assert holds(source)
