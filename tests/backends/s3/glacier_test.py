"""The S3 backend keeps the promises of the tape suite for objects in archive classes."""

from collections.abc import Callable

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.conformance import MakeArchive, TapeSuite, fails_with, get, put
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.exception import ConflictError
from tests.backends.s3.support import checked_archive_on
from tests.support.glacier_stub import AWS, RGW, VERSITYGW, Dialect, GlacierStub, shared_stub


@pytest.fixture(params=[AWS, RGW, VERSITYGW], ids=["aws", "rgw", "versitygw"])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """How the store speaks of restores."""
    chosen: Dialect = request.param
    return chosen


@pytest.fixture
def glacier(dialect: Dialect) -> GlacierStub:
    """A store with archive classes, which has no object in them yet."""
    stub = shared_stub()
    stub.reset(dialect)
    return stub


class TestTape(TapeSuite):
    """On a store of each dialect."""

    @pytest.fixture
    def make_archive(self, glacier: GlacierStub, prefix: str) -> MakeArchive:
        """Archives with the options given, on the same files."""

        def make(archive_options: ArchiveOptions) -> S3BackendArchive:
            return checked_archive_on(glacier, prefix, archive_options)

        return make

    @pytest.fixture
    def to_tape(self, archive: AbstractBackendArchive, glacier: GlacierStub) -> Callable[[str], None]:
        """Move the object to an archive class, as a lifecycle rule does."""
        return lambda file_id: glacier.archive(_place(archive, file_id))

    @pytest.fixture
    def let_recalls_finish(self, glacier: GlacierStub) -> Callable[[], None]:
        """End all restores."""
        return glacier.finish

    @pytest.fixture
    def break_tape(self, archive: AbstractBackendArchive, glacier: GlacierStub) -> Callable[[str], None]:
        """Have the restores of the object end without a copy."""
        return lambda file_id: glacier.broken.add(f"/{_place(archive, file_id)}")

    @pytest.fixture
    def count_recalls(self, glacier: GlacierStub) -> Callable[[], int]:
        """Count the restores that began."""
        return lambda: len(glacier.restores)

    def test_a_file_on_tape_is_moved_without_a_recall(
        self, archive: AbstractBackendArchive, to_tape: Callable[[str], None], count_recalls: Callable[[], int]
    ) -> None:
        """No store copies an archived object: the move is refused, and both files stay as they are."""
        put(archive, "7", b"bytes")
        put(archive, "80", b"old")
        to_tape("7")
        with fails_with(ConflictError):
            archive.patch("80", archive.file("7").filepath)
        assert (archive.file("7").is_online(), get(archive, "80"), count_recalls()) == (False, b"old", 0)

    def test_a_restored_file_is_moved(
        self,
        archive: AbstractBackendArchive,
        to_tape: Callable[[str], None],
        let_recalls_finish: Callable[[], None],
    ) -> None:
        put(archive, "7", b"bytes")
        to_tape("7")
        archive.submit_recalls(["7"])
        let_recalls_finish()
        archive.patch("80", archive.file("7").filepath)
        assert get(archive, "80") == b"bytes"


def _place(archive: AbstractBackendArchive, file_id: str) -> str:
    return archive.file(file_id).filepath.removeprefix("s3://")
