"""What every backend promises of fixity: entity tags, digests and the mark of damage."""

from collections.abc import Callable

from ..abstract.archive import AbstractBackendArchive
from ..abstract.status import Replaced
from .base import ArchiveSuite, get, put


class FixitySuite(ArchiveSuite):
    """The promises about digests and entity tags."""

    def test_what_close_reports_is_what_status_says_later(self, archive: AbstractBackendArchive) -> None:
        written = put(archive, "7", b"bytes")
        assert archive.file("7").status().etag == written.etag
        with archive.open("7", "r") as file:
            assert file.status().etag == written.etag

    def test_other_bytes_have_another_etag(self, archive: AbstractBackendArchive) -> None:
        tags = {put(archive, "7", content).etag for content in (b"one", b"two", b"six", b"ten")}
        assert len(tags) == 4

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

    def test_what_gives_way_is_told_for_the_log_if_the_storage_knows(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str]
    ) -> None:
        digests = {"sha-256": bytes(range(32))}
        first = archive.file("7").store([b"first"], 7.0, lambda: digests).replaced
        second = archive.file("7").store([b"second"], 7.0).replaced
        moved = archive.patch("7", place("incoming/upload", b"moved"))
        assert first.was_there is not True
        assert second in (Replaced(), Replaced(True, digests))
        assert moved in (Replaced(), Replaced(True, {}))
        assert archive.file("7").remove() in (Replaced(), Replaced(True, {}))
        assert archive.patch("8", place("incoming/upload", b"moved")).was_there is not True
