"""What the tape API takes, what it refuses, and in which form, on an archive whose files are always on disk."""

import json
from pathlib import Path
from typing import Any

import cherrypy
import pytest
import requests

from tests.support.recalls import DISCOVERY, UNKNOWN, TapeClient, detail_of, tape_service
from tests.support.service import POSIX_TREE, TIMEOUT

JSON = {"Content-Type": "application/json"}
CALLS = ["/stage", "/stage/{0}", "/stage/{0}/cancel", "/release/{0}", "/archiveinfo"]
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
    ({"files": [{"path": "/" + "5" * 4096}]}, "files[0].path"),
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
    ({"paths": ["/" * 4097]}, "paths[0]"),
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
    assert tape.stage(*paths[:20])
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
