"""A place of its own for each test, in a store that the tests of a process share."""

import uuid
from collections.abc import Callable, Iterator

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from tests.backends.s3.faulty_site import FaultySite
from tests.backends.s3.support import checked_archive_on
from tests.support.seaweedfs import SeaweedFS, shared_store


@pytest.fixture(scope="session")
def store() -> SeaweedFS:
    """The store."""
    return shared_store()


@pytest.fixture
def prefix() -> str:
    """Where the files of a test are, and nothing else."""
    return f"s3://archive/{uuid.uuid4()}"


@pytest.fixture
def make_archive(store: SeaweedFS, prefix: str) -> Callable[..., S3BackendArchive]:
    """Return what makes archives of the same files, with options of [archive] and of [s3]."""

    def make(archive: ArchiveOptions | None = None, **s3: object) -> S3BackendArchive:
        return checked_archive_on(store, prefix, archive, **s3)

    return make


@pytest.fixture
def archive(make_archive: Callable[..., S3BackendArchive]) -> S3BackendArchive:
    """An empty archive with default options."""
    return make_archive()


@pytest.fixture(scope="module")
def module_site(store: SeaweedFS) -> Iterator[FaultySite]:
    """Archives behind a proxy, which the tests of a module share."""
    site = FaultySite(store)
    yield site
    site.proxy.stop()


@pytest.fixture
def site(module_site: FaultySite) -> FaultySite:
    """Empty archives behind a proxy that spoils nothing yet."""
    module_site.reset()
    return module_site
