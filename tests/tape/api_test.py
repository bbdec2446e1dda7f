"""The tape API through HTTP, on an archive whose files are always on disk."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cherrypy
import pytest
import requests

from pacifica.archiveinterface.tape.options import TapeOptions
from tests.support.recalls import TapeClient, tape_service
from tests.support.service import POSIX_FLAT, POSIX_TREE, TIMEOUT

DISCOVERY = "/.well-known/wlcg-tape-rest-api"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
SPELLINGS = ["/5", "//5", "/5/", "///5//"]
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
]
JSON = {"Content-Type": "application/json"}
CALLS = ["/stage", "/stage/{0}", "/stage/{0}/cancel", "/release/{0}", "/archiveinfo"]


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TapeClient]:
    """A service with two files, and one that is empty."""
    home = tmp_path_factory.mktemp("tape")
    with tape_service(POSIX_TREE.make(home / "archive"), home, most_files=20) as client:
        for file_id, content in ((5, b"content"), (12345, b"content"), (0, b"")):
            assert client.service.request("PUT", f"/{file_id}", data=content).status_code == 201
        yield client


def detail_of(answer: requests.Response, status: int = 400) -> str:
    """Return the detail of a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


@pytest.mark.parametrize("slash", ["", "/"])
def test_discovery_tells_the_url_of_the_api_and_its_limits(tape: TapeClient, slash: str) -> None:
    answer = tape.service.request("GET", DISCOVERY + slash)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    limits = {"maxFilesPerRequest": 20, "minPollSeconds": 0.05, "retentionDays": 14}
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


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_request_is_made_and_polled(tape: TapeClient, slash: str) -> None:
    before = int(time.time())
    made = tape.ask("POST", f"/stage{slash}", {"files": [{"path": "/5"}, {"path": "/12345"}]})
    request = made.json()["requestId"]
    assert (made.status_code, made.json()) == (201, {"requestId": request})
    assert made.headers["Location"] == f"{tape.service.url}/api/v1/stage/{request}"
    polled = tape.ask("GET", f"/stage/{request}{slash}")
    assert (polled.status_code, polled.headers["Content-Type"]) == (200, "application/json")
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
    assert files[path]["error"]
    wrong, right = tape.archiveinfo(path, "/5")
    assert (list(wrong), wrong["path"]) == (["path", "error"], path)
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
    assert tape.ask("POST", "/archiveinfo", content).json() == [{"path": "/5", "locality": "DISK"}]
    assert tape.ask("POST", f"/stage/{request}/cancel", content).status_code == 200
    assert tape.ask("POST", f"/release/{request}", content).status_code == 200


LIFETIMES = [{"diskLifetime": lifetime} for lifetime in ("P1DT2H3M4S", "PT0S", "P2W", "P1Y", None)]
METADATA: list[Any] = [
    None,
    {},
    {"pacifica": {"activity": "T0"}},
    {"default": {"activity": 7, "other": []}},
    {"default": [], "pacifica": 7, "elsewhere": {"x": [{}]}},
]


@pytest.mark.parametrize("fields", [*LIFETIMES, *({"targetedMetadata": one} for one in METADATA), {"x": {"y": 1e400}}])
def test_the_fields_of_a_file(tape: TapeClient, fields: dict[str, Any]) -> None:
    content = json.dumps({"files": [{"path": "/5", **fields}], "unknown": True}).replace("Infinity", "1e400")
    answer = tape.ask("POST", "/stage", data=content, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status_code == 201


FILES: list[tuple[Any, str]] = [
    ([], "the body"),
    (None, "the body"),
    (7, "the body"),
    ("files", "the body"),
    ({}, "files"),
    ({"files": None}, "files"),
    ({"files": []}, "files"),
    ({"files": {}}, "files"),
    ({"files": "/5"}, "files"),
    ({"paths": ["/5"]}, "files"),
    ({"files": ["/5"]}, "files[0]"),
    ({"files": [{"path": "/5"}, None]}, "files[1]"),
    ({"files": [{}]}, "files[0].path"),
    ({"files": [{"path": 5}]}, "files[0].path"),
    ({"files": [{"path": ["/5"]}]}, "files[0].path"),
    ({"files": [{"path": "/5", "diskLifetime": 60}]}, "files[0].diskLifetime"),
    ({"files": [{"path": "/5", "diskLifetime": ""}]}, "files[0].diskLifetime"),
    ({"files": [{"path": "/5", "diskLifetime": "P1"}]}, "files[0].diskLifetime"),
    ({"files": [{"path": "/5", "targetedMetadata": []}]}, "files[0].targetedMetadata"),
    ({"files": [{"path": "/5", "targetedMetadata": "T0"}]}, "files[0].targetedMetadata"),
]
PATHS: list[tuple[Any, str]] = [
    ([], "the body"),
    (None, "the body"),
    ({}, "paths"),
    ({"paths": None}, "paths"),
    ({"paths": []}, "paths"),
    ({"paths": "/5"}, "paths"),
    ({"paths": [5]}, "paths[0]"),
    ({"paths": ["/5", None]}, "paths[1]"),
    ({"paths": [{"path": "/5"}]}, "paths[0]"),
    ({"files": []}, "files"),
    ({"files": [7]}, "files[0]"),
]


@pytest.mark.parametrize(("content", "field"), FILES)
def test_the_detail_names_what_is_wrong_in_a_request(tape: TapeClient, content: Any, field: str) -> None:
    assert detail_of(sent(tape, "/stage", content)).startswith(f"{field} ")


@pytest.mark.parametrize("call", ["/archiveinfo", "/release/x", f"/stage/{UNKNOWN}/cancel"])
@pytest.mark.parametrize(("content", "field"), PATHS)
def test_the_detail_names_what_is_wrong_in_a_list_of_paths(
    tape: TapeClient, call: str, content: Any, field: str
) -> None:
    assert detail_of(sent(tape, call, content)).startswith(f"{field} ")


def sent(tape: TapeClient, call: str, content: Any) -> requests.Response:
    """Send *content* as JSON."""
    # requests would send no body for what is false.
    return tape.ask("POST", call, data=json.dumps(content), headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"files": [{"path": "/5"}]',
        b'{"files": [{"path": "/5"}]} x',
        b"{'files': []}",
        b'{"files": [{"path": "/5"5"}]}',
        b'{"files": [{"path": "\xff"}]}',
        b'{"files": [{"path": "/5", "x": ' + b"[" * 20000 + b"]" * 20000 + b"}]}",
        b"[" * 60000,
        b'{"a":' * 10000,
        b'{"files": ' + b"9" * 10000 + b"}",
    ],
)
@pytest.mark.parametrize("call", ["/stage", "/archiveinfo", "/release/x", f"/stage/{UNKNOWN}/cancel"])
def test_a_body_that_is_not_json_is_refused(tape: TapeClient, call: str, body: bytes) -> None:
    assert detail_of(tape.ask("POST", call, data=body, headers=JSON)) == "the body is not JSON"


