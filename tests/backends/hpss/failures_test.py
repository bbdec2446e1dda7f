"""What each way of HPSS to fail looks like to a client: a status for each, and nothing lost."""

import hashlib
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import requests

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from tests.backends.hpss.conftest import ServeHpss
from tests.backends.hpss.support import assert_all_is_closed, wait_for_a_hanging_call
from tests.hpss_simulator import Simulator
from tests.support.service import Service

OLD = b"the old content"
NEW = os.urandom(200_000)


class Case(NamedTuple):
    """A failure, what a client then asks, and what it is answered."""

    group: str
    failures: list[str]
    method: str
    status: int
    hpss: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        return f"{self.group}-{'+'.join(self.failures)}-{self.method}"


CASES = [
    Case("login", ["hpss_SetLoginCred * rc=HPSS_EPERM"], "GET", 503),
    Case("login", ["hpss_SetLoginCred * rc=HPSS_ENOENT"], "GET", 503),
    Case("login", ["hpss_SetLoginCred * rc=HPSS_EACCES"], "HEAD", 503),
    Case("login", ["hpss_SetLoginCred * rc=HPSS_SEC_ENOT_AUTHORIZED"], "PUT", 503),
    Case("login", [], "GET", 503, {"user": "nobody"}),
    Case("login", [], "GET", 503, {"auth": "/no/such/keytab"}),
    Case("core server", ["* * rc=HPSS_ECONN"], "GET", 503),
    Case("core server", ["* * rc=-111"], "PUT", 503),
    Case("core server", ["hpss_Stat * rc=HPSS_ECONN"], "HEAD", 503),
    Case("core server", ["hpss_Unlink * rc=HPSS_ECONN"], "DELETE", 503),
    Case("core server", ["hpss_Rename * rc=HPSS_ECONN"], "PUT", 503),
    Case("core server", ["hpss_Utime * rc=HPSS_ETIMEDOUT"], "PUT", 503),
    Case("core server", ["hpss_LookupRootCS * rc=HPSS_ENOENT"], "GET", 503),
    Case("core server", [], "GET", 503, {"sitename": "elsewhere"}),
    Case("core server", ["hpss_PingCore * delay=0.3"], "GET", 503, {"accept_latency": 0.1}),
    Case("core server", ["hpss_PingCore * skew=-86400"], "GET", 200),
    Case("core server", ["hpss_PingCore * skew=86400"], "GET", 200),
    Case("core server", ["hpss_Write * rc=HPSS_ECONN at=70000"], "PUT", 503),
    Case("busy", ["hpss_Stat * rc=HPSS_EBUSY busy times=2"], "GET", 200),
    Case("busy", ["hpss_Stat * rc=HPSS_EBUSY busy"], "GET", 503),
    Case("busy", ["hpss_Open * rc=HPSS_EAGAIN"], "PUT", 503),
    Case("busy", ["hpss_FileGetXAttributes * rc=HPSS_EAGAIN"], "HEAD", 503),
    Case("tape", ["hpss_Open * rc=-115"], "GET", 503),
    Case("space", ["hpss_Write * rc=HPSS_ENOSPACE at=70000"], "PUT", 507),
    Case("space", ["hpss_Write * rc=HPSS_EDQUOT"], "PUT", 507),
    Case("space", ["hpss_Write * rc=-122"], "PUT", 507),
    Case("space", ["hpss_Open * rc=HPSS_EINVAL"], "PUT", 413),
    Case("space", ["hpss_Write * rc=HPSS_EFBIG"], "PUT", 413),
    Case("i/o", ["hpss_Read * short=1000"], "GET", 200),
    Case("i/o", ["hpss_Write * short=10000"], "PUT", 201),
    Case("i/o", ["hpss_Write * short=0"], "PUT", 500),
    Case("i/o", ["hpss_Write * rc=HPSS_EINTR"], "PUT", 503),
    Case("i/o", ["hpss_Write * rc=HPSS_EIO at=70000"], "PUT", 500),
    Case("i/o", ["hpss_Close * rc=HPSS_EIO"], "PUT", 500),
    Case("i/o", ["hpss_Close * rc=HPSS_ECONN"], "PUT", 503),
    Case("i/o", ["hpss_Close * rc=HPSS_EIO"], "GET", 200),
    Case("i/o", ["* * lag"], "PUT", 201),
    Case("i/o", ["hpss_Open * rc=HPSS_EIO"], "GET", 500),
    Case("name space", ["hpss_Mkdir * rc=HPSS_EEXIST after"], "PUT", 201),
    Case("name space", ["hpss_FileGetXAttributes * rc=HPSS_ENOENT"], "GET", 404),
    Case("name space", ["hpss_Open * rc=HPSS_ENOENT"], "GET", 404),
    Case("name space", ["hpss_Open * rc=HPSS_EACCES"], "GET", 500),
    Case("name space", ["hpss_Rename * rc=HPSS_EPERM"], "PUT", 500),
    Case("name space", ["hpss_Rename * rc=-36"], "PUT", 400),
    Case("name space", ["hpss_Rename * rc=HPSS_ENAMETOOLONG"], "PUT", 400),
    Case("name space", ["hpss_Rename * rc=-39"], "PUT", 500),
    Case("name space", ["hpss_Rename * rc=HPSS_ENOTEMPTY"], "PUT", 500),
    Case("name space", ["hpss_Rename */file.50 rc=HPSS_EXDEV"], "PATCH", 200),
    Case("name space", ["hpss_Rename * rc=HPSS_ECONN"], "PATCH", 503),
    Case("name space", ["hpss_Open * rc=HPSS_EMFILE"], "GET", 503),
    Case("name space", ["hpss_Open * rc=HPSS_EMFILE"], "PUT", 503),
    Case("attributes", ["hpss_UserAttrSetAttrs * rc=HPSS_ENOENT"], "PUT", 201),
    Case("attributes", ["hpss_UserAttrSetAttrs * rc=HPSS_ENOSPACE"], "PUT", 201),
    Case("process", ["hpss_Stat * hang"], "HEAD", 503, {"metadata_timeout": 2}),
]


