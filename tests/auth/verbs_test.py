"""Which verb needs which permission, through HTTP: a table."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest
import requests

from pacifica.archiveinterface.auth.permissions import Permission
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.http.options import HttpOptions
from tests.support.service import POSIX_TREE, Service, serving
from tests.support.users import Users
from tests.support.waiting import TIMEOUT

ALL = [permission.value for permission in Permission]
_ids = count(1000)


@dataclass(frozen=True)
class Case:
    """A request, the permissions that it needs, and the statuses of its answers when it has them, and when not.

    *has_file*: there is a file with the id; *source*: where the file to be moved is, *sends*: the body.
    """

    method: str
    needs: tuple[str, ...]
    status: int
    has_file: bool = True
    source: str = ""
    sends: bytes | None = None
    request_headers: dict[str, str] = field(default_factory=dict)


CASES = {
    "GET": Case("GET", ("read",), 200),
    "GET range": Case("GET", ("read",), 206, request_headers={"Range": "bytes=0-0"}),
    "GET missing": Case("GET", ("read",), 404, has_file=False),
    "HEAD": Case("HEAD", ("stat",), 200),
    "HEAD missing": Case("HEAD", ("stat",), 404, has_file=False),
    "PROPFIND": Case("PROPFIND", ("stat",), 207, request_headers={"Depth": "0"}),
    "PROPFIND missing": Case("PROPFIND", ("stat",), 404, has_file=False, request_headers={"Depth": "0"}),
    "POST": Case("POST", ("stage",), 200),
    "POST missing": Case("POST", ("stage",), 404, has_file=False),
    "PUT new": Case("PUT", ("write",), 201, has_file=False, sends=b"new"),
    "PUT same": Case("PUT", ("write",), 201, sends=b"old"),
    "PUT over": Case("PUT", ("replace",), 201, sends=b"other bytes"),
    "PUT over of the same size": Case("PUT", ("replace",), 201, sends=b"OLD"),
    "PATCH": Case("PATCH", ("move",), 200, has_file=False, source="incoming"),
    "PATCH inside": Case("PATCH", ("move",), 200, has_file=False, source="archive"),
    "PATCH over": Case("PATCH", ("move", "replace"), 200, source="incoming"),
    "DELETE": Case("DELETE", ("delete",), 200),
    "DELETE missing": Case("DELETE", ("delete",), 404, has_file=False),
    "OPTIONS": Case("OPTIONS", (), 200),
}


def name_of(rights: list[str] | tuple[str, ...]) -> str:
    """Return the name of the principal that has these permissions."""
    return "-".join(sorted(rights)) or "none"


def others(*lacking: str) -> list[str]:
    """Return all permissions but these."""
    return [right for right in ALL if right not in lacking]


@dataclass
class Site:
    """A service with users, and the directories of its files and of those to be moved."""

    service: Service
    users: Users
    home: Path

    def send(self, case: Case, name: str) -> tuple[requests.Response, str]:
        """Send a request of *case* as *name*, and return the answer and the id, which no other request has had."""
        file_id = str(next(_ids))
        if case.has_file:
            assert self.request("all", "PUT", file_id, data=b"old").status_code == 201
        path = self._source(case.source)
        if path:
            answer = self.request(name, case.method, file_id, json={"path": path}, headers=case.request_headers)
        else:
            answer = self.request(name, case.method, file_id, data=case.sends, headers=case.request_headers)
        return answer, file_id

    def _source(self, place: str) -> str:
        if place == "archive":
            file_id = str(next(_ids))
            assert self.request("all", "PUT", file_id, data=b"moved").status_code == 201
            return self.service.archive.file(file_id).filepath
        if place:
            (self.home / place / "upload").write_bytes(b"moved")
            return str(self.home / place / "upload")
        return ""

    def request(self, name: str, method: str, file_id: str, **options: object) -> requests.Response:
        """Send a request as the principal *name*."""
        given = options.pop("headers", None) or {}
        assert isinstance(given, dict)
        return self.service.request(method, f"/{file_id}", headers={**given, **self.users.headers(name)}, **options)


def lines() -> Iterator[str]:
    """Yield the lines of the permissions: sets of them, and all of them for some ids."""
    sets = {name_of(case.needs): case.needs for case in CASES.values() if case.needs}
    sets |= {name_of(others(right)): tuple(others(right)) for right in ALL}
    sets |= {right: (right,) for right in ALL}
    sets |= {name_of(others("stat", "read")): tuple(others("stat", "read"))}
    for name, rights in sets.items():
        yield f"{name} = {', '.join(rights)}"
    yield "read-write = read, write"
    yield f"all = {', '.join(ALL)}"
    yield f"elsewhere = {', '.join(ALL)} 0-9"
    yield f"low = {', '.join(ALL)} 0-499999; read, stage"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service with users for each set of permissions."""
    home = tmp_path_factory.mktemp("users")
    (home / "incoming").mkdir()
    (home / "alias").symlink_to(home / "archive", target_is_directory=True)
    permissions = list(lines())
    names = [line.partition(" =")[0] for line in permissions]
    users = Users(home, "\n".join(permissions), [*names, "none"])
    archive = POSIX_TREE.make(
        home / "archive", ArchiveOptions(move_roots=(str(home / "incoming"), str(home / "alias")))
    )
    with serving(archive, http=HttpOptions(head="standard"), auth=users.options) as service:
        yield Site(service, users, home)