def test_a_body_needs_a_length_and_a_type(tape: TapeClient) -> None:
    head = tape.service.raw(b"POST /api/v1/stage HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 411 ")
    assert b"\r\nContent-Type: application/problem+json\r\n" in head
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert detail_of(tape.ask("POST", "/stage", data=b"{}", headers=form), 415) == "send the body as application/json"
    assert tape.ask("POST", "/stage", data=iter([b'{"files": [{"pa', b'th": "/5"}]}']), headers=JSON).status_code == 201


def test_more_than_a_site_takes_is_refused(tape: TapeClient) -> None:
    paths = [f"/{number}" for number in range(21)]
    answer = tape.ask("POST", "/stage", {"files": [{"path": path} for path in paths]})
    assert detail_of(answer, 413) == "a request has at most 20 files"
    assert [file["path"] for file in tape.archiveinfo(*paths)] == paths[:20]
    body = b'{"paths": ["/5"]' + b" " * (1 << 17) + b"}"
    for call in ("/stage", "/archiveinfo", "/release/x", f"/stage/{UNKNOWN}/cancel"):
        assert detail_of(tape.ask("POST", call, data=body, headers=JSON), 413)


def test_too_many_waiting_files_are_refused_for_a_while(prefix: Path, tmp_path: Path) -> None:
    with tape_service(POSIX_TREE.make(prefix), tmp_path, most_waiting=3) as tape:
        answer = tape.ask("POST", "/stage", {"files": [{"path": f"/{number}"} for number in range(4)]})
        assert detail_of(answer, 429)
        assert int(answer.headers["Retry-After"]) > 0
        assert tape.stage("/1", "/2")


@pytest.mark.parametrize("call", CALLS)
def test_another_method_is_405_and_told_which_there_are(tape: TapeClient, call: str) -> None:
    for slash in ("", "/"):
        answer = tape.ask("PATCH", f"{call.format(UNKNOWN)}{slash}", {})
        assert detail_of(answer, 405)
        asked = tape.ask("OPTIONS", f"{call.format(UNKNOWN)}{slash}")
        assert (asked.status_code, asked.headers["Allow"]) == (200, answer.headers["Allow"])
        assert {"OPTIONS"} < set(asked.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v1/", "/api/v1/stages", f"/api/v1/stage/{UNKNOWN}/x", "/.well-known/", "/api/v1/a%2Fb"]
)
def test_what_is_no_page_is_404(tape: TapeClient, path: str) -> None:
    assert detail_of(tape.service.request("GET", path), 404)


@pytest.mark.parametrize("head", [b"Host: a\r\nmalformed\r\n", b"", b"Host: a\r\nContent-Length: x\r\n"])
def test_an_error_that_the_server_finds_has_the_form_of_the_api(tape: TapeClient, head: bytes) -> None:
    for path in (b"/api/v1/stage", DISCOVERY.encode()):
        head_of_answer, _, body = tape.service.raw(b"GET " + path + b" HTTP/1.1\r\n" + head + b"\r\n").partition(
            b"\r\n\r\n"
        )
        assert head_of_answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"\r\nContent-Type: application/problem+json\r\n" in head_of_answer + b"\r\n"
        assert json.loads(body)["status"] == 400


def test_an_error_that_a_site_s_settings_make_has_the_form_of_the_api(prefix: Path, tmp_path: Path) -> None:
    users = cherrypy.lib.auth_basic.checkpassword_dict({"ann": "secret"})
    realm = {"tools.auth_basic.on": True, "tools.auth_basic.realm": "tape", "tools.auth_basic.checkpassword": users}
    with tape_service(POSIX_TREE.make(prefix), tmp_path, settings={"/api": realm}) as tape:
        answer = requests.post(f"{tape.service.url}/api/v1/stage", data=b"{", timeout=TIMEOUT)
        assert answer.json()["title"] == "Unauthorized"
        assert detail_of(answer, 401)
        assert "WWW-Authenticate" in answer.headers
        assert tape.ask("POST", "/stage", {"files": [{"path": "/5"}]}, auth=("ann", "secret")).status_code == 201
