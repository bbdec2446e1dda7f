"""Faults between the service and the store while a file is sent: it is stored whole, or all is as it was."""

import pytest

from pacifica.archiveinterface.backends.abstract.precondition import ABSENT
from pacifica.archiveinterface.exception import BackendUnavailableError, StorageBusyError
from tests.backends.s3.faulty_site import LARGE, MIB, OLD, SMALL, FaultySite, Spot, check_room, store_in
from tests.support.s3_faults import (
    answer_body,
    answer_with,
    cut_request,
    hang,
    hang_afterwards,
    lose_answer,
    refuse,
    rewrite,
    shift_clock,
)
from tests.support.s3_proxy import ALWAYS

CUT, CUT_LATER = cut_request(), cut_request(MIB)
UNAVAILABLE = refuse(503, "ServiceUnavailable")
SLOW_DOWN = refuse(503, "SlowDown")
FAILED = refuse(500, "InternalError")
CONFLICT = refuse(409, "ConditionalRequestConflict")
UPLOAD_GONE = refuse(404, "NoSuchUpload")
# Complete can answer 200 before it is done, and say in the body that it has failed.
FAILED_IN_BODY = rewrite(200, b"<Error><Code>InternalError</Code><Message>try again</Message></Error>")

MENDED = {
    "small-cut": Spot(SMALL, "PutObject", CUT),
    "small-cut-later": Spot(SMALL, "PutObject", cut_request(50_000)),
    "small-failed": Spot(SMALL, "PutObject", FAILED),
    "small-slow-down": Spot(SMALL, "PutObject", SLOW_DOWN),
    "create-cut": Spot(LARGE, "CreateMultipartUpload", CUT),
    "create-lost-answer": Spot(LARGE, "CreateMultipartUpload", lose_answer),
    "part-1-cut": Spot(LARGE, "UploadPart", CUT_LATER),
    "part-2-lost-answer": Spot(LARGE, "UploadPart", lose_answer, 2),
    "part-3-slow-down": Spot(LARGE, "UploadPart", SLOW_DOWN, 3),
    "notes-lost-answer": Spot(LARGE, "PutNotes", lose_answer),
    "complete-cut": Spot(LARGE, "CompleteMultipartUpload", CUT),
    "complete-unavailable": Spot(LARGE, "CompleteMultipartUpload", UNAVAILABLE),
    "complete-failed-in-body": Spot(LARGE, "CompleteMultipartUpload", FAILED_IN_BODY),
}


@pytest.mark.parametrize("spot", MENDED.values(), ids=MENDED)
def test_a_fault_that_passes_is_mended(spot: Spot, site: FaultySite) -> None:
    site.proxy.spoil(spot.call, spot.fault, spot.number)
    store_in(site.patient, spot.content)
    assert site.proxy.calls[spot.call] > spot.number  # it was tried again
    site.check_stored(spot.content)
    check_room(site.patient)
    site.check_clean()


LASTING = {
    "small-cut": Spot(SMALL, "PutObject", CUT),
    "small-unavailable": Spot(SMALL, "PutObject", UNAVAILABLE),
    "small-bad-digest": Spot(SMALL, "PutObject", refuse(400, "BadDigest")),
    "small-conflict": Spot(SMALL, "PutObject", CONFLICT),
    "small-skewed": Spot(SMALL, "PutObject", shift_clock),
    "create-slow-down": Spot(LARGE, "CreateMultipartUpload", SLOW_DOWN),
    "create-lost-answer": Spot(LARGE, "CreateMultipartUpload", lose_answer),
    "create-garbled": Spot(LARGE, "CreateMultipartUpload", answer_body(lambda body: body[: len(body) // 2])),
    "create-empty": Spot(LARGE, "CreateMultipartUpload", answer_body(lambda _: b"")),
    "part-1-cut": Spot(LARGE, "UploadPart", CUT_LATER),
    "part-2-failed": Spot(LARGE, "UploadPart", FAILED, 2),
    "part-2-wrong-etag": Spot(LARGE, "UploadPart", answer_with(ETag='"0123456789abcdef0123456789abcdef"'), 2),
    "part-3-lost-answer": Spot(LARGE, "UploadPart", lose_answer, 3),
    "part-3-upload-gone": Spot(LARGE, "UploadPart", UPLOAD_GONE, 3),
    "notes-cut": Spot(LARGE, "PutNotes", CUT),
    "notes-lost-answer": Spot(LARGE, "PutNotes", lose_answer),
    "complete-cut": Spot(LARGE, "CompleteMultipartUpload", CUT),
    "complete-slow-down": Spot(LARGE, "CompleteMultipartUpload", SLOW_DOWN),
    "complete-failed-in-body": Spot(LARGE, "CompleteMultipartUpload", FAILED_IN_BODY),
    "complete-conflict": Spot(LARGE, "CompleteMultipartUpload", CONFLICT),
    "complete-upload-gone": Spot(LARGE, "CompleteMultipartUpload", UPLOAD_GONE),
}


@pytest.mark.parametrize("spot", LASTING.values(), ids=LASTING)
def test_a_fault_that_lasts_leaves_the_old_content(spot: Spot, site: FaultySite) -> None:
    store_in(site.direct, OLD)
    site.proxy.spoil(spot.call, spot.fault, spot.number, ALWAYS)
    with pytest.raises(BackendUnavailableError):
        store_in(site.hasty, spot.content)
    site.check_stored(OLD)
    site.proxy.heal()
    check_room(site.hasty)
    site.check_clean()


def test_a_store_that_asks_for_fewer_requests_is_busy(site: FaultySite) -> None:
    site.proxy.spoil("PutObject", SLOW_DOWN)
    with pytest.raises(StorageBusyError):
        store_in(site.hasty, SMALL)


def test_what_cannot_be_tidied_up_after_a_failure_does_not_hide_it(site: FaultySite) -> None:
    site.proxy.spoil("CompleteMultipartUpload", SLOW_DOWN)
    for call in ("AbortMultipartUpload", "DeleteNotes"):
        site.proxy.spoil(call, refuse(403, "AccessDenied"))
    with pytest.raises(StorageBusyError):
        store_in(site.hasty, LARGE)
    check_room(site.hasty)
    site.check_clean()


def test_a_call_that_is_not_answered_in_time_is_tried_again(site: FaultySite) -> None:
    impatient = site.archive(attempts=4, read_timeout=1.5)
    site.proxy.heal()
    site.proxy.spoil("UploadPart", hang, 2)
    site.proxy.spoil("CompleteMultipartUpload", hang_afterwards)
    store_in(impatient, LARGE, ABSENT)
    site.check_stored(LARGE)
    site.check_clean()


def test_a_large_file_removes_the_notes_that_older_ones_have_left(site: FaultySite) -> None:
    later = site.archive(abandoned_seconds=0)
    for content in (LARGE, SMALL):  # a small file is stored without a look at what it replaces
        store_in(later, content)
    store_in(later, LARGE)
    site.check_nothing_is_left()
    site.check_stored(LARGE)


def test_a_sweep_that_the_store_refuses_does_not_keep_the_service_from_starting(
    site: FaultySite, caplog: pytest.LogCaptureFixture
) -> None:
    site.proxy.spoil("ListMultipartUploads", refuse(403, "AccessDenied"))
    site.hasty.sweep()
    assert "AccessDenied" in caplog.text
