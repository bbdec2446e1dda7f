"""The store has done what it was asked for, or another client has, and the answer does not say so."""

from threading import Event

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import ABSENT, Precondition
from pacifica.archiveinterface.exception import BackendUnavailableError, MissingFileError, PreconditionError
from tests.backends.s3.faulty_site import FILE, LARGE, OLD, SMALL, FaultySite, Spot, check_room, store_in
from tests.support.s3_faults import (
    answer_body,
    cut_request,
    first,
    lose_answer,
    refuse,
    refuse_afterwards,
)
from tests.support.s3_proxy import ALWAYS, Answer, Call
from tests.support.waiting import TIMEOUT

PUBLISHING = ("PutObject", "CompleteMultipartUpload")
FAILED_AFTERWARDS = refuse_afterwards(500, "InternalError")
UNAVAILABLE = refuse(503, "ServiceUnavailable")
EACH_SIZE = pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])

DONE = {
    "small-lost-answer": Spot(SMALL, "PutObject", lose_answer),
    "small-failed": Spot(SMALL, "PutObject", FAILED_AFTERWARDS),
    "small-without-etag": Spot(SMALL, "PutObject", lambda call: call.forward().without("ETag")),
    "small-without-date": Spot(SMALL, "PutObject", lambda call: call.forward().without("Date")),
    "large-lost-answer": Spot(LARGE, "CompleteMultipartUpload", lose_answer),
    "large-failed": Spot(LARGE, "CompleteMultipartUpload", FAILED_AFTERWARDS),
    "large-garbled": Spot(LARGE, "CompleteMultipartUpload", answer_body(lambda body: body[: len(body) // 2])),
    "large-upload-gone": Spot(LARGE, "CompleteMultipartUpload", refuse_afterwards(404, "NoSuchUpload")),
    "large-conflict": Spot(LARGE, "CompleteMultipartUpload", refuse_afterwards(409, "ConditionalRequestConflict")),
    "large-wrong-etag": Spot(LARGE, "CompleteMultipartUpload", answer_body(lambda body: body.replace(b"&#34;", b"0"))),
}


@pytest.mark.parametrize("spot", DONE.values(), ids=DONE)
def test_what_the_store_has_done_is_found_out(spot: Spot, site: FaultySite) -> None:
    site.proxy.spoil(spot.call, spot.fault)
    store_in(site.hasty, spot.content, ABSENT)
    site.check_stored(spot.content)
    check_room(site.hasty)
    site.check_clean()


@EACH_SIZE
def test_a_lost_answer_that_boto3_asks_for_again_is_found_out(content: bytes, site: FaultySite) -> None:
    for call in PUBLISHING:
        site.proxy.spoil(call, lose_answer)
    store_in(site.patient, content, ABSENT)
    site.check_stored(content)
    site.check_clean()


@EACH_SIZE
def test_a_lost_answer_to_a_conditional_replacement_is_found_out(content: bytes, site: FaultySite) -> None:
    store_in(site.direct, OLD)
    known = Precondition(match=(site.direct.file(FILE).status().etag,))
    for call in PUBLISHING:
        site.proxy.spoil(call, lose_answer)
    store_in(site.patient, content, known)
    site.check_stored(content)
    site.check_clean()


@EACH_SIZE
def test_a_lost_answer_is_found_out_where_nothing_may_be_replaced(content: bytes, site: FaultySite) -> None:
    strict = site.archive(ArchiveOptions(overwrite="refuse"), attempts=2)
    site.proxy.heal()
    for call in PUBLISHING:
        site.proxy.spoil(call, lose_answer)
    store_in(strict, content)
    site.check_stored(content)


def test_a_large_file_keeps_its_digests_when_the_store_goes_silent_after_publishing_it(site: FaultySite) -> None:
    site.proxy.spoil("CompleteMultipartUpload", lose_answer)
    site.proxy.spoil("HeadObject", UNAVAILABLE, 2, ALWAYS)  # the first one asks for what is replaced
    with pytest.raises(BackendUnavailableError):
        store_in(site.hasty, LARGE)
    site.check_stored(LARGE)


def test_a_large_file_that_was_published_needs_no_other_answer(site: FaultySite) -> None:
    silence = first(lambda: site.proxy.spoil("HeadObject", UNAVAILABLE, 1, ALWAYS), Call.forward)
    site.proxy.spoil("CompleteMultipartUpload", silence)
    store_in(site.hasty, LARGE)
    site.check_stored(LARGE)


def test_a_large_file_that_is_published_after_its_failure_keeps_its_digests(site: FaultySite) -> None:
    told, done = Event(), Event()

    def complete_later(call: Call) -> Answer:
        call.send(Answer(504, {"Connection": "close"}, b"", 0))
        told.wait(TIMEOUT)
        call.forward()
        done.set()
        raise ConnectionAbortedError

    site.proxy.spoil("CompleteMultipartUpload", complete_later)
    site.proxy.spoil("AbortMultipartUpload", refuse(404, "NoSuchUpload"))
    with pytest.raises(BackendUnavailableError):
        store_in(site.hasty, LARGE)
    told.set()
    assert done.wait(TIMEOUT)
    site.check_stored(LARGE)


@EACH_SIZE
def test_a_file_stored_in_between_is_not_taken_for_the_own_one(content: bytes, site: FaultySite) -> None:
    for call in PUBLISHING:
        site.proxy.spoil(call, first(lambda: store_in(site.direct, OLD), cut_request()))
    with pytest.raises(PreconditionError):
        store_in(site.patient, content, ABSENT)
    site.check_stored(OLD)
    site.check_clean()


@EACH_SIZE
def test_a_file_removed_in_between_fails_the_condition(content: bytes, site: FaultySite) -> None:
    store_in(site.direct, OLD)
    known = Precondition(match=(site.direct.file(FILE).status().etag,))
    for call in PUBLISHING:  # AWS answers 404 then
        site.proxy.spoil(call, first(site.direct.file(FILE).remove, refuse(404, "NoSuchKey")))
    with pytest.raises(PreconditionError):
        store_in(site.hasty, content, known)
    site.check_clean()


def test_a_lost_answer_to_a_conditional_delete_is_found_out(site: FaultySite) -> None:
    store_in(site.direct, OLD)
    known = Precondition(match=(site.direct.file(FILE).status().etag,))
    site.proxy.spoil("DeleteObject", lose_answer)
    site.patient.file(FILE).remove(known)
    with pytest.raises(MissingFileError):
        site.direct.file(FILE).status()


def test_a_file_that_is_replaced_just_before_a_conditional_delete_stays(site: FaultySite) -> None:
    store_in(site.direct, OLD)
    known = Precondition(match=(site.direct.file(FILE).status().etag,))
    site.proxy.spoil("DeleteObject", first(lambda: store_in(site.direct, SMALL)))
    with pytest.raises(PreconditionError):
        site.hasty.file(FILE).remove(known)
    site.check_stored(SMALL)