def ask(service: Service, method: str) -> requests.Response:
    if method == "PATCH":
        path = service.archive.file("80").filepath
        return service.request("PATCH", "/12345", json={"path": path})
    return service.request(method, "/12345", data=NEW if method == "PUT" else None)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_failure_has_its_status_and_loses_nothing(serve_hpss: ServeHpss, simulator: Simulator, case: Case) -> None:
    healthy = serve_hpss()
    assert healthy.request("PUT", "/12345", data=OLD).status_code == 201
    assert healthy.request("PUT", "/80", data=NEW).status_code == 201
    service = serve_hpss(case.hpss)
    simulator.inject(*case.failures)
    answer = ask(service, case.method)
    simulator.inject()
    assert answer.status_code == case.status
    if case.status == 200 and case.method == "GET":
        assert answer.content == OLD
    if case.status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    if case.status >= 400 and case.method != "HEAD":
        assert "total_bytes" not in answer.json()
    replaced = case.method in ("PUT", "PATCH") and case.status < 400
    assert healthy.request("GET", "/12345").content == (NEW if replaced else OLD)
    assert healthy.request("GET", "/80").status_code == (404 if case.method == "PATCH" and replaced else 200)
    assert_all_is_closed(simulator)


def test_every_case_recovers_by_itself(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    service.request("PUT", "/12345", data=OLD)
    for failures in ("hpss_SetLoginCred * rc=HPSS_EACCES", "* * rc=HPSS_ECONN", "hpss_Stat * rc=HPSS_EBUSY"):
        simulator.expire()
        simulator.inject(failures)
        assert service.request("GET", "/12345").status_code == 503
        simulator.inject()
        assert service.request("GET", "/12345").content == OLD


@pytest.mark.parametrize("failure", ["rc=HPSS_ECONN at=70000", "rc=HPSS_EIO at=70000", "hang skip=1"])
def test_a_read_that_fails_half_way_breaks_the_connection(
    serve_hpss: ServeHpss, simulator: Simulator, failure: str
) -> None:
    service = serve_hpss({"call_timeout": 2})
    service.request("PUT", "/7", data=NEW)
    simulator.inject(f"hpss_Read * {failure}")
    with pytest.raises(requests.RequestException):
        service.request("GET", "/7")
    simulator.inject()
    assert service.request("GET", "/7").content == NEW
    assert_all_is_closed(simulator)


def test_a_hanging_call_holds_up_nobody_else(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"metadata_timeout": 2})
    service.request("PUT", "/7", data=OLD)
    service.request("PUT", "/80", data=NEW)
    simulator.inject("hpss_Stat */file.7 hang")
    assert service.request("HEAD", "/7").status_code == 503
    wait_for_a_hanging_call(simulator)
    assert service.request("GET", "/80").content == NEW
    simulator.inject()


