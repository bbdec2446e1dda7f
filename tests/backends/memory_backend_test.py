"""The backend in memory keeps every promise that a backend makes."""

from collections.abc import Callable

import pytest

from docs.examples.memory_backend import MemoryBackendArchive, MemoryFile
from docs.examples.tape_backend import TapeBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.conformance import ConformanceSuite, MakeArchive, TapeSuite


class TestMemoryBackend(ConformanceSuite):
    """Every test of the suite, on this backend."""

    @pytest.fixture
    def files(self) -> MemoryBackendArchive:
        """Return the archive whose files all archives of one test share."""
        return MemoryBackendArchive("/memory")

    @pytest.fixture
    def make_archive(self, files: MemoryBackendArchive) -> MakeArchive:
        """Return what makes an archive with the options given."""

        def make(archive_options: ArchiveOptions) -> MemoryBackendArchive:
            archive = MemoryBackendArchive(files.prefix, archive_options)
            archive.stored = files.stored
            return archive

        return make

    @pytest.fixture
    def place(self, files: MemoryBackendArchive) -> Callable[[str, bytes], str]:
        """Return what puts a file beside the archived ones; by default the suite writes it to a disk."""

        def place_file(name: str, content: bytes) -> str:
            file = MemoryFile(files, name)
            file.keep(content, 0.0, {})
            return file.filepath

        return place_file

    @pytest.fixture
    def holds(self, files: MemoryBackendArchive) -> Callable[[str], bool]:
        """Return what tells whether there is a file at a path."""
        return files.stored.__contains__


class TestTapeBackend(TapeSuite):
    """Every test about tape, on the backend with tape."""

    @pytest.fixture
    def make_archive(self) -> MakeArchive:
        """Return what makes an archive with the options given."""
        return lambda archive_options: TapeBackendArchive("/memory", archive_options)

    @pytest.fixture
    def to_tape(self, archive: TapeBackendArchive) -> Callable[[str], None]:
        """Return what leaves a file on tape only."""

        def send(file_id: str) -> None:
            archive.library.copies.add(archive.file(file_id).status().version)
            archive.file(file_id).release()

        return send

    @pytest.fixture
    def let_recalls_finish(self, archive: TapeBackendArchive) -> Callable[[], None]:
        """Return what lets all recalls end."""
        return archive.library.finish

    @pytest.fixture
    def break_tape(self, archive: TapeBackendArchive) -> Callable[[str], None]:
        """Return what lets recalls fail."""
        return lambda file_id: setattr(archive.library, "broken", True)

    @pytest.fixture
    def count_recalls(self, archive: TapeBackendArchive) -> Callable[[], int]:
        """Return what counts the recalls."""
        return lambda: archive.library.asked
