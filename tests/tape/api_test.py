"""The calls of the tape API through HTTP, on an archive whose files are always on disk."""

import time
from pathlib import Path

import pytest

from pacifica.archiveinterface.tape.options import TapeOptions
from tests.support.recalls import DISCOVERY, UNKNOWN, TapeClient, detail_of, tape_service
from tests.support.service import NOT_FOR_READERS, POSIX_FLAT, POSIX_TREE

SPELLINGS = ["/5", "//5", "/5/", "///5//", "/" * 4095 + "5"]
NOT_IDS = [
    "",
    "/",
    "5",
    "/a/b",
    "/5/6",
    "/..",
    "/./5",
    "/05",
    "/+5",
    "/\0",
    "/5\0",
    "/\ud800",
    "/\udc80",
    "/5%20",
    "/x",
    "/X5",
    "/5X",
]


@pytest.mark.parametrize("slash", ["", "/"])
def test_discovery_tells_the_url_of_the_api_and_its_limits(tape: TapeClient, slash: str) -> None:
    answer = tape.service.request("GET", DISCOVERY + slash)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    limits = {"maxFilesPerRequest": 20, "minPollSeconds": 1, "retentionDays": 14}
    endpoint = {"uri": f"{tape.service.url}/api/v1", "version": "v1", "metadata": limits}
    assert answer.json() == {"sitename": "pacifica", "endpoints": [endpoint]}


def test_discovery_tells_the_url_by_which_the_client_came(tape: TapeClient) -> None:
    answer = tape.service.request("GET", DISCOVERY, headers={"Host": 'archive.example.org:80"'})
    assert answer.json()["endpoints"][0]["uri"] == 'http://archive.example.org:80"/api/v1'


@pytest.mark.parametrize(
    ("public_url", "uri", "path"),
    [
        ("https://archive.example.org/", "https://archive.example.org/api/v1", "/5"),
        ("https://example.org:8443/archive", "https://example.org:8443/archive/api/v1", "//archive/5/"),
        ("https://example.org:8443/archive", "https://example.org:8443/archive/api/v1", "/5"),
    ],
)
def test_a_site_may_say_what_clients_see(prefix: Path, tmp_path: Path, public_url: str, uri: str, path: str) -> None:
    options = TapeOptions(sitename="Ada's", public_url=public_url.rstrip("/"))
    with tape_service(POSIX_TREE.make(prefix), tmp_path, options) as tape:
        tape.service.request("PUT", "/5", data=b"content")
        found = tape.service.request("GET", DISCOVERY).json()
        assert (found["sitename"], found["endpoints"][0]["uri"]) == ("Ada's", uri)
        answer = tape.ask("POST", "/stage/", {"files": [{"path": path}]})
        assert answer.headers["Location"] == f"{uri}/stage/{answer.json()['requestId']}"
        assert tape.states(answer.json()["requestId"]) == {path: "COMPLETED"}
        assert "error" in tape.archiveinfo("/archive5")[0]


def test_a_site_may_have_the_reverse_proxy_say_what_clients_see(prefix: Path, tmp_path: Path) -> None:
    settings = {"/": {"tools.proxy.on": True}}
    with tape_service(POSIX_TREE.make(prefix), tmp_path, settings=settings) as tape:
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "archive.example.org"}
        found = tape.service.request("GET", DISCOVERY, headers=forwarded).json()
        assert found["endpoints"][0]["uri"] == "https://archive.example.org/api/v1"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_request_is_made_and_polled(tape: TapeClient, slash: str) -> None:
    before = int(time.time())
    made = tape.ask("POST", f"/stage{slash}", {"files": [{"path": "/5"}, {"path": "/12345"}]})
    request = made.json()["requestId"]
    assert (made.status_code, made.reason, made.json()) == (201, "Created", {"requestId": request})
    assert made.headers["Location"] == f"{tape.service.url}/api/v1/stage/{request}"
    polled = tape.ask("GET", f"/stage/{request}{slash}")
    assert (polled.status_code, polled.headers["Content-Type"]) == (200, "application/json")
    assert polled.headers["Cache-Control"] == "no-store"
    content = polled.json()
    assert list(content) == ["id", "createdAt", "startedAt", "completedAt", "nextSince", "files"]
    assert content["id"] == request
    for file, path in zip(content["files"], ["/5", "/12345"], strict=True):
        assert list(file) == ["path", "state", "startedAt", "finishedAt"]
        assert (file["path"], file["state"]) == (path, "COMPLETED")
    for moment in (content["createdAt"], content["completedAt"], content["files"][0]["finishedAt"]):
        assert isinstance(moment, int)
        assert before <= moment <= time.time()


def test_paths_are_echoed_as_they_came(tape: TapeClient) -> None:
    request = tape.stage(*SPELLINGS)
    assert tape.states(request) == dict.fromkeys(SPELLINGS, "COMPLETED")
    assert tape.archiveinfo(*SPELLINGS) == [{"path": path, "locality": "DISK"} for path in SPELLINGS]
    assert tape.call(f"/stage/{request}/cancel", ["//5//"]) == 200


def test_a_path_that_came_twice_is_answered_once(tape: TapeClient) -> None:
    assert list(tape.files(tape.stage("/5", "/12345", "/5"))) == ["/5", "/12345"]
    assert [file["path"] for file in tape.archiveinfo("/5", "/77", "/5")] == ["/5", "/77"]


