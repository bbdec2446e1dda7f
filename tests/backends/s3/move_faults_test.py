"""PATCH while calls to the store fail: a move that broke off lost nothing, and the same request again completes it."""

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import ABSENT
from pacifica.archiveinterface.backends.conformance import fails_with, get
from pacifica.archiveinterface.backends.s3.archive import S3BackendArchive
from pacifica.archiveinterface.exception import BackendUnavailableError, MissingFileError
from tests.backends.s3.faulty_site import FILE, LARGE, MIB, OLD, SMALL, FaultySite, Spot, store_in
from tests.support.s3_faults import cut_request, first, lose_answer
from tests.support.s3_proxy import ALWAYS

SOURCE = "2"
CUT = cut_request()


def archives(site: FaultySite) -> dict[str, S3BackendArchive]:
    """Return archives behind the proxy that copy LARGE in parts, by how they are."""
    refusing = ArchiveOptions(overwrite="refuse")
    return {
        "hasty": site.archive(copy_size=5 * MIB),
        "patient": site.archive(copy_size=5 * MIB, attempts=2),
        "refusing": site.archive(refusing, copy_size=5 * MIB),
    }


@pytest.fixture(scope="module")
def module_archives(module_site: FaultySite) -> dict[str, S3BackendArchive]:
    """The archives, which have checked the store."""
    return archives(module_site)


@pytest.fixture
def hasty(site: FaultySite, module_archives: dict[str, S3BackendArchive]) -> S3BackendArchive:
    """Tries each call once."""
    return module_archives["hasty"]


@pytest.fixture
def patient(site: FaultySite, module_archives: dict[str, S3BackendArchive]) -> S3BackendArchive:
    """Tries each call twice."""
    return module_archives["patient"]


def source_with(site: FaultySite, content: bytes) -> str:
    """Store *content* as another file, and return its path."""
    store_in(site.direct, content)
    site.direct.patch(SOURCE, site.direct.file(FILE).filepath)
    return site.direct.file(SOURCE).filepath


def check_moved(site: FaultySite, content: bytes) -> None:
    """Fail unless the file has *content* and its source is gone."""
    site.check_stored(content)
    with fails_with(MissingFileError):
        site.direct.file(SOURCE).status()
    site.check_clean()


BROKEN = {
    "small-copy": Spot(SMALL, "CopyObject", CUT),
    "small-delete": Spot(SMALL, "DeleteObject", CUT),
    "large-begin": Spot(LARGE, "CreateMultipartUpload", CUT),
    "large-part": Spot(LARGE, "UploadPartCopy", CUT, 2),
    "large-notes": Spot(LARGE, "PutNotes", CUT),
    "large-complete": Spot(LARGE, "CompleteMultipartUpload", CUT),
    "large-delete": Spot(LARGE, "DeleteObject", CUT),
}


@pytest.mark.parametrize("spot", BROKEN.values(), ids=BROKEN)
def test_a_move_that_broke_off_is_completed_by_the_next(spot: Spot, site: FaultySite, hasty: S3BackendArchive) -> None:
    source = source_with(site, spot.content)
    store_in(site.direct, OLD)
    site.proxy.spoil(spot.call, spot.fault, spot.number)
    with fails_with(BackendUnavailableError):
        hasty.patch(FILE, source)
    assert get(site.direct, FILE) in (OLD, spot.content)
    assert get(site.direct, SOURCE) == spot.content
    site.proxy.heal()
    hasty.patch(FILE, source)
    check_moved(site, spot.content)


def test_a_move_of_which_the_store_does_not_tell_the_end_is_completed_by_the_next(
    site: FaultySite, hasty: S3BackendArchive
) -> None:
    source = source_with(site, SMALL)
    site.proxy.spoil("CopyObject", lose_answer)
    site.proxy.spoil("HeadObject", CUT, 2, ALWAYS)  # the first one asks for the source
    with fails_with(BackendUnavailableError):
        hasty.patch(FILE, source)
    assert [get(site.direct, file_id) for file_id in (FILE, SOURCE)] == [SMALL, SMALL]
    site.proxy.heal()
    hasty.patch(FILE, source)
    check_moved(site, SMALL)


def test_a_move_is_completed_where_nothing_may_be_replaced(
    site: FaultySite, module_archives: dict[str, S3BackendArchive]
) -> None:
    source = source_with(site, SMALL)
    site.proxy.spoil("DeleteObject", CUT)
    with fails_with(BackendUnavailableError):
        module_archives["refusing"].patch(FILE, source)
    module_archives["refusing"].patch(FILE, source)
    check_moved(site, SMALL)


DONE = {
    "small-copy": Spot(SMALL, "CopyObject", lose_answer),
    "large-part": Spot(LARGE, "UploadPartCopy", lose_answer),
    "large-complete": Spot(LARGE, "CompleteMultipartUpload", lose_answer),
    "large-delete": Spot(LARGE, "DeleteObject", lose_answer),
}


@pytest.mark.parametrize("spot", DONE.values(), ids=DONE)
def test_a_lost_answer_is_found_out(spot: Spot, site: FaultySite, patient: S3BackendArchive) -> None:
    source = source_with(site, spot.content)
    site.proxy.spoil(spot.call, spot.fault)
    patient.patch(FILE, source, ABSENT)
    check_moved(site, spot.content)


def test_an_object_that_replaces_the_source_after_the_copy_stays(site: FaultySite, hasty: S3BackendArchive) -> None:
    source = source_with(site, SMALL)

    def replace() -> None:
        with site.direct.file(SOURCE).open_writer() as writer:
            writer.write(b"another object")

    site.proxy.spoil("DeleteObject", first(replace))
    hasty.patch(FILE, source)
    site.check_stored(SMALL)
    assert get(site.direct, SOURCE) == b"another object"
