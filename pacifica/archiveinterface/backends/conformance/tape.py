"""What a backend with tape promises: files go to tape and come back, each is recalled once, no request waits."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from ...exception import BeingStagedError, ConflictError, FileIdError, MissingFileError
from ..abstract.archive import AbstractBackendArchive
from ..abstract.residency import Locality, Residency
from .base import MOD_TIME, ArchiveSuite, fails_with, get, put


class TapeSuite(ArchiveSuite):
    """The promises about tape; a backend without tape does not run it."""

    @pytest.fixture
    def to_tape(self, archive: AbstractBackendArchive) -> Callable[[str], None]:
        """Return what leaves a stored file on tape only, by its id."""
        raise NotImplementedError("fill in to_tape")

    @pytest.fixture
    def let_recalls_finish(self, archive: AbstractBackendArchive) -> Callable[[], None]:
        """Return what lets the storage bring to disk, or fail to, all that was asked for."""
        raise NotImplementedError("fill in let_recalls_finish")

    @pytest.fixture
    def break_tape(self, archive: AbstractBackendArchive) -> Callable[[str], None]:
        """Return what lets every recall of a file fail, by its id."""
        raise NotImplementedError("fill in break_tape")

    @pytest.fixture
    def count_recalls(self, archive: AbstractBackendArchive) -> Callable[[], int]:
        """Return what tells how many recalls the storage was asked for."""
        raise NotImplementedError("fill in count_recalls")

    def test_a_file_goes_to_tape_and_comes_back(
        self,
        archive: AbstractBackendArchive,
        to_tape: Callable[[str], None],
        let_recalls_finish: Callable[[], None],
        count_recalls: Callable[[], int],
    ) -> None:
        file = archive.file("7")
        tag = file.store([b"bytes"], MOD_TIME, lambda: {"sha-256": sha256(b"bytes").digest()}).etag
        for turn in (1, 2):
            to_tape("7")
            assert (file.status().file_storage_media, file.is_online()) == ("tape", False)
            assert file.residency().locality is Locality.TAPE
            assert (file.status().filesize, file.status().etag) == (5, tag)
            assert not file.stage()
            assert file.residency().recall.is_under_way
            assert not file.is_online()
            let_recalls_finish()
            assert file.residency().locality in (Locality.DISK, Locality.DISK_AND_TAPE)
            assert not file.residency().recall.is_under_way
            assert (file.status().file_storage_media, file.is_online()) == ("disk", True)
            assert file.stage()
            assert (get(archive, "7"), file.status().etag) == (b"bytes", tag)
            assert count_recalls() == turn

    def test_the_residency_of_many_files_is_told_at_once(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], count_recalls: Callable[[], int]
    ) -> None:
        for file_id in ("7", "8"):
            put(archive, file_id, b"bytes")
        put(archive, "9", b"")
        to_tape("7")
        found = archive.residencies(["7", "8", "9", "404", "../7"])
        localities = [answer.locality for answer in found.values() if isinstance(answer, Residency)]
        assert localities == [Locality.TAPE, Locality.DISK, Locality.NONE]
        assert [type(answer) for answer in found.values()][3:] == [MissingFileError, FileIdError]
        assert count_recalls() == 0

    def test_many_files_are_recalled_by_one_call(
        self,
        archive: AbstractBackendArchive,
        to_tape: Callable[[str], None],
        let_recalls_finish: Callable[[], None],
        count_recalls: Callable[[], int],
    ) -> None:
        for file_id in ("7", "8", "9"):
            put(archive, file_id, b"bytes")
        for file_id in ("7", "8"):
            to_tape(file_id)
        for _ in range(2):
            answers = archive.submit_recalls(["7", "8", "9", "404", "../7"])
            assert [answers[file_id] for file_id in ("7", "8", "9")] == [None] * 3
            assert [type(answers[file_id]) for file_id in ("404", "../7")] == [MissingFileError, FileIdError]
        assert count_recalls() == 2
        let_recalls_finish()
        assert [get(archive, file_id) for file_id in ("7", "8", "9")] == [b"bytes"] * 3

    def test_what_says_that_it_cancels_recalls_does_so(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], let_recalls_finish: Callable[[], None]
    ) -> None:
        put(archive, "7", b"bytes")
        to_tape("7")
        archive.submit_recalls(["7"])
        cancelled = archive.cancel_recalls(["7", "404", "../7"])
        assert cancelled == ({"7"} if archive.recall_traits.cancels else set())
        let_recalls_finish()
        assert archive.file("7").is_online() is not archive.recall_traits.cancels
        archive.submit_recalls(["7"])
        let_recalls_finish()
        assert get(archive, "7") == b"bytes"

    def test_what_says_that_it_releases_files_does_so_and_keeps_those_without_a_copy(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], let_recalls_finish: Callable[[], None]
    ) -> None:
        for file_id in ("7", "8"):
            put(archive, file_id, b"bytes")
        to_tape("7")
        archive.submit_recalls(["7"])
        let_recalls_finish()
        answers = archive.release(["7", "8", "404"])
        assert answers["7"] is None
        assert archive.file("7").is_online() is not archive.recall_traits.releases
        assert get(archive, "8") == b"bytes"
        if archive.recall_traits.releases:
            assert [type(answers[file_id]) for file_id in ("8", "404")] == [ConflictError, MissingFileError]
        archive.submit_recalls(["7"])
        let_recalls_finish()
        assert get(archive, "7") == b"bytes"

    def test_pinning_leaves_a_file_readable(self, archive: AbstractBackendArchive) -> None:
        put(archive, "7", b"bytes")
        assert archive.pin(["7"], 60.0) == {"7": None}
        assert get(archive, "7") == b"bytes"
        assert archive.unpin(["7"]) == {"7": None}

    def test_many_who_ask_make_one_recall(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], count_recalls: Callable[[], int]
    ) -> None:
        put(archive, "7", b"bytes")
        to_tape("7")
        with ThreadPoolExecutor(16) as pool:
            assert not any(pool.map(lambda _: archive.file("7").stage(), range(64)))
        with fails_with(BeingStagedError):
            archive.open("7", "r")
        assert count_recalls() == 1

    def test_reading_recalls_and_says_so(
        self,
        archive: AbstractBackendArchive,
        to_tape: Callable[[str], None],
        let_recalls_finish: Callable[[], None],
        count_recalls: Callable[[], int],
    ) -> None:
        put(archive, "7", b"bytes")
        to_tape("7")
        with fails_with(BeingStagedError):
            archive.open("7", "r")
        assert count_recalls() == 1
        let_recalls_finish()
        assert get(archive, "7") == b"bytes"

    def test_nothing_is_recalled_that_is_on_disk_or_missing(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], count_recalls: Callable[[], int]
    ) -> None:
        put(archive, "7", b"bytes")
        put(archive, "8", b"")
        to_tape("8")
        assert archive.file("7").stage()
        assert archive.file("8").stage()  # nothing of an empty file can be missing from disk
        assert (get(archive, "7"), get(archive, "8")) == (b"bytes", b"")
        with fails_with(MissingFileError):
            archive.file("404").stage()
        with fails_with(MissingFileError):
            archive.open("404", "r")
        assert count_recalls() == 0

    def test_a_recall_that_failed_is_over_and_is_submitted_again_when_asked_for(
        self,
        archive: AbstractBackendArchive,
        to_tape: Callable[[str], None],
        let_recalls_finish: Callable[[], None],
        break_tape: Callable[[str], None],
        count_recalls: Callable[[], int],
    ) -> None:
        put(archive, "7", b"bytes")
        to_tape("7")
        break_tape("7")
        for turn in (1, 2):
            assert archive.submit_recalls(["7"]) == {"7": None}
            assert count_recalls() == turn
            let_recalls_finish()
            found = archive.file("7").residency()
            assert not found.is_online
            assert not found.recall.is_under_way

    def test_a_file_on_tape_is_replaced_and_removed_without_a_recall(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], count_recalls: Callable[[], int]
    ) -> None:
        put(archive, "7", b"bytes")
        to_tape("7")
        put(archive, "7", b"new")
        assert get(archive, "7") == b"new"
        to_tape("7")
        archive.file("7").remove()
        with fails_with(MissingFileError):
            archive.file("7").status()
        assert count_recalls() == 0

    def test_a_file_on_tape_is_moved_without_a_recall(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], count_recalls: Callable[[], int]
    ) -> None:
        """A backend whose storage cannot move such a file overrides this test with what it promises instead."""
        put(archive, "7", b"bytes")
        to_tape("7")
        archive.patch("80", archive.file("7").filepath)
        assert not archive.file("80").is_online()
        assert count_recalls() == 0
