"""POST, PATCH, DELETE, OPTIONS, and what every verb does with hostile paths."""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive, PosixFile
from pacifica.archiveinterface.http.options import HttpOptions
from tests.conftest import Serve
from tests.support.service import (
    EACH_LAYOUT,
    HSM_SIDEBAND,
    ONCE,
    POSIX_TREE,
    TIMEOUT,
    Backend,
    Service,
    serving,
    tree_of,
)

JSON = {"Content-Type": "application/json"}
ALL_VERBS = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]


@pytest.fixture
def incoming(prefix: Path) -> Path:
    """A file below the prefix that waits to be moved in."""
    source = prefix / "incoming" / "upload"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"moved")
    return source


def test_staging_a_file_on_disk(service: Service) -> None:
    service.request("PUT", "/12345", data=b"x")
    answer = service.request("POST", "/12345")
    assert answer.status_code == 200
    assert answer.json() == {"file": "/12345", "message": "File was staged"}


class _FileOnTape(PosixFile):
    """Is on tape, and its recall takes its time."""

    def is_online(self) -> bool:
        """Return False."""
        return False

    def stage(self) -> bool:
        """Return False: the recall has just begun."""
        self.status()
        return False


class _OnTape(PosixBackendArchive):
    """Every file is on tape."""

    file_type = _FileOnTape


def test_staging_a_file_on_tape(prefix: Path) -> None:
    prefix.mkdir()
    with serving(_OnTape(str(prefix))) as service:
        service.request("PUT", "/12345", data=b"x")
        answer = service.request("POST", "/12345")
        assert (answer.status_code, answer.headers["Retry-After"]) == (202, "30")
        assert answer.json() == {"file": "/12345", "message": "File is being staged"}
        assert service.request("POST", "/404").status_code == 404
        answer = service.request("GET", "/12345")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


@ONCE
def test_a_path_may_come_in_pieces_and_be_as_long_as_the_limit(incoming: Path, service: Service) -> None:
    text = json.dumps({"path": str(incoming)}).encode()
    too_long = service.request("PATCH", "/7", data=text.ljust((1 << 16) + 1), headers=JSON)
    assert too_long.status_code == 413
    pieces = (text.ljust(1 << 16)[start : start + 1000] for start in range(0, 1 << 16, 1000))
    assert service.request("PATCH", "/7", data=pieces, headers=JSON).status_code == 200


@ONCE
def test_a_post_may_carry_a_body(service: Service) -> None:
    service.request("PUT", "/7", data=b"x")
    assert service.request("POST", "/7", data=b"y" * 100_000).status_code == 200
    assert service.request("POST", "//7", data=(b"y" for _ in range(10))).json()["file"] == "/7"


def test_moving_a_file_in(incoming: Path, service: Service) -> None:
    answer = service.request("PATCH", "/7", json={"path": str(incoming)})
    assert answer.status_code == 200
    assert answer.json() == {"message": "File Moved Successfully"}
    assert service.request("GET", "/7").content == b"moved"
    assert not incoming.exists()
    assert os.stat(service.archive.file("7").filepath).st_mode & 0o777 == 0o444


def test_a_moved_file_keeps_its_modification_time(incoming: Path, service: Service) -> None:
    os.utime(incoming, (1473806059, 1473806059))
    service.request("PATCH", "/7", json={"path": str(incoming)})
    assert float(service.request("HEAD", "/7").headers["Last-Modified"]) == 1473806059


def test_an_archived_file_moves_to_another_id(service: Service) -> None:
    service.request("PUT", "/7", data=b"bytes")
    source = service.request("HEAD", "/7").headers["X-Pacifica-File"]
    assert service.request("PATCH", "/80000", json={"path": source}).status_code == 200
    assert service.request("GET", "/80000").content == b"bytes"
    assert service.request("GET", "/7").status_code == 404


def test_a_file_moves_onto_itself_and_stays(service: Service) -> None:
    service.request("PUT", "/7", data=b"bytes")
    source = service.request("HEAD", "/7").headers["X-Pacifica-File"]
    assert service.request("PATCH", "/7", json={"path": source}).status_code == 200
    assert service.request("GET", "/7").content == b"bytes"


