"""GET and HEAD of whole objects, of which boto3's client makes only the calls that are repeated."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.s3.calls.client import client_of, session_of
from pacifica.archiveinterface.backends.s3.options import S3Options
from pacifica.archiveinterface.exception import BackendUnavailableError, MissingFileError
from tests.backends.s3.faulty_site import FILE, SMALL, FaultySite, store_in
from tests.backends.s3.support import archive_on
from tests.support.s3_faults import refuse
from tests.support.s3_proxy import ALWAYS, Answer, Call, Fault
from tests.support.seaweedfs import SeaweedFS

_DESCRIPTION = Answer(200, {"ETag": '"0"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, b"", 1)
_BOTO3 = "amz-sdk-request"  # a header field of its client


def noting(calls: list[Call], fault: Fault) -> Fault:
    """Return *fault*, with which the *calls* are kept."""

    def fault_noted(call: Call) -> Answer:
        calls.append(call)
        return fault(call)

    return fault_noted


@pytest.mark.parametrize("status", [301, 400, 403, 500, 503])
def test_the_client_repeats_a_call_that_is_refused(status: int, site: FaultySite) -> None:
    store_in(site.direct, SMALL)
    calls: list[Call] = []
    site.proxy.spoil("GetObject", noting(calls, refuse(status, "Refused")))
    site.proxy.spoil("GetObject", noting(calls, Call.forward), 2, 2)
    for _ in range(2):
        with site.patient.file(FILE).open_reader() as reader:
            assert reader.read(len(SMALL)) == SMALL
    assert [_BOTO3 in call.headers for call in calls] == [False, True, False]


@pytest.mark.parametrize(
    ("attempts", "name"), [(1, "GetObject"), (2, "GetObject"), (1, "HeadObject"), (2, "HeadObject")]
)
def test_a_call_is_tried_as_often_as_the_option_says(attempts: int, name: str, site: FaultySite) -> None:
    archive = site.hasty if attempts == 1 else site.patient
    site.proxy.spoil(name, refuse(503, "ServiceUnavailable"), 1, ALWAYS)
    act: Callable[[], object] = archive.file(FILE).open_reader if name == "GetObject" else archive.file(FILE).status
    with pytest.raises(BackendUnavailableError):
        act()
    assert site.proxy.calls == {name: attempts}


def test_a_file_that_is_not_there_is_asked_for_once(site: FaultySite) -> None:
    for act in (site.patient.file(FILE).open_reader, site.patient.file(FILE).status):
        with pytest.raises(MissingFileError):
            act()
    assert site.proxy.calls == {"GetObject": 1, "HeadObject": 1}


@pytest.mark.parametrize(("style", "host"), [("path", "store.example"), ("virtual", "bucket.store.example")])
def test_a_call_goes_through_the_proxy_of_the_site_to_where_the_bucket_is_named(
    style: str, host: str, site: FaultySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.endpoint)
    calls: list[Call] = []
    site.proxy.spoil("HeadObject", noting(calls, lambda _: _DESCRIPTION))
    url = "http://store.example"
    archive = archive_on(site, "s3://bucket/files", attempts=1, endpoint_url=url, addressing_style=style)
    assert archive.file("7").residency().is_online
    assert [call.headers["Host"] for call in calls] == [host]


def test_a_session_token_is_sent_and_signed(site: FaultySite, store: SeaweedFS, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(f"{store.write_credentials().read_text()}aws_session_token = a-token\n")
    calls: list[Call] = []
    site.proxy.spoil("HeadObject", noting(calls, lambda _: _DESCRIPTION))
    archive_on(site, site.prefix, credentials_file=str(credentials), attempts=1).file("7").residency()
    assert [call.headers["X-Amz-Security-Token"] for call in calls] == ["a-token"]
    assert "x-amz-security-token" in calls[0].headers["Authorization"]


@pytest.mark.parametrize("path", ["a b", "ä/%41+~", "a//b"])
def test_a_path_may_have_any_characters(path: str, site: FaultySite, store: SeaweedFS) -> None:
    archive = archive_on(site, f"{site.prefix}/{path}", attempts=1)
    store_in(archive, SMALL)
    with archive.file(FILE).open_reader() as reader:
        assert reader.read(len(SMALL)) == SMALL


def test_a_client_that_was_let_go_is_made_again(site: FaultySite) -> None:
    first, *others = (S3Options(endpoint_url=site.proxy.endpoint, attempts=attempts) for attempts in range(1, 12))
    client_of(first)
    for options in others:
        client_of(options)
        session_of(first)
    assert client_of(first).meta.endpoint_url == site.proxy.endpoint