def test_a_byte_that_hpss_corrupts_is_told_by_the_checksum(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    simulator.inject("hpss_Write * corrupt=3 times=1")
    service.request("PUT", "/7", data=OLD)
    shown = simulator.show(service.archive.file("7").filepath)
    assert service.request("GET", "/7").content != OLD
    assert shown["/hpss/user/cksum/checksum"] == hashlib.md5(OLD).hexdigest()


@pytest.mark.parametrize(
    "spoil",
    [
        "hpss_UserAttrGetAttrs * xml",
        "hpss_UserAttrGetAttrs * longer=100000",
        "hpss_UserAttrGetAttrs * text=Invalid",
        "hpss_UserAttrGetAttrs * rc=HPSS_ENOENT",
    ],
)
def test_the_same_bytes_are_known_with_or_without_a_checksum(
    serve_hpss: ServeHpss, simulator: Simulator, spoil: str
) -> None:
    service = serve_hpss(archive=ArchiveOptions(overwrite="refuse"))
    service.request("PUT", "/7", data=OLD)
    simulator.inject(spoil)
    assert service.request("PUT", "/7", data=OLD).status_code == 201
    assert service.request("PUT", "/7", data=OLD[::-1]).status_code == 409
    assert service.request("GET", "/7").content == OLD


def test_an_upload_larger_than_its_class_takes_is_413(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"cos_id": 8})
    service.request("PUT", "/7", data=OLD)
    assert service.request("PUT", "/7", data=bytes(1 << 21)).status_code == 413
    assert service.request("GET", "/7").content == OLD


def test_a_full_archive_is_507(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    service.request("PUT", "/7", data=OLD)
    simulator.set("space", 100_000)
    assert service.request("PUT", "/7", data=NEW).status_code == 507
    assert service.request("GET", "/7").content == OLD
    assert service.request("PUT", "/8", data=OLD).status_code == 201


@pytest.mark.parametrize("flavour", ["9.3"])
@pytest.mark.parametrize(
    ("method", "overwrite"),
    [("PUT", "replace"), ("PUT", "refuse"), ("PATCH", "replace"), ("PATCH", "refuse"), ("DELETE", "replace")],
)
def test_a_core_server_that_dies_at_any_call_loses_nothing(
    serve_hpss: ServeHpss, simulator: Simulator, method: str, overwrite: str
) -> None:
    service = serve_hpss(archive=ArchiveOptions(overwrite=overwrite))
    healthy = serve_hpss()
    for calls_before in range(100):
        healthy.request("DELETE", "/12345")
        if method == "DELETE" or overwrite == "replace":
            healthy.request("PUT", "/12345", data=OLD)
        healthy.request("PUT", "/80", data=NEW)
        before = healthy.request("GET", "/12345")
        assert_all_is_closed(simulator)
        simulator.inject(f"* * rc=HPSS_ECONN skip={calls_before} id={calls_before}")
        answer = ask(service, method)
        simulator.inject()
        after = healthy.request("GET", "/12345")
        if answer.status_code < 300:
            break
        assert answer.status_code == 503
        whole = [(before.status_code, before.content)]
        if overwrite == "refuse":
            whole.append((200, NEW))  # it had its place when the server died, and nobody could take it back
        found = (after.status_code, after.content) in whole  # a diff of such bytes would take minutes
        assert found, f"after {calls_before} calls /12345 is neither the old file nor the new one"
        assert healthy.request("GET", "/80").content == NEW
    assert calls_before > 2
    assert after.status_code == (404 if method == "DELETE" else 200)
