"""What every backend promises of moves: files that are on the storage already become files of the archive."""

from collections.abc import Callable

import pytest

from ...exception import (
    ArchiveInterfaceError,
    ConflictError,
    ExistingFileError,
    FileIdError,
    ForbiddenPathError,
    MissingFileError,
    NotARegularFileError,
    PreconditionError,
    RequestError,
)
from ..abstract.archive import AbstractBackendArchive
from ..abstract.options import ArchiveOptions
from ..abstract.precondition import ABSENT, Precondition
from .base import ArchiveSuite, MakeArchive, fails_with, get, put


class MoveSuite(ArchiveSuite):
    """The promises about moves."""

    def test_a_file_beside_is_moved_in(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        source = place("incoming/upload", b"moved")
        archive.patch("7", source)
        assert get(archive, "7") == b"moved"
        assert not holds(source)

    def test_what_is_to_be_moved_is_known_before(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str]
    ) -> None:
        put(archive, "7", b"four")
        assert archive.source_of(archive.file("7").filepath) == ("7", 4)
        file_id, size = archive.source_of(place("incoming/upload", b"moved"))
        assert file_id is None
        assert size in (5, None)  # None if the storage does not tell

    def test_a_move_replaces(self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str]) -> None:
        put(archive, "7", b"old")
        archive.patch("7", place("incoming/upload", b"moved"))
        assert get(archive, "7") == b"moved"

    def test_a_move_whose_precondition_does_not_hold_leaves_both(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        put(archive, "7", b"old")
        source = place("incoming/upload", b"stays")
        with fails_with(PreconditionError):
            archive.patch("7", source, ABSENT)
        assert get(archive, "7") == b"old"
        assert holds(source)
        with fails_with(PreconditionError):
            archive.patch("7", archive.file("7").filepath, ABSENT)  # its own place
        archive.patch("8", source, ABSENT)
        assert get(archive, "8") == b"stays"

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

    def test_a_move_may_be_kept_from_replacing(
        self, archive: AbstractBackendArchive, place: Callable[[str, bytes], str], holds: Callable[[str], bool]
    ) -> None:
        put(archive, "7", b"old")
        source = place("incoming/upload", b"moved")
        with fails_with(ExistingFileError):
            archive.patch("7", source, Precondition(only_new=True))
        assert get(archive, "7") == b"old"
        assert holds(source)
        archive.patch("8", source, Precondition(only_new=True))
        assert get(archive, "8") == b"moved"

    def test_the_path_of_a_source_below_the_prefix_is_known(self, archive: AbstractBackendArchive) -> None:
        path = archive.path_of("12345")
        for spelled in (f"{archive.prefix}/{path}", f"{archive.prefix}//./{path}", f"{archive.prefix}/./{path}/."):
            assert archive.path_below(spelled) == path
        for outside in ("", "/", "/elsewhere/12345", f"{archive.prefix}x/{path}", path, f"{archive.prefix}/\0"):
            assert archive.path_below(outside) is None or archive.id_of(archive.path_below(outside) or "") is None

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
