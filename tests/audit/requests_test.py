"""What is in the audit log of a request, before its client has the answer."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from tests.support.audit import NODE, Home, audited_service, home_in, verify
from tests.support.recalls import TapeClient, recalls_of
from tests.support.service import POSIX_FLAT, TIMEOUT, Service
from tests.support.users import Users

OLD, NEW = (f"sha-256={sha256(content).hexdigest()}" for content in (b"old", b"new!"))
# What is of no interest in these tests, or differs from run to run.
OF_THE_CHAIN = {"seq", "time", "node", "previous", "hash", "begun", "request_id"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Where the log is."""
    return home_in(tmp_path)


@pytest.fixture
def service(tmp_path: Path, home: Home) -> Iterator[Service]:
    """A service with nothing stored."""
    with audited_service(tmp_path / "archive", home) as started:
        yield started


def facts(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what *lines* tell but for their places."""
    return [{name: value for name, value in line.items() if name not in OF_THE_CHAIN} for line in lines]


def of(action: str, path: str = "/7", **told: Any) -> dict[str, Any]:
    """Return what a line tells."""
    return {"client": "127.0.0.1", "action": action, "path": path, **told}


def test_each_change_is_written_before_it_is_done_and_with_its_outcome(
    service: Service, home: Home, tmp_path: Path
) -> None:
    source = tmp_path / "archive" / "incoming"
    source.write_bytes(b"moved")
    service.request("PUT", "/7", data=b"old")
    service.request("PUT", "/7", data=b"new!", headers={"X-Request-Id": "mine"})
    service.request("POST", "/7")
    service.request("DELETE", "/7")
    service.request("PATCH", "/7", json={"path": str(source)})
    assert facts(home.told("change")) == [
        of("PUT", id="7", event="change", status=201, change="stored", bytes=3, new_digest=OLD),
        of("PUT", id="7", event="change", status=201, change="replaced", bytes=4, old_digest=OLD, new_digest=NEW),
        of("POST", id="7", event="change", status=200),
        of("DELETE", id="7", event="change", status=200, change="deleted", old_digest=NEW),
        of("PATCH", id="7", event="change", status=200, change="moved", **{"from": str(source)}),
    ]
    begun = home.told("begin")
    assert [line["action"] for line in begun] == ["PUT", "PUT", "POST", "DELETE", "PATCH"]
    assert [line["seq"] for line in begun] == [line["begun"] for line in home.told("change")]
    assert [line["request_id"] for line in home.lines if line["seq"] in (3, 4)] == ["mine", "mine"]
    assert {line["node"] for line in home.lines} == {NODE}


WRONG = f"md5={'A' * 22}=="


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("PUT", {"If-None-Match": "*"}, 412),
        ("DELETE", {"If-Match": '"another"'}, 412),
        ("PUT", {"Digest": WRONG}, 400),
    ],
)
def test_a_change_that_fails_has_its_outcome(
    service: Service, home: Home, method: str, headers: dict[str, str], status: int
) -> None:
    service.request("PUT", "/7", data=b"old")
    service.request(method, "/7", data=b"new!", headers=headers)
    begun, ended = home.lines[-2:]
    assert (begun["event"], ended["event"], ended["status"], ended["begun"]) == (
        "begin",
        "failed",
        status,
        begun["seq"],
    )
    assert ended["reason"]


def test_what_is_denied_or_fails_is_written_with_what_was_tried(tmp_path: Path, home: Home) -> None:
    with audited_service(tmp_path / "archive", home, ArchiveOptions(delete="refuse")) as service:
        service.request("DELETE", "/7")
        service.request("GET", "/404")
        service.request("PUT", "/../etc", data=b"x")
        service.request("GET", "/7/8?byte_range=1-2")
    assert [(line["event"], line["action"], line["path"], line["status"]) for line in home.lines] == [
        ("denied", "DELETE", "/7", 403),
        ("failed", "GET", "/404", 404),
        ("failed", "PUT", "/../etc", 400),
        ("failed", "GET", "/7/8", 400),
    ]


def test_the_user_is_in_the_line_and_how_it_has_logged_in(tmp_path: Path, home: Home) -> None:
    users = Users(tmp_path, "ada = read, write\nbob = write 100-199\n", ["ada", "bob"])
    with audited_service(tmp_path / "archive", home, auth=users.options) as service:
        service.request("PUT", "/7", data=b"old", headers=users.headers("ada"))
        service.request("PUT", "/7", data=b"new!", headers=users.headers("bob"))
        service.request("DELETE", "/7", headers=users.headers("ada"))
        service.request("PUT", "/7", data=b"new!")
        service.request("PUT", "/7", data=b"new!", headers={"Authorization": "Bearer S3CRET"})
    told = [
        (line["event"], line["action"], line["status"], line.get("user"), line.get("how")) for line in home.lines[1:]
    ]
    assert told == [
        ("change", "PUT", 201, "ada", "token"),
        ("denied", "PUT", 403, "bob", "token"),
        ("denied", "DELETE", 403, "ada", "token"),
        ("denied", "PUT", 401, None, None),
        ("denied", "PUT", 401, None, None),
    ]
    assert "S3CRET" not in home.log.read_text()


def test_reads_are_written_if_wanted(tmp_path: Path, home: Home) -> None:
    with audited_service(tmp_path / "archive", home, events=frozenset(("reads",))) as service:
        service.request("PUT", "/7", data=b"old")
        service.request("GET", "/7")
        service.request("HEAD", "/7")
        service.request("GET", "/404")
        service.request("DELETE", "/404")
        service.request("GET", "/-/health")
    assert facts(home.told("read")) == [
        of("GET", event="read", status=200, bytes=3),
        of("HEAD", event="read", status=204, bytes=0),
    ]
    assert [line["action"] for line in home.told("failed")] == ["DELETE"]


def test_requests_of_the_tape_api_are_changes(tmp_path: Path, home: Home) -> None:
    recalls = recalls_of(POSIX_FLAT.make(tmp_path / "archive"), tmp_path)
    with audited_service(tmp_path / "archive", home, recalls=recalls) as service:
        tape = TapeClient(service)
        request = tape.stage("/5", "/6", "/no/file")
        tape.ask("POST", f"/stage/{request}/cancel", {"paths": ["/5"]})
        tape.ask("POST", f"/release/{request}", {"paths": ["/6"]})
        tape.ask("DELETE", f"/stage/{request}")
        tape.ask("DELETE", f"/stage/{request}")
        tape.poll(tape.stage(*(f"/{number}" for number in range(1, 19))))
    told = [(line["event"], line["action"], line.get("request"), line.get("ids")) for line in home.lines]
    assert told[:10] == [
        ("begin", "tape submit", None, ["5", "6"]),
        ("change", "tape submit", request, None),
        ("begin", "tape cancel", request, ["5"]),
        ("change", "tape cancel", request, None),
        ("begin", "tape release", request, ["6"]),
        ("change", "tape release", request, None),
        ("begin", "tape delete", request, None),
        ("change", "tape delete", request, None),
        ("begin", "tape delete", request, None),
        ("failed", "tape delete", request, None),
    ]
    assert len(told) == 12


def test_no_secret_and_no_second_line_comes_from_a_client(
    service: Service, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {
        "Authorization": "Bearer S3CRET",
        "Cookie": "S3CRET",
        "X-Request-Id": "S3CRET!",
        "X-Auth-Token": "S3CRET",
    }
    for path in ("/x%0A%7B%22seq%22%3A%209%7D", "/%E2%80%A8%C2%85", "/%22%2C%20%22user%22%3A%20%22root", "/%7F%00%FF"):
        service.request("PUT", path, data=b"old", headers=secret)
        service.request("GET", f"{path}?access_token=S3CRET", headers=secret)
    content = home.log.read_bytes()
    assert b"S3CRET" not in content
    assert all(32 <= byte < 127 for byte in content.replace(b"\n", b""))
    assert [line["seq"] for line in home.lines] == list(range(1, content.count(b"\n") + 1))
    assert not any("user" in line for line in home.lines)
    assert verify(home, capsys).code == 0
    service.request("PUT", "/%0Aname", data=b"old")
    assert home.lines[-1]["id"] == "\nname"


def test_a_change_is_refused_before_it_is_done_if_it_cannot_be_written(
    service: Service, home: Home, tmp_path: Path
) -> None:
    service.request("PUT", "/7", data=b"old")
    home.directory.rename(tmp_path / "elsewhere")
    (tmp_path / "archive" / "incoming").write_bytes(b"moved")
    moved = {"path": str(tmp_path / "archive" / "incoming")}
    changes: list[tuple[str, dict[str, Any]]] = [
        ("PUT", {"data": b"new!"}),
        ("DELETE", {}),
        ("PATCH", {"json": moved}),
    ]
    for method, options in changes:
        answer = service.request(method, "/7", **options)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True), method
    assert service.request("GET", "/7").content == b"old"
    (tmp_path / "elsewhere").rename(home.directory)
    assert service.request("DELETE", "/7").status_code == 200
    assert [line["event"] for line in home.lines] == ["begin", "change", "begin", "change"]


def test_an_outcome_that_cannot_be_written_is_no_success(
    service: Service, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1 << 12).startswith(b"HTTP/1.1 100")  # it has begun: the body is wanted
        home.directory.rename(tmp_path / "elsewhere")
        connection.sendall(b"old")
        assert connection.recv(1 << 12).startswith(b"HTTP/1.1 503")
    (tmp_path / "elsewhere").rename(home.directory)
    assert service.request("GET", "/7").content == b"old"
    verdict = verify(home, capsys)
    assert verdict == (0, [("no outcome", f"{NODE}.log:1")], verdict.text)


def test_a_read_that_cannot_be_written_is_not_answered(tmp_path: Path, home: Home) -> None:
    with audited_service(tmp_path / "archive", home, events=frozenset(("reads",))) as service:
        service.request("PUT", "/7", data=b"old")
        home.directory.rename(tmp_path / "elsewhere")
        assert service.request("GET", "/7").status_code == 503
        assert service.request("HEAD", "/7").status_code == 503
        assert service.request("GET", "/404").status_code == 404


def test_changes_at_the_same_time_are_each_in_the_log_once(
    service: Service, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: service.request("PUT", f"/{number}", data=b"x"), range(100)))
    assert {answer.status_code for answer in answers} == {201}
    told = [line["request_id"] for line in home.told("change")]
    assert sorted(told) == sorted(answer.headers["X-Request-Id"] for answer in answers)
    assert verify(home, capsys).code == 0