@pytest.mark.parametrize("case", CASES)
def test_a_verb_needs_no_more_than_its_permission(site: Site, case: str) -> None:
    answer, _ = site.send(CASES[case], name_of(CASES[case].needs))
    assert answer.status_code == CASES[case].status


@pytest.mark.parametrize("right", ALL)
@pytest.mark.parametrize("case", CASES)
def test_a_verb_is_refused_without_its_permission(site: Site, case: str, right: str) -> None:
    lacking = (right, "read") if right == "stat" else (right,)  # whoever may read may see what the file is
    answer, _ = site.send(CASES[case], name_of(others(*lacking)))
    # The same bytes again are what a client sends whose answer got lost; replacing them by themselves is allowed, too.
    if set(lacking) & set(CASES[case].needs) and not (case == "PUT same" and right == "write"):
        assert answer.status_code == 403
        assert answer.request.method == "HEAD" or answer.json()["message"].endswith(f"the permission {lacking[-1]}")
    else:
        assert answer.status_code == CASES[case].status


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case].needs])
def test_a_verb_is_refused_for_other_ids(site: Site, case: str) -> None:
    answer, _ = site.send(CASES[case], "elsewhere")
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("case", "missing"), [("GET", "GET missing"), ("HEAD", "HEAD missing"), ("POST", "POST missing"),
                          ("PROPFIND", "PROPFIND missing"), ("DELETE", "DELETE missing"), ("PUT over", "PUT new")]
)  # fmt: skip
def test_the_refusal_tells_nothing_of_the_file(site: Site, case: str, missing: str) -> None:
    there, absent = (site.send(CASES[name], "none")[0] for name in (case, missing))
    assert (there.status_code, absent.status_code) == (403, 403)
    assert there.content == absent.content
    volatile = {"X-Request-Id", "Date"}
    assert {k: v for k, v in there.headers.items() if k not in volatile} == {
        k: v for k, v in absent.headers.items() if k not in volatile
    }


def test_a_refused_head_has_the_headers_of_failed_ones(site: Site) -> None:
    answer, _ = site.send(CASES["HEAD"], "none")
    assert answer.headers["X-Pacifica-Messsage"] == "File Not found"
    assert answer.headers["X-Pacifica-File-Storage-Media"] == "File Not Found"


@pytest.mark.parametrize("case", ["PUT over", "PUT over of the same size"])
def test_a_writer_that_may_not_replace_changes_no_file(site: Site, case: str) -> None:
    answer, file_id = site.send(CASES[case], "write")
    assert answer.status_code == 403
    assert answer.json()["message"].endswith("the permission replace")
    assert site.request("all", "GET", file_id).content == b"old"


