"""What every backend promises of files: storing, reading, removing and listing them."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from ...exception import ConflictError, ExistingFileError, FileIdError, MissingFileError, PreconditionError
from ..abstract.archive import AbstractBackendArchive
from ..abstract.file import Reader, Writer
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import ABSENT, ANY, Precondition
from ..abstract.residency import Locality, Residency
from .base import BLOCK, MOD_TIME, ArchiveSuite, MakeArchive, fail_while_writing, fails_with, get, put


class FileSuite(ArchiveSuite):
    """The promises about files."""

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

    def test_what_is_open_reads_or_writes(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"old")
        with archive.open("7", "r") as reader:
            assert isinstance(reader, Reader)
            assert not hasattr(reader, "write")
        with archive.open("8", "w") as writer:
            assert isinstance(writer, Writer)
            assert not hasattr(writer, "read")
        for mode in ("rb", "a", ""):
            with pytest.raises(ValueError, match="mode"):
                archive.open("7", mode)
        assert (get(archive, "7"), get(archive, "8")) == (b"old", b"")

    def test_opening_changes_nothing_that_is_shared(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        before = dict(vars(archive))
        with archive.open("7", "r"), archive.open("8", "w"):
            assert vars(archive) == before

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
        assert archive.file("7").residency().locality is Locality.DISK
        assert archive.file("7").stage()

    def test_the_residency_of_many_files_is_told(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        put(archive, "8", b"")
        found = archive.residencies(["8", "404", "7", "../7"])
        assert list(found) == ["8", "404", "7", "../7"]
        assert {type(found["404"]), type(found["../7"])} == {MissingFileError, FileIdError}
        localities = [answer.locality for answer in found.values() if isinstance(answer, Residency)]
        assert localities == [Locality.NONE, Locality.DISK]

    def test_an_empty_file_is_on_disk(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"")
        assert archive.file("7").status().file_storage_media == "disk"

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

    def test_refused_overwriting_keeps_the_file_and_takes_the_same_bytes_again(self, make_archive: MakeArchive) -> None:
        archive = make_archive(ArchiveOptions(overwrite="refuse"))
        first = put(archive, "7", b"bytes")
        assert put(archive, "7", b"bytes").etag == first.etag
        for other in (b"BYTES", b"more bytes"):
            with fails_with(ConflictError):
                put(archive, "7", other)
        assert get(archive, "7") == b"bytes"

    def test_only_the_file_that_the_client_knows_is_replaced_or_removed(self, archive: AbstractBackendArchive) -> None:
        known = Precondition(match=(put(archive, "12345", b"four").etag,))
        with archive.open("12345", "w", precondition=known) as file:
            file.write(b"longer")
        for act in (archive.file("12345").remove, lambda only: replace(archive, only)):
            with fails_with(PreconditionError):
                act(known)
        assert get(archive, "12345") == b"longer"
        archive.file("12345").remove(Precondition(match=(file.status().etag,)))
        with fails_with(MissingFileError):
            archive.file("12345").status()

    @pytest.mark.parametrize(
        ("precondition", "when_absent", "when_there"),
        [
            (Precondition(), True, True),
            (ABSENT, True, False),
            (Precondition(match=(ANY,)), False, True),
            (Precondition(match=()), False, False),
            (Precondition(none_match=('"another"',)), True, True),
            (Precondition(unmodified_since=MOD_TIME - 1), True, False),
            (Precondition(unmodified_since=MOD_TIME), True, True),
            (Precondition(match=(ANY,), unmodified_since=MOD_TIME - 1), False, True),
            (Precondition(only_existing=True), False, True),
            (Precondition(only_existing=True, unmodified_since=MOD_TIME - 1), False, False),
        ],
    )
    def test_a_precondition_is_kept(
        self, archive: AbstractBackendArchive, precondition: Precondition, when_absent: bool, when_there: bool
    ) -> None:
        with nullcontext() if when_absent else fails_with(PreconditionError):
            replace(archive, precondition)
        put(archive, "12345", b"old")
        with nullcontext() if when_there else fails_with(PreconditionError):
            archive.file("12345").remove(precondition)
        put(archive, "12345", b"old")
        with nullcontext() if when_there else fails_with(PreconditionError):
            replace(archive, precondition)
        assert get(archive, "12345") == (b"other" if when_there else b"old")

    def test_a_request_may_be_kept_from_replacing(self, archive: AbstractBackendArchive) -> None:
        only_new = Precondition(only_new=True)
        replace(archive, only_new)
        replace(archive, only_new)  # the same bytes
        archive.file("12345").remove()
        put(archive, "12345", b"bytes")
        with fails_with(ExistingFileError):
            replace(archive, only_new)
        assert get(archive, "12345") == b"bytes"

    def test_one_of_many_creators_wins(self, archive: AbstractBackendArchive) -> None:
        ready = threading.Barrier(8)

        def create(number: int) -> bool:
            ready.wait()
            try:
                with archive.open("7", "w", precondition=ABSENT) as file:
                    file.write(bytes([number]))
            except PreconditionError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))
        assert won.count(True) == 1
        assert get(archive, "7") == bytes([won.index(True)])


def replace(archive: AbstractBackendArchive, precondition: Precondition) -> None:
    """Put other bytes in the place of 12345."""
    with archive.open("12345", "w", precondition=precondition) as file:
        file.write(b"other")
