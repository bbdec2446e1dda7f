"""The calls of the tape API on each kind of storage, by a service as a site runs it."""

from collections.abc import Iterator

import pytest

from tests.support.recalls import TapeClient
from tests.support.service import Client
from tests.support.waiting import await_true
from tests.tape.sites import Site, hpss_site, hsm_site, posix_site

CONTENT = b"content" * 1000


@pytest.fixture(scope="module", params=[posix_site, hpss_site, hsm_site], ids=["POSIX", "HPSS", "Oracle HSM"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service on each kind of archive in turn."""
    with request.param(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="module")
def tape(site: Site) -> TapeClient:
    """A client of the service."""
    return TapeClient(Client(int(site.url.rpartition(":")[2])))


def store(site: Site, tape: TapeClient, *file_ids: str) -> None:
    """Store files and leave them on tape only, where there is one."""
    for file_id in file_ids:
        assert tape.service.request("PUT", f"/{file_id}", data=CONTENT).status_code == 201
        site.to_tape(file_id)


def test_many_files_are_recalled_once_by_two_requests(site: Site, tape: TapeClient) -> None:
    store(site, tape, "11", "12", "13")
    before, after = ("TAPE", "DISK_AND_TAPE") if site.has_tape else ("DISK", "DISK")
    paths = ["/11", "//12", "/13/"]
    assert [file["locality"] for file in tape.archiveinfo(*paths)] == [before] * 3
    recalls = site.recalls()
    first, second = tape.stage(*paths, "/404", "/a/b"), tape.stage("/12", "/13")
    states = {path: file["state"] for path, file in tape.ended(first).items()}
    assert states == {"/11": "COMPLETED", "//12": "COMPLETED", "/13/": "COMPLETED", "/404": "FAILED", "/a/b": "FAILED"}
    assert {file["state"] for file in tape.ended(second).values()} == {"COMPLETED"}
    assert site.recalls() - recalls == (3 if site.has_tape else 0)
    # The database of Oracle HSM may tell of the copies later.
    await_true(lambda: [file["locality"] for file in tape.archiveinfo(*paths)] == [after] * 3)
    for path in ("/11", "/12", "/13"):
        assert tape.service.request("GET", path).content == CONTENT


def test_files_are_cancelled_released_and_forgotten(site: Site, tape: TapeClient) -> None:
    store(site, tape, "21", "22")
    request = tape.stage("/21", "/22")
    assert tape.call(f"/stage/{request}/cancel", ["/21", "/23"]) == 400
    assert tape.call(f"/stage/{request}/cancel", ["/21"]) == 200
    files = tape.ended(request)
    # The recall may have ended before.
    assert files["/21"]["state"] in ("CANCELLED", "COMPLETED")
    assert files["/22"]["state"] == "COMPLETED"
    assert not any("error" in file for file in files.values())
    assert tape.call(f"/release/{request}", ["/21", "/22", "/23"]) == 200
    assert tape.ask("DELETE", f"/stage/{request}").status_code == 200
    assert tape.ask("GET", f"/stage/{request}").status_code == 404


def test_files_that_are_not_there_and_empty_ones(site: Site, tape: TapeClient) -> None:
    assert tape.service.request("PUT", "/31", data=b"").status_code == 201
    assert tape.archiveinfo("/31", "/404", "/x") == [
        {"path": "/31", "locality": "NONE"},
        {"path": "/404", "error": "no such file in the archive"},
        {"path": "/x", "error": tape.archiveinfo("/x")[0]["error"]},
    ]
    assert {path: file["state"] for path, file in tape.ended(tape.stage("/31")).items()} == {"/31": "COMPLETED"}
