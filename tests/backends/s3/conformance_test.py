"""The S3 backend keeps the promises of the conformance suite, on SeaweedFS."""

from collections.abc import Callable

import pytest

from pacifica.archiveinterface.backends.abstract.archive import AbstractBackendArchive
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.conformance import ConformanceSuite, MakeArchive
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from tests.backends.s3.support import checked_archive_on, client_of, split
from tests.support.seaweedfs import SeaweedFS


class TestConformance(ConformanceSuite):
    """On a store that keeps everything on disk."""

    @pytest.fixture
    def make_archive(self, store: SeaweedFS, prefix: str) -> MakeArchive:
        """Archives with the options given, on the same files."""

        def make(archive_options: ArchiveOptions) -> S3BackendArchive:
            return checked_archive_on(store, prefix, archive_options)

        return make

    @pytest.fixture
    def place(self, archive: AbstractBackendArchive, store: SeaweedFS) -> Callable[[str, bytes], str]:
        """Put an object beside the archived ones."""

        def place_object(name: str, content: bytes) -> str:
            path = f"{archive.prefix}/{name}"
            client_of(store).put_object(**split(path), Body=content)
            return path

        return place_object

    @pytest.fixture
    def holds(self, store: SeaweedFS) -> Callable[[str], bool]:
        """Ask the store."""

        def is_there(path: str) -> bool:
            place = split(path)
            found = client_of(store).list_objects_v2(Bucket=place["Bucket"], Prefix=place["Key"])
            return place["Key"] in [each["Key"] for each in found.get("Contents", ())]

        return is_there