@pytest.mark.parametrize("path", NOT_IDS)
def test_a_path_that_is_no_id_fails_for_itself(tape: TapeClient, path: str) -> None:
    request = tape.stage(path, "/5")
    files = tape.files(request)
    assert (files[path]["state"], files["/5"]["state"]) == ("FAILED", "COMPLETED")
    wrong, right = tape.archiveinfo(path, "/5")
    assert wrong == {"path": path, "error": files[path]["error"]}
    assert wrong["error"].startswith("a ")
    assert not NOT_FOR_READERS.search(wrong["error"])
    assert right == {"path": "/5", "locality": "DISK"}
    assert tape.call(f"/stage/{request}/cancel", [path]) == 200
    assert tape.call(f"/release/{request}", [path]) == 200


@pytest.mark.parametrize("name", ["\ud800", ".partial", "a/b", "x" * 256])
def test_what_cannot_be_the_name_of_a_file_fails_for_itself(prefix: Path, tmp_path: Path, name: str) -> None:
    with tape_service(POSIX_FLAT.make(prefix), tmp_path) as tape:
        tape.service.request("PUT", "/h%C3%A9", data=b"content")
        assert tape.states(tape.stage(f"/{name}", "/hé")) == {f"/{name}": "FAILED", "/hé": "COMPLETED"}


def test_a_file_that_does_not_exist_fails_for_itself(tape: TapeClient) -> None:
    files = tape.files(tape.stage("/77", "/5"))
    assert (files["/77"]["state"], files["/5"]["state"]) == ("FAILED", "COMPLETED")
    assert files["/77"]["error"] == "no such file in the archive"
    assert tape.archiveinfo("/77") == [{"path": "/77", "error": "no such file in the archive"}]


def test_an_empty_file_is_there(tape: TapeClient) -> None:
    assert tape.states(tape.stage("/0")) == {"/0": "COMPLETED"}
    assert tape.archiveinfo("/0") == [{"path": "/0", "locality": "NONE"}]


def test_a_poll_may_ask_for_what_has_changed(tape: TapeClient) -> None:
    request = tape.stage("/5", "/77")
    content = tape.poll(request)
    assert content["nextSince"] < time.time()
    for since, count in ((0, 2), (content["nextSince"], 2), (content["createdAt"], 2), (time.time() + 60, 0)):
        found = tape.ask("GET", f"/stage/{request}?since={since}").json()
        assert len(found["files"]) == count, since
        assert {**found, "files": [], "nextSince": 0} == {**content, "files": [], "nextSince": 0}


@pytest.mark.parametrize("since", ["", "x", "-1", "1e3", "nan", "inf", "0x1", "1 ", "9" * 400, "1&since=2", "%FF"])
def test_a_malformed_since_is_refused(tape: TapeClient, since: str) -> None:
    assert detail_of(tape.ask("GET", f"/stage/{tape.stage('/5')}?since={since}"))


@pytest.mark.parametrize("path", [DISCOVERY, "/api/v1/stage/{0}"])
def test_head_answers_as_get_without_a_body(tape: TapeClient, path: str) -> None:
    path = path.format(tape.stage("/5"))
    got, headed = tape.service.request("GET", path), tape.service.request("HEAD", path)
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["Content-Length"] == str(len(got.content))


def test_a_deleted_request_is_gone(tape: TapeClient) -> None:
    request = tape.stage("/5")
    answer = tape.ask("DELETE", f"/stage/{request}/")
    assert (answer.status_code, answer.content) == (200, b"")
    for method in ("GET", "HEAD", "DELETE"):
        assert tape.ask(method, f"/stage/{request}").status_code == 404
    assert tape.call(f"/stage/{request}/cancel", ["/5"]) == 404


def test_to_cancel_what_has_ended_changes_nothing(tape: TapeClient) -> None:
    request = tape.stage("/5", "/77")
    before = tape.files(request)
    assert tape.call(f"/stage/{request}/cancel/", ["/5", "/77"]) == 200
    assert tape.files(request) == before


@pytest.mark.parametrize("path", ["/6", "/x", ""])
def test_to_cancel_a_file_that_is_not_in_the_request_is_refused(tape: TapeClient, path: str) -> None:
    answer = tape.ask("POST", f"/stage/{tape.stage('/5')}/cancel", {"paths": ["/5", path]})
    assert detail_of(answer) == f"File missing from stage request: {path!r}"


@pytest.mark.parametrize("request_id", [UNKNOWN, "gfal2-placeholder-id", "%00", "%FF", "x" * 3000, "%F0%9F%90%8D", "*"])
def test_a_request_need_not_exist_for_a_release_only(tape: TapeClient, request_id: str) -> None:
    assert tape.call(f"/release/{request_id}", ["/5", "/77", "/x"]) == 200
    assert tape.call(f"/release/{request_id}/", ["/5"]) == 200
    assert detail_of(tape.ask("GET", f"/stage/{request_id}"), 404)
    assert detail_of(tape.ask("DELETE", f"/stage/{request_id}"), 404)
    assert detail_of(tape.ask("POST", f"/stage/{request_id}/cancel", {"paths": ["/5"]}), 404)


def test_paths_may_be_given_as_files(tape: TapeClient) -> None:
    request = tape.stage("/5")
    content = {"files": [{"path": "/5"}]}
    for other in ({}, {"paths": ["/12345"]}):
        [told] = tape.ask("POST", "/archiveinfo", {**content, **other}).json()
        assert told == {"path": "/12345" if other else "/5", "locality": "DISK"}
    assert tape.ask("POST", f"/stage/{request}/cancel", content).status_code == 200
    assert tape.ask("POST", f"/release/{request}", content).status_code == 200