@pytest.mark.parametrize(("name", "begins"), [("write", b"HTTP/1.1 100"), ("read-write", b"HTTP/1.1 403")])
def test_who_may_not_know_the_size_of_a_file_is_not_told_it_by_an_early_refusal(
    site: Site, name: str, begins: bytes
) -> None:
    assert site.request("all", "PUT", "700000", data=b"four").status_code == 201
    fields = {**site.users.headers(name), "Host": "x", "Content-Length": "5", "Expect": "100-continue"}
    head = "".join(f"{field}: {value}\r\n" for field, value in fields.items())
    with socket.create_connection(("127.0.0.1", site.service.port), TIMEOUT) as connection:
        connection.sendall(f"PUT /700000 HTTP/1.1\r\n{head}\r\n".encode())
        assert connection.recv(12) == begins
        connection.sendall(b"other")


@pytest.mark.parametrize("case", ["PUT over", "PUT new", "PATCH over", "DELETE", "DELETE missing"])
def test_the_time_of_a_file_is_not_told_to_who_may_not_know_it(site: Site, case: str) -> None:
    condition = {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:01 GMT"}
    given = replace(CASES[case], request_headers=condition)
    for rights in (("replace",), ("move", "replace"), ("delete",)):
        assert site.send(given, name_of(rights))[0].status_code == 403
    assert site.send(given, "all")[0].status_code == (
        404 if case == "DELETE missing" else 412 if given.has_file else 201
    )


def test_who_may_replace_alone_makes_no_file(site: Site) -> None:
    answer, file_id = site.send(CASES["PUT new"], "replace")
    assert answer.status_code == 403
    assert answer.json()["message"].endswith("the permission write")
    assert site.request("all", "GET", file_id).status_code == 404


@pytest.mark.parametrize("name", ["write", "replace"])
@pytest.mark.parametrize("condition", ["If-Match", "If-None-Match"])
def test_conditions_of_the_client_hold_as_well(site: Site, name: str, condition: str) -> None:
    case = CASES["PUT new" if (name, condition) == ("write", "If-Match") else "PUT same"]
    changed = Case(case.method, case.needs, 412, case.has_file, sends=case.sends, request_headers={condition: "*"})
    expected = 201 if (name, condition) == ("replace", "If-Match") else 412
    assert site.send(changed, name)[0].status_code == expected


def test_a_file_is_not_moved_away_from_an_id_that_may_not_be_moved(site: Site) -> None:
    assert site.request("all", "PUT", "500000", data=b"high").status_code == 201
    path = site.service.archive.file("500000").filepath
    # The last leads there by one of the directories that files may be moved from.
    for spelled in (path, path.replace("/archive/", "/archive//./"), f"{path}/.", path.replace("/archive/", "/alias/")):
        answer = site.request("low", "PATCH", "499999", json={"path": spelled})
        assert answer.status_code == 403
        assert answer.json()["message"].endswith("the permission move")
    assert site.request("all", "GET", "500000").content == b"high"
    assert site.request("low", "PATCH", "500001", json={"path": path}).status_code == 403


def test_a_file_below_the_prefix_that_has_no_id_needs_the_permission_for_all_files(site: Site) -> None:
    (site.home / "archive" / "upload").write_bytes(b"no id")
    path = str(site.home / "archive" / "upload")
    assert site.request("low", "PATCH", "400000", json={"path": path}).status_code == 403
    assert site.request("all", "PATCH", "400000", json={"path": path}).status_code == 200


def test_a_malformed_id_is_told_to_whoever_may_ask(site: Site) -> None:
    assert site.request("all", "GET", "007").status_code == 400
    assert site.request("none", "GET", "007").status_code == 403


def test_one_of_many_writers_wins_and_the_others_are_told_to_replace(site: Site) -> None:
    def put(number: int) -> int:
        return site.request("write", "PUT", "600000", data=bytes([number])).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(8))) == [201, *[403] * 7]