def test_a_second_link_of_the_target_moves_onto_it(incoming: Path, service: Service) -> None:
    service.request("PATCH", "/7", json={"path": str(incoming)})
    os.link(service.archive.file("7").filepath, incoming)
    assert service.request("PATCH", "/7", json={"path": str(incoming)}).status_code == 200
    assert service.request("GET", "/7").content == b"moved"
    assert not incoming.exists()


@pytest.mark.parametrize("condition", [{"If-None-Match": "*"}, {"If-Match": '"other"'}])
def test_a_move_keeps_its_conditions(incoming: Path, service: Service, condition: dict[str, str]) -> None:
    service.request("PUT", "/7", data=b"old")
    assert service.request("PATCH", "/7", json={"path": str(incoming)}, headers=condition).status_code == 412
    assert service.request("GET", "/7").content == b"old"
    assert incoming.read_bytes() == b"moved"


def test_refused_overwriting_holds_for_moves(incoming: Path, serve: Serve) -> None:
    service = serve(archive=ArchiveOptions(overwrite="refuse"))
    service.request("PUT", "/7", data=b"old")
    assert service.request("PATCH", "/7", json={"path": str(incoming)}).status_code == 409
    assert service.request("GET", "/7").content == b"old"
    assert incoming.read_bytes() == b"moved"
    assert incoming.stat().st_mode & 0o777 != 0o444


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (ArchiveOptions(read_only=True), {"PUT", "PATCH", "DELETE"}),
        (ArchiveOptions(delete="refuse"), {"DELETE"}),
        (ArchiveOptions(), set()),
    ],
)
def test_what_the_site_does_not_allow_is_forbidden(
    incoming: Path, serve: Serve, options: ArchiveOptions, refused: set[str]
) -> None:
    serve().request("PUT", "/7", data=b"stored")
    service = serve(archive=options)
    answers = {
        "GET": service.request("GET", "/7"),
        "HEAD": service.request("HEAD", "/7"),
        "POST": service.request("POST", "/7"),
        "PATCH": service.request("PATCH", "/8", json={"path": str(incoming)}),
        "PUT": service.request("PUT", "/9", data=b"new"),
        "DELETE": service.request("DELETE", "/7"),
    }
    assert {verb for verb, answer in answers.items() if answer.status_code == 403} == refused
    assert all(answer.ok for verb, answer in answers.items() if verb not in refused)
    assert service.request("GET", "/7").status_code == (200 if "DELETE" in refused else 404)
    assert incoming.exists() is ("PATCH" in refused)


@pytest.fixture
def other_file_system() -> Path:
    """A directory on another file system than the archive."""
    shm = Path("/dev/shm")
    root = shm / f"archive-test-{os.getpid()}"
    root.mkdir(exist_ok=True)
    return root


def test_a_file_moves_across_file_systems(serve: Serve, prefix: Path, other_file_system: Path) -> None:
    service = serve(archive=ArchiveOptions(move_roots=(str(other_file_system),)))
    assert prefix.stat().st_dev != other_file_system.stat().st_dev
    source = other_file_system / "upload"
    content = os.urandom(3_000_000)
    source.write_bytes(content)
    os.utime(source, (1473806059, 1473806059))
    assert service.request("PATCH", "/7", json={"path": str(source)}).status_code == 200
    assert service.request("GET", "/7").content == content
    assert float(service.request("HEAD", "/7").headers["Last-Modified"]) == 1473806059
    assert os.stat(service.archive.file("7").filepath).st_mode & 0o777 == 0o444
    assert not source.exists()


def test_a_refused_move_across_file_systems_leaves_both(serve: Serve, other_file_system: Path, prefix: Path) -> None:
    service = serve(archive=ArchiveOptions(move_roots=(str(other_file_system),), overwrite="refuse"))
    source = other_file_system / "upload"
    source.write_bytes(b"moved")
    service.request("PUT", "/7", data=b"stored")
    before = tree_of(prefix)
    assert service.request("PATCH", "/7", json={"path": str(source)}).status_code == 409
    assert source.read_bytes() == b"moved"
    assert tree_of(prefix) == before
    source.unlink()


