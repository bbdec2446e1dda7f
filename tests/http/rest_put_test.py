"""PUT: what is stored, what is refused, and what is left behind (nothing)."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.precondition import Precondition
from tests.conftest import Serve
from tests.support.service import ONCE, TIMEOUT, Backend, Service, serving, stored_files, tree_of


def head(service: Service, path: str = "/7") -> dict[str, str]:
    """Return the status headers of the file."""
    answer = service.request("HEAD", path)
    assert answer.status_code == 204
    return dict(answer.headers)


def test_the_answer_has_the_documented_words(service: Service) -> None:
    answer = service.request("PUT", "/7", data=b"x" * 24)
    assert answer.status_code == 201
    assert answer.json() == {"message": "File added to archive", "total_bytes": "24"}
    assert answer.headers["ETag"] == service.request("GET", "/7").headers["ETag"]


@pytest.mark.parametrize("size", [0, 1, 262143, 262144, 262145, 3_000_000])
def test_bytes_come_back(service: Service, size: int) -> None:
    content = os.urandom(size)
    assert service.request("PUT", "/7", data=content, headers={"Content-Length": str(size)}).status_code == 201
    assert service.request("GET", "/7").content == content


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""])
@ONCE
def test_the_body_is_never_parsed(service: Service, content_type: str) -> None:
    service.request("PUT", "/7", data=b"a=1&b=%00", headers={"Content-Type": content_type})
    assert service.request("GET", "/7").content == b"a=1&b=%00"


def chunks(content: bytes, size: int) -> Iterator[bytes]:
    """Yield *content* piece by piece, which makes the client send it chunked."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def test_chunked_bodies_are_taken(service: Service) -> None:
    content = os.urandom(1_000_000)
    answer = service.request("PUT", "/7", data=chunks(content, 65536))
    assert answer.json()["total_bytes"] == "1000000"
    assert service.request("GET", "/7").content == content


@pytest.mark.parametrize("size", [1000, 1_500_000])
@ONCE
def test_chunks_may_be_of_any_size(service: Service, size: int) -> None:
    content = os.urandom(3_000_000)
    assert service.request("PUT", "/7", data=chunks(content, size)).json()["total_bytes"] == "3000000"
    assert service.request("GET", "/7").content == content


