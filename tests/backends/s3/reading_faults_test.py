"""Faults between the service and the store while a file is read: the right bytes, or an error before the last ones."""

import pytest
import requests

from pacifica.archiveinterface.exception import BackendUnavailableError, DamagedFileError, StorageError
from tests.backends.s3.faulty_site import FILE, LARGE, MIB, OLD, SMALL, FaultySite, store_in
from tests.support.s3_faults import answer_body, answer_with, cut_answer, first, lose_answer, refuse, stall_answer
from tests.support.s3_proxy import ALWAYS, Answer, Call
from tests.support.service import serving

CONTENT = SMALL * 30
assert 2 * MIB < len(CONTENT) < 3 * MIB
BLOCK = 100_000  # bytes


def read_all(site: FaultySite) -> bytes:
    """Return what is read of the file."""
    received = bytearray()
    read_into(received, site)
    return bytes(received)


def read_into(received: bytearray, site: FaultySite) -> None:
    """Read the file, and keep in *received* what came before an error."""
    with site.patient.file(FILE).open_reader() as reader:
        while block := reader.read(BLOCK):
            received += block


def check_broken(site: FaultySite, error: type[Exception]) -> None:
    """Fail unless reading ends with *error*, before the last of the right bytes."""
    received = bytearray()
    with pytest.raises(error):
        read_into(received, site)
    assert len(received) < len(CONTENT)
    assert CONTENT.startswith(received)


@pytest.mark.parametrize("after", [0, 1, MIB, len(CONTENT) - 1])
def test_reading_goes_on_where_the_connection_broke(after: int, site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", cut_answer(after))
    assert read_all(site) == CONTENT
    assert site.proxy.calls["GetObject"] == 2


def test_reading_goes_on_as_often_as_bytes_arrive(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", cut_answer(MIB), 1, 2)
    assert read_all(site) == CONTENT
    assert site.proxy.calls["GetObject"] == 3


def test_reading_goes_on_when_the_store_falls_silent(site: FaultySite) -> None:
    impatient = site.archive(attempts=4, read_timeout=1.5)
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", stall_answer(MIB))
    with impatient.file(FILE).open_reader() as reader:
        assert b"".join(iter(lambda: reader.read(BLOCK), b"")) == CONTENT


def test_a_connection_that_broke_does_not_keep_a_reader_from_seeking(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", cut_answer(BLOCK))
    with site.patient.file(FILE).open_reader() as reader:
        assert reader.read(BLOCK // 2) == CONTENT[: BLOCK // 2]
        reader.seek(BLOCK + 5)
        assert b"".join(iter(lambda: reader.read(BLOCK), b"")) == CONTENT[BLOCK + 5 :]


def test_a_file_that_is_replaced_meanwhile_is_not_mixed_with_the_new_one(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", cut_answer(MIB))
    site.proxy.spoil("GetObject", first(lambda: store_in(site.direct, CONTENT[::-1]), Call.forward), 2)
    check_broken(site, StorageError)


def test_a_file_that_is_removed_meanwhile_ends_early(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", cut_answer(MIB))
    site.proxy.spoil("GetObject", first(site.direct.file(FILE).remove, Call.forward), 2)
    check_broken(site, StorageError)


def test_a_store_that_ignores_ranges_is_not_believed(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    whole: list[Answer] = []

    def answer_and_cut(call: Call) -> Answer:
        whole.append(call.forward())
        return whole[0]._replace(body=whole[0].body[:MIB])

    site.proxy.spoil("GetObject", answer_and_cut)
    site.proxy.spoil("GetObject", lambda _: whole[0], 2)
    check_broken(site, StorageError)


def test_a_store_that_ignores_if_match_is_not_believed(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", cut_answer(MIB))
    site.proxy.spoil("GetObject", answer_with(ETag='"0123456789abcdef0123456789abcdef"'), 2)
    check_broken(site, StorageError)


def test_bytes_that_do_not_have_the_checksum_of_the_store_are_not_all_sent(site: FaultySite) -> None:
    store_in(site.direct, CONTENT)
    site.proxy.spoil("GetObject", answer_body(lambda body: body[:-1] + bytes([body[-1] ^ 1])))
    check_broken(site, DamagedFileError)


@pytest.mark.parametrize("call", ["GetObject", "GetNotes"])
def test_a_store_that_is_not_available_fails_before_the_first_byte(call: str, site: FaultySite) -> None:
    store_in(site.hasty, LARGE)
    site.proxy.spoil(call, refuse(503, "ServiceUnavailable"), 1, ALWAYS)
    with pytest.raises(BackendUnavailableError):
        site.hasty.file(FILE).open_reader()


def test_faults_as_clients_see_them(site: FaultySite) -> None:
    with serving(site.patient) as service:
        site.proxy.spoil("CompleteMultipartUpload", lose_answer)
        assert service.request("PUT", "/1", data=LARGE).status_code == 201
        site.proxy.spoil("UploadPart", refuse(503, "SlowDown"), 2, ALWAYS)
        refused = service.request("PUT", "/1", data=SMALL * 60)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
        site.proxy.heal()
        site.proxy.spoil("GetObject", cut_answer(MIB))
        assert service.request("GET", "/1").content == LARGE
        site.proxy.spoil("GetObject", cut_answer(MIB))
        site.proxy.spoil("GetObject", first(lambda: store_in(site.direct, OLD), Call.forward), 2)
        with pytest.raises(requests.RequestException):
            service.request("GET", "/1")
        assert service.request("GET", "/1").content == OLD