def test_a_place_outside_is_forbidden_until_it_is_named(serve: Serve, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "upload").write_bytes(b"x")
    closed, open_ = serve(), serve(archive=ArchiveOptions(move_roots=(str(outside),)))
    assert closed.request("PATCH", "/7", json={"path": str(outside / "upload")}).status_code == 403
    assert (outside / "upload").exists()
    assert open_.request("PATCH", "/7", json={"path": str(outside / "upload")}).status_code == 200


@pytest.mark.parametrize("link", ["incoming/link", "linked/upload"])
def test_a_source_behind_a_symbolic_link_is_forbidden(
    incoming: Path, service: Service, prefix: Path, tmp_path: Path, link: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "upload").write_bytes(b"secret")
    (prefix / "incoming" / "link").symlink_to(secret / "upload")
    (prefix / "linked").symlink_to(secret)
    answer = service.request("PATCH", "/7", json={"path": str(prefix / link)})
    assert answer.status_code == 403
    assert str(secret) not in answer.text
    assert (secret / "upload").read_bytes() == b"secret"


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_a_source_that_is_no_file_is_refused(service: Service, prefix: Path, kind: str) -> None:
    source = prefix / "source"
    source.mkdir() if kind == "directory" else os.mkfifo(source)
    assert service.request("PATCH", "/7", json={"path": str(source)}).status_code == 400
    assert source.exists()