@ONCE
def test_a_connection_serves_again_after_a_chunked_body(service: Service) -> None:
    request = b"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
    answers = service.raw(request + b"GET /7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 ") == 2
    assert answers.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc",
        b"3\r\nabc\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"x\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"\r\n",
        b"ffffffffffffffff\r\nabc",
        b"3\nabc\n0\n\n",
        b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"3" + b" " * 5000 + b"\r\nabc\r\n0\r\n\r\n",
    ],
)
@ONCE
def test_a_broken_chunked_body_stores_nothing(service: Service, prefix: Path, body: bytes) -> None:
    answer = service.raw(b"PUT /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"total_bytes" not in answer
    assert tree_of(prefix) == {}


def test_a_short_body_stores_nothing(service: Service, prefix: Path) -> None:
    answer = service.raw(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"total_bytes" not in answer
    assert tree_of(prefix) == {}


def test_a_short_body_leaves_the_old_file(service: Service) -> None:
    service.request("PUT", "/7", data=b"old")
    service.raw(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
    assert service.request("GET", "/7").content == b"old"


def test_a_stalled_body_times_out_with_an_error(serve: Serve, prefix: Path) -> None:
    service = serve({"global": {"server.socket_timeout": 1}})
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert tree_of(prefix) == {}


@pytest.mark.parametrize("moment", [b"", b"0", b"0123456789" * 100_000])
def test_a_client_that_goes_away_leaves_nothing(backend: Backend, prefix: Path, moment: bytes) -> None:
    with serving(backend.make(prefix)) as service:
        service.request("PUT", "/7", data=b"old")
        before = tree_of(prefix)
        for _ in range(4):
            with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
                connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + moment)
    assert not list((prefix / ".partial").iterdir())
    assert tree_of(prefix) == before


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@ONCE
def test_a_body_without_a_length_is_refused(service: Service, prefix: Path, version: bytes) -> None:
    answer = service.raw(b"PUT /7 " + version + b"\r\nHost: a\r\n\r\n")
    assert answer.split()[1] == b"411"
    assert tree_of(prefix) == {}


@pytest.mark.parametrize("length", ["-1", "+5", "5.0", "0x5", "five", "5, 5"])
@ONCE
def test_a_length_that_is_none_is_refused(service: Service, prefix: Path, length: str) -> None:
    answer = service.raw(f"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: application/json" in answer
    assert tree_of(prefix) == {}


def test_a_limit_that_the_site_sets_is_kept(serve: Serve, prefix: Path) -> None:
    service = serve({"global": {"server.max_request_body_size": 1000}})
    assert service.request("PUT", "/7", data=b"x" * 1000).status_code == 201
    assert service.request("PUT", "/8", data=b"x" * 1001).status_code == 413
    answer = service.request("PUT", "/8", data=chunks(b"x" * 5000, 100))
    assert answer.status_code == 413
    assert answer.json()["status"].startswith("413 ")
    assert service.request("GET", "/8").status_code == 404


@ONCE
def test_an_error_reaches_a_client_that_is_still_sending(service: Service) -> None:
    answer = service.request("PUT", "/..", data=b"x" * 8_000_000)
    assert answer.status_code == 400
    assert "slash" in answer.json()["message"] or "id" in answer.json()["message"]


@ONCE
def test_past_the_bound_the_rest_of_a_refused_body_is_not_read(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(b"PUT /.. HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
        sent = 0
        try:
            while sent < 1 << 28:
                sent += connection.send(b"x" * 65536)
        except OSError:
            pass
    assert sent < 1 << 27


def check_time(service: Service, text: str, seconds: float, stored_seconds: float) -> None:
    """Fail unless a file that is sent with the Last-Modified *text* is from *seconds*, of which some are stored."""
    service.request("PUT", "/7", data=b"x", headers={"Last-Modified": text})
    assert float(head(service)["Last-Modified"]) == stored_seconds
    assert service.request("GET", "/7").headers["Last-Modified"] == formatdate(int(seconds), usegmt=True)


@pytest.mark.parametrize("seconds", [0, 1473806059.5])
def test_last_modified_sets_the_modification_time(backend: Backend, service: Service, seconds: float) -> None:
    check_time(service, str(seconds), seconds, int(seconds) if backend.whole_seconds else seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Tue, 13 Sep 2016 22:34:19 GMT", 1473806059),
        ("Tuesday, 13-Sep-16 22:34:19 GMT", 1473806059),
        ("2016-09-13T22:34:19Z", 1473806059),
        ("2016-09-14T00:34:19.25+02:00", 1473806059.25),
        ("2016-09-13 22:34:19+0000", 1473806059),
        ("1473806059", 1473806059),
        (time.ctime(1473806059), 1473806059),
        (time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(1473806059)), 1473806059),
    ],
)
@ONCE
def test_last_modified_has_many_forms(service: Service, text: str, seconds: float) -> None:
    check_time(service, text, seconds, seconds)


def test_without_last_modified_the_time_is_now(service: Service) -> None:
    before = time.time()
    service.request("PUT", "/7", data=b"x")
    assert before - 1 <= float(head(service)["Last-Modified"]) <= time.time() + 1


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-1", "nan", "inf", "1e9", "2016-13-01", "2016-02-30T00:00:00Z", "9" * 12, "Tue, 13 Sep"]
)
@ONCE
def test_a_date_that_is_none_is_refused(service: Service, prefix: Path, text: str) -> None:
    answer = service.request("PUT", "/7", data=b"x", headers={"Last-Modified": text})
    assert answer.status_code == 400
    assert tree_of(prefix) == {}


def test_stored_files_are_read_only(service: Service, prefix: Path) -> None:
    service.request("PUT", "/7", data=b"x")
    modes = {path.stat().st_mode & 0o777 for path in stored_files(prefix)}
    assert modes == {0o444}


def test_a_second_put_replaces(service: Service) -> None:
    service.request("PUT", "/7", data=b"first and longer")
    service.request("PUT", "/7", data=b"second")
    assert service.request("GET", "/7").content == b"second"


def test_if_none_match_star_creates_only(service: Service) -> None:
    only_new = {"If-None-Match": "*"}
    assert service.request("PUT", "/7", data=b"1", headers=only_new).status_code == 201
    answer = service.request("PUT", "/7", data=b"2", headers=only_new)
    assert answer.status_code == 412
    assert "total_bytes" not in answer.text
    assert service.request("GET", "/7").content == b"1"


def test_if_match_replaces_what_the_client_knows_and_nothing_else(service: Service, prefix: Path) -> None:
    tag = service.request("PUT", "/7", data=b"1").headers["ETag"]
    assert service.request("PUT", "/7", data=b"2", headers={"If-Match": tag}).status_code == 201
    assert service.request("PUT", "/7", data=b"3", headers={"If-Match": tag}).status_code == 412
    assert service.request("PUT", "/800", data=b"3", headers={"If-Match": "*"}).status_code == 412
    assert service.request("GET", "/7").content == b"2"
    assert len(stored_files(prefix)) == 1


def test_a_condition_is_weighed_again_when_the_body_is_there(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nContent-Length: 4\r\n\r\nsl")
        while not list(Path(service.archive.prefix, ".partial").glob("*")):
            time.sleep(0.01)
        assert service.request("PUT", "/7", data=b"fast").status_code == 201
        connection.sendall(b"ow")
        assert connection.recv(65536).startswith(b"HTTP/1.1 412 ")
    assert service.request("GET", "/7").content == b"fast"


def test_refused_overwriting_is_a_conflict_but_a_retry_is_not(serve: Serve) -> None:
    service = serve(archive=ArchiveOptions(overwrite="refuse"))
    assert service.request("PUT", "/7", data=b"bytes").status_code == 201
    assert service.request("PUT", "/7", data=b"bytes").json()["total_bytes"] == "5"
    assert service.request("PUT", "/7", data=b"BYTES").status_code == 409
    assert service.request("PUT", "/7", data=b"longer").status_code == 409
    assert service.request("GET", "/7").content == b"bytes"


def test_readers_see_the_old_file_or_the_new_one(service: Service) -> None:
    contents = {bytes([letter]) * 300_000 for letter in b"abcd"}
    service.request("PUT", "/7", data=next(iter(contents)))
    done = threading.Event()

    def write() -> None:
        for content in list(contents) * 2:
            service.request("PUT", "/7", data=content)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set() or not seen:
        assert service.request("GET", "/7").content in contents
        seen += 1
    writer.join()


@ONCE
@pytest.mark.parametrize("disposition", ["attachment; filename*=x", "attachment; filename*=no-such'en'x"])
def test_a_header_that_means_nothing_in_a_request_is_not_parsed(service: Service, disposition: str) -> None:
    headers = {"Content-Disposition": disposition}
    assert service.request("PUT", "/7", data=b"x", headers=headers).status_code == 201
    assert service.request("GET", "/7", headers=headers).content == b"x"


@ONCE
def test_a_part_of_a_file_is_refused(service: Service) -> None:
    answer = service.request("PUT", "/7", data=b"x", headers={"Content-Range": "bytes 0-0/2"})
    message = "PUT stores whole files: Content-Range, part of a file, is not supported"
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert service.request("GET", "/7").status_code == 404


@ONCE
def test_storage_is_told_the_length_of_an_upload(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type(service.archive.file("7"))
    open_writer, lengths = kind.open_writer, []

    def opened(file: Any, length: int | None = None, precondition: Precondition | None = None) -> Any:
        lengths.append(length)
        return open_writer(file, length, precondition)

    monkeypatch.setattr(kind, "open_writer", opened)
    assert service.request("PUT", "/7", data=b"0123").status_code == 201
    assert service.request("PUT", "/7", data=iter([b"01", b"23"])).status_code == 201
    assert lengths == [4, None]