def test_an_upload_in_flight_cannot_be_moved(service: Service, prefix: Path) -> None:
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha")
        while not (partial := list((prefix / ".partial").glob("*"))):
            time.sleep(0.01)
        assert service.request("PATCH", "/8", json={"path": str(partial[0])}).status_code == 403
        connection.sendall(b"lf")
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"path": "/x"}', "text/plain", 415),
        (b'{"path": "/x"}', None, 415),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"file": "/x"}', "application/json", 400),
        (b'{"path": 5}', "application/json", 400),
        (b'{"path": "\\ud800"}', "application/json", 400),
        (b'{"path": "/x\\u0000"}', "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"path": "/%s"}' % (b"x" * 70_000), "application/json; charset=utf-8", 413),
        (b"", "application/json", 400),
    ],
)
@ONCE
def test_a_move_with_a_wrong_body(service: Service, body: bytes, content_type: str | None, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = service.request("PATCH", "/7", data=body, headers={**headers, "Content-Length": str(len(body))})
    assert answer.status_code == status
    assert answer.json()["status"].startswith(f"{status} ")


@ONCE
def test_a_move_without_a_body_is_refused(service: Service) -> None:
    assert b" 411 " in service.raw(b"PATCH /7 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n")


def test_deleting(service: Service) -> None:
    service.request("PUT", "/7", data=b"x")
    answer = service.request("DELETE", "/7")
    assert answer.status_code == 200
    assert answer.json() == {"message": "File deleted"}
    assert service.request("GET", "/7").status_code == 404
    assert service.request("DELETE", "/7").status_code == 404


def test_deleting_keeps_its_conditions(service: Service) -> None:
    tag = service.request("PUT", "/7", data=b"x").headers["ETag"]
    assert service.request("DELETE", "/7", headers={"If-Match": '"other"'}).status_code == 412
    assert service.request("DELETE", "/7", headers={"If-Match": tag}).status_code == 200


@ONCE
def test_options_and_unknown_methods_tell_what_is_allowed(service: Service) -> None:
    assert service.request("OPTIONS", "/7").headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    assert service.request("OPTIONS", "/").headers["Allow"] == "GET, HEAD, OPTIONS"


@ONCE
def test_an_answer_without_a_body_has_no_type(service: Service) -> None:
    answer = service.request("OPTIONS", "/7")
    assert "Content-Type" not in answer.headers
    assert (answer.content, answer.reason) == (b"", "OK")
    for path in ("/7", "/"):
        answer = service.request("BREW", path)
        assert answer.status_code == 405
        assert "GET" in answer.headers["Allow"]
        assert answer.json()["status"].startswith("405 ")


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@ONCE
def test_the_root_is_no_file(service: Service, prefix: Path, method: str) -> None:
    answer = service.request(method, "/", data=b"{}", headers=JSON)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert tree_of(prefix) == {}


HOSTILE = [
    "/.", "/..", "/../", "/../secret", "/../../etc/passwd", "/a/../../secret", "/./1", "/1/.", "/1/..", "/1/", "/1//",
    "/1/2", "/1//2", "//1/2", "//../secret", "///..", "/..%2fsecret", "/..%2Fsecret", "/%2e%2e/secret",
    "/%2e%2e%2fsecret", "//[::1/2",
    "/%2F1", "/%2Fetc%2Fpasswd", "/1%2F", "/1%2f2", "/%2e", "/.partial", "/.partial/x", "/%2epartial", "/.hidden",
    "/%00", "/1%00", "/%001", "/1%00.txt", "/..\\..%5c/secret", "/" + "9" * 300, "/" + "x" * 256,
    "/" + "x" * 5000, "/" + "%C3%A9" * 128, "/%ff%fe", "/%c0%ae%c0%ae/secret", "/..;/secret", "/..%252f/secret",
    "/1;/../2",
    "/etc/passwd", "//etc/passwd", "/__class__/x", "/GET/1", "/archive/prefix", "/_archive/prefix/x",
]  # fmt: skip
BAD_IDS = [
    "/-1", "/+1", "/007", "/0x10", "/1_0", "/1e3", "/1.0", "/ 1", "/1 ", "/%201", "/1%20", "/%D9%A7", "/%EF%BC%97",
    "/9223372036854775808", "/99999999999999999999", "/seven", "/1%0d%0aX:1", "/exposed", "/GET", "/1;2", "/1&2",
    "/~", "//[",
]  # fmt: skip


def assert_refused_everywhere(service: Service, prefix: Path, path: str) -> None:
    """Send *path* with every verb; nothing may be answered but 400, nor anything be read, made or changed."""
    outside = prefix.parent / "secret"
    outside.write_bytes(b"secret")
    service.request("PUT", "/1", data=b"one")
    source = prefix / "upload"
    source.write_bytes(b"source")
    before = tree_of(prefix.parent)
    patch = json.dumps({"path": str(source)}).encode()
    for verb in ALL_VERBS:
        answer = service.request(verb, path, data=patch if verb in ("PUT", "PATCH", "POST") else None, headers=JSON)
        if verb != "OPTIONS":
            assert answer.status_code == 400, (verb, path, answer.text)
        if verb not in ("HEAD", "OPTIONS"):
            assert answer.json()["status"] == "400 Bad Request"
        assert b"secret" not in answer.content or path.encode() in answer.content
        assert str(prefix.parent) not in answer.text
    assert tree_of(prefix.parent) == before


@pytest.mark.parametrize("path", HOSTILE)
@EACH_LAYOUT
def test_a_hostile_path_is_refused_by_every_verb(service: Service, prefix: Path, path: str) -> None:
    assert_refused_everywhere(service, prefix, path)


@pytest.mark.parametrize("path", BAD_IDS)
@EACH_LAYOUT
def test_what_is_no_canonical_id_is_refused_where_ids_are_mapped(
    backend: Backend, service: Service, prefix: Path, path: str
) -> None:
    if service.archive.use_id2filename:
        assert_refused_everywhere(service, prefix, path)
    else:
        # A plain name: stored under just that name and no other.
        answer = service.request("PUT", path, data=b"x")
        assert answer.status_code == 201
        assert [child.read_bytes() for child in prefix.iterdir() if child.is_file()] == [b"x"]
        assert "\n" not in service.request("HEAD", path).headers["X-Pacifica-File"]


def assert_link_is_refused(service: Service, secret: Path) -> None:
    """Try to read and write file 12345, which a link makes *secret*."""
    secret.write_bytes(b"secret")
    for verb in ("GET", "HEAD", "POST"):
        answer = service.request(verb, "/12345")
        assert answer.status_code == 403
        assert b"secret" not in answer.content
    assert service.request("PUT", "/12345", data=b"x").status_code in (403, 409)
    assert secret.read_bytes() == b"secret"


def test_a_link_in_the_place_of_a_file_is_not_followed(service: Service, tmp_path: Path) -> None:
    place = Path(service.archive.file("12345").filepath)
    place.parent.mkdir(parents=True, exist_ok=True)
    for target in (tmp_path, tmp_path / "nowhere", "/dev/null", tmp_path / "secret"):
        place.unlink(missing_ok=True)
        place.symlink_to(target)
        assert_link_is_refused(service, tmp_path / "secret")


# HPSS follows such a link by itself; only the owner of its directories can make one.
@pytest.mark.parametrize("backend", [POSIX_TREE, HSM_SIDEBAND], ids=str, indirect=True)
def test_a_link_in_the_place_of_a_directory_is_not_followed(service: Service, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    Path(service.archive.file("12345").filepath).parent.symlink_to(outside)
    assert_link_is_refused(service, outside / "3039")


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_file_is_not_served(service: Service, kind: str) -> None:
    place = Path(service.archive.file("12345").filepath)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir() if kind == "directory" else os.mkfifo(place)
    for verb in ("GET", "HEAD", "POST"):
        assert service.request(verb, "/12345").status_code == 404
    for verb in ("PUT", "DELETE"):
        assert service.request(verb, "/12345", data=b"x").status_code == 409
    assert place.exists()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nbroken header\r\n\r\n",
        b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
@ONCE
def test_errors_of_the_protocol_are_json_too(service: Service, request_bytes: bytes) -> None:
    head, _, body = service.raw(request_bytes).partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert 400 <= status < 600
    assert b"application/json" in head
    assert json.loads(body)["status"].startswith(str(status))


@ONCE
def test_the_rest_of_a_refused_body_is_never_taken_for_a_request(service: Service) -> None:
    smuggled = b"DELETE /7 HTTP/1.1\r\nHost: a\r\n\r\n"
    service.request("PUT", "/7", data=b"stays")
    body = smuggled * 2_000_000  # more than is drained
    service.raw(b"PUT /.. HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection, suppress(OSError):
        connection.sendall(b"PUT /.. HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert service.request("GET", "/7").content == b"stays"


def test_errors_hide_the_server_and_carry_a_request_id(backend: Backend, prefix: Path) -> None:
    archive = backend.make(prefix)
    with serving(archive) as service:
        service.request("PUT", "/7", data=b"x")
        vars(archive).clear()  # the service's own fault
        answer = service.request("GET", "/7")
    assert answer.status_code == 500
    assert answer.json()["traceback"] == ""
    assert str(prefix) not in answer.text
    assert "AttributeError" not in answer.text
    assert answer.json()["message"].split()[-1] == answer.headers["X-Request-Id"]


@ONCE
def test_tracebacks_are_shown_on_demand(backend: Backend, prefix: Path) -> None:
    with serving(backend.make(prefix), http=HttpOptions(show_tracebacks=True)) as service:
        answer = service.request("GET", "/404")
    assert answer.json()["traceback"].startswith("Traceback ")


def test_16_clients_on_different_ids(service: Service) -> None:
    contents = {number: os.urandom(100_000 + number) for number in range(16)}

    def round_trip(number: int) -> bool:
        service.request("PUT", f"/{number}", data=contents[number])
        return service.request("GET", f"/{number}").content == contents[number]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, contents))
    assert all(service.request("GET", f"/{number}").content == contents[number] for number in contents)


def test_16_clients_on_one_id(service: Service) -> None:
    contents = [bytes([number]) * (100_000 + number) for number in range(16)]

    def round_trip(content: bytes) -> bool:
        stored = service.request("PUT", "/7", data=content)
        return stored.json()["total_bytes"] == str(len(content)) and service.request("GET", "/7").content in contents

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, contents))
    assert service.request("GET", "/7").content in contents
