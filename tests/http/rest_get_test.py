"""GET and HEAD: bytes, ranges, conditions and status headers."""

import os
import re
import socket
import time
from pathlib import Path

import pytest

from pacifica.archiveinterface.http.options import HttpOptions
from tests.conftest import Serve
from tests.support.service import ONCE, TIMEOUT, Service, descriptors

CONTENT = bytes(range(256)) * 1100  # more than one block of a quarter of a megabyte
SIZE = len(CONTENT)
MODIFIED = "Tue, 13 Sep 2016 22:34:19 GMT"
EARLIER, LATER = "Mon, 12 Sep 2016 22:34:19 GMT", "Wed, 14 Sep 2016 22:34:19 GMT"


@pytest.fixture
def stored(service: Service) -> Service:
    """A service that holds CONTENT as file 12345."""
    service.request("PUT", "/12345", data=CONTENT, headers={"Last-Modified": MODIFIED})
    return service


@ONCE
def test_the_root_says_that_the_service_is_up(service: Service) -> None:
    answer = service.request("GET", "/")
    assert answer.status_code == 200
    assert answer.json() == {"message": "Pacifica Archive Interface Up and Running"}
    assert service.request("HEAD", "/").status_code == 200


def test_the_headers_of_a_file(stored: Service) -> None:
    answer = stored.request("GET", "/12345")
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Last-Modified"] == MODIFIED
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert re.fullmatch(r'"[^"]+"', answer.headers["ETag"])
    assert "Content-Encoding" not in answer.headers


@ONCE
def test_a_second_slash_changes_nothing(stored: Service) -> None:
    assert stored.request("GET", "//12345").content == CONTENT


@ONCE
def test_an_encoded_digit_is_that_digit(stored: Service) -> None:
    assert stored.request("GET", "/%31234%35").content == CONTENT


@ONCE
def test_http_1_0_gets_a_plain_answer(stored: Service) -> None:
    answer = stored.raw(b"GET /12345 HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == CONTENT


def check_range(stored: Service, header: str, first: int, end: int) -> None:
    """Fail unless the *header* is answered with the bytes from *first* to before *end*."""
    answer = stored.request("GET", "/12345", headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == CONTENT[first:end]
    assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(end - first)


def test_one_range(stored: Service) -> None:
    for first, end in ((0, 1), (262140, 262151), (1000, SIZE)):
        check_range(stored, f"bytes={first}-{end - 1}", first, end)


@pytest.mark.parametrize(
    ("header", "first", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=1000-", 1000, SIZE),
        ("bytes=-5", SIZE - 5, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes=10-{SIZE * 2}", 10, SIZE),
        ("bytes= 3-4 ", 3, 5),
        ("Bytes=3-4", 3, 5),
        (f"bytes={SIZE}-,3-4", 3, 5),
    ],
)
@ONCE
def test_every_form_of_one_range(stored: Service, header: str, first: int, end: int) -> None:
    check_range(stored, header, first, end)


@ONCE
def test_parts_are_divided_by_what_no_file_can_foresee(stored: Service) -> None:
    types = {
        stored.request("GET", "/12345", headers={"Range": "bytes=0-1,-2"}).headers["Content-Type"] for _ in range(2)
    }
    assert len(types) == 2
    assert all(re.fullmatch("multipart/byteranges; boundary=[0-9a-f]{32}", text) for text in types)


@ONCE
def test_a_file_that_is_shorter_than_it_was_is_told(
    stored: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, read = stored.archive.file("12345").filepath, os.read

    def end_early(fd: int, size: int) -> bytes:
        return b"" if os.readlink(f"/proc/self/fd/{fd}") == path else read(fd, size)

    monkeypatch.setattr(os, "read", end_early)
    assert stored.request("GET", "/12345", headers={"Range": "bytes=5-14"}).status_code == 500
    assert f"{path} ended 10 bytes before its size" in caplog.text


def test_several_ranges_come_as_parts(stored: Service) -> None:
    answer = stored.request("GET", "/12345", headers={"Range": "bytes=300-302, 0-1,-2"})
    assert answer.status_code == 206
    boundary = answer.headers["Content-Type"].removeprefix("multipart/byteranges; boundary=")
    parts = answer.content.split(f"--{boundary}".encode())
    assert parts[-1] == b"--\r\n"
    assert all(b"\r\nContent-Type: application/octet-stream\r\n" in part for part in parts[1:-1])
    spans = [
        (re.search(rb"Content-Range: (.*)\r\n", part), part.partition(b"\r\n\r\n")[2][:-2]) for part in parts[1:-1]
    ]
    assert [(span and span[1], body) for span, body in spans] == [
        (b"bytes 300-302/%d" % SIZE, CONTENT[300:303]),
        (b"bytes 0-1/%d" % SIZE, CONTENT[:2]),
        (b"bytes %d-%d/%d" % (SIZE - 2, SIZE - 1, SIZE), CONTENT[-2:]),
    ]


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5},{SIZE + 9}-"])
@ONCE
def test_a_range_behind_the_end_is_not_satisfiable(stored: Service, header: str) -> None:
    answer = stored.request("GET", "/12345", headers={"Range": header})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.json()["status"].startswith("416 ")


@pytest.mark.parametrize(
    "header",
    ["bytes", "bytes=", "bytes=a-b", "bytes=5-2", "lines=1-2", "bytes=1-2-3", "bytes=-", "bytes=--1", "bytes=+1-2",
     "bytes=1_0-20", "bytes=" + "9" * 5000 + "-", "bytes=" + ",".join(["0-0"] * 1000), "bytes=0-,0-"],
)  # fmt: skip
@ONCE
def test_a_range_that_makes_no_sense_is_ignored(stored: Service, header: str) -> None:
    answer = stored.request("GET", "/12345", headers={"Range": header})
    assert answer.status_code == 200
    assert answer.content == CONTENT


def test_an_empty_file_has_no_range(service: Service) -> None:
    service.request("PUT", "/7", data=b"", headers={"Content-Length": "0"})
    assert service.request("GET", "/7").content == b""
    assert service.request("GET", "/7", headers={"Range": "bytes=0-0"}).status_code == 416


@pytest.mark.parametrize(("query", "first", "end"), [("0-4", 0, 4), ("5-5", 5, 5), ("10-99999999", 10, SIZE)])
@ONCE
def test_the_old_byte_range_query_excludes_its_end(stored: Service, query: str, first: int, end: int) -> None:
    answer = stored.request("GET", f"/12345?byte_range={query}")
    assert answer.status_code == 200
    assert answer.content == CONTENT[first:end]


@pytest.mark.parametrize("query", ["", "5", "5-", "-5", "9-2", "a-b", "1-2-3", "0-1&byte_range=0-1", "1%2E5-2"])
@ONCE
def test_a_malformed_byte_range_query_is_refused(stored: Service, query: str) -> None:
    assert stored.request("GET", f"/12345?byte_range={query}").status_code == 400


@ONCE
def test_a_byte_range_query_behind_the_end_is_not_satisfiable(stored: Service) -> None:
    assert stored.request("GET", f"/12345?byte_range={SIZE}-{SIZE + 1}").status_code == 416


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "{tag}"}, 304),
        ({"If-None-Match": 'W/{tag}, "other"'}, 304),
        ({"If-None-Match": '"a, b", {tag}'}, 304),
        ({"If-None-Match": '"", {tag}'}, 304),
        ({"If-None-Match": "X{tag}"}, 200),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": LATER}, 200),
        ({"If-Modified-Since": MODIFIED}, 304),
        ({"If-Modified-Since": LATER}, 304),
        ({"If-Modified-Since": EARLIER}, 200),
        ({"If-Modified-Since": "some day"}, 200),
        ({"If-Match": "{tag}"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": 'W/{tag}, "x"'}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": "{tag}", "If-Unmodified-Since": EARLIER}, 200),
        ({"If-Unmodified-Since": EARLIER}, 412),
        ({"If-Unmodified-Since": MODIFIED}, 200),
        ({"If-Unmodified-Since": "some day"}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@ONCE
def test_conditions(stored: Service, method: str, headers: dict[str, str], status: int) -> None:
    tag = stored.request("GET", "/12345").headers["ETag"]
    answer = stored.request(method, "/12345", headers={name: text.format(tag=tag) for name, text in headers.items()})
    assert answer.status_code == (204 if (method, status) == ("HEAD", 200) else status)
    if status == 304:
        assert answer.headers["ETag"] == tag
        assert answer.content == b""


def test_a_range_of_the_file_that_the_client_knows(stored: Service) -> None:
    tag = stored.request("GET", "/12345").headers["ETag"]
    for known in (tag, MODIFIED):
        answer = stored.request("GET", "/12345", headers={"Range": "bytes=0-4", "If-Range": known})
        assert (answer.status_code, answer.content) == (206, CONTENT[:5])


@pytest.mark.parametrize("if_range", ['"other"', "W/{tag}", LATER, "x"])
@ONCE
def test_another_file_than_the_client_knows_comes_whole(stored: Service, if_range: str) -> None:
    tag = stored.request("GET", "/12345").headers["ETag"]
    headers = {"Range": "bytes=0-4", "If-Range": if_range.format(tag=tag)}
    answer = stored.request("GET", "/12345", headers=headers)
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_without_the_file_tells_how_it_is_known(stored: Service, method: str) -> None:
    tag = stored.request("GET", "/12345").headers["ETag"]
    answer = stored.request(method, "/12345", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (tag, MODIFIED)
    assert {"Content-Type", "Content-Range", "Transfer-Encoding"} & set(answer.headers) == set()
    assert answer.headers.get("Content-Length", "0") == "0"
    assert stored.request("GET", "/12345").content == CONTENT  # on another connection


def test_head_tells_what_clients_read(stored: Service) -> None:
    answer = stored.request("HEAD", "/12345")
    assert answer.status_code == 204
    headers = answer.headers
    assert headers["X-Pacifica-Messsage"] == headers["X-Pacifica-Message"] == "File was found"
    assert headers["X-Pacifica-File"] == stored.archive.file("12345").filepath
    assert headers["X-Content-Length"] == str(SIZE)
    assert float(headers["Last-Modified"]) == 1473806059
    assert float(headers["X-Pacifica-Ctime"]) > 1473806059
    assert headers["X-Pacifica-Bytes-Per-Level"].startswith(f"({SIZE},")
    assert headers["X-Pacifica-File-Storage-Media"] == "disk"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"] == stored.request("GET", "/12345").headers["ETag"]


def test_a_standard_head_is_like_a_get_without_a_body(serve: Serve) -> None:
    service = serve(http=HttpOptions(head="standard"))
    service.request("PUT", "/12345", data=CONTENT, headers={"Last-Modified": MODIFIED})
    answer = service.request("HEAD", "/12345")
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["Last-Modified"] == MODIFIED
    assert answer.headers["X-Pacifica-File-Storage-Media"] == "disk"


def test_a_head_that_fails_has_every_header(service: Service) -> None:
    for path, status in (("/404", 404), ("/../x", 400), ("/1%2F2", 400)):
        answer = service.request("HEAD", path)
        assert answer.status_code == status
        names = "File", "Ctime", "Bytes-Per-Level", "File-Storage-Media"
        for name in ("X-Content-Length", "Last-Modified", *(f"X-Pacifica-{name}" for name in names)):
            assert answer.headers[name] == "File Not Found"
        assert answer.headers["X-Pacifica-Messsage"] == "File Not found"


def test_a_missing_file_is_404_and_stays_missing(service: Service, prefix: Path) -> None:
    for method in ["GET", "HEAD", "POST", "DELETE"] * 2:
        assert service.request(method, "/404").status_code == 404
    assert list(prefix.rglob("*")) == []


def test_a_download_ends_with_the_bytes_it_began_with(stored: Service) -> None:
    big = os.urandom(8_000_000)
    stored.request("PUT", "/8", data=big)
    with socket.create_connection(("127.0.0.1", stored.port), TIMEOUT) as connection:
        connection.sendall(b"GET /8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        start = connection.recv(1000)
        assert stored.request("PUT", "/8", data=b"new").status_code == 201
        assert stored.request("DELETE", "/8").status_code == 200
        rest = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert (start + rest).partition(b"\r\n\r\n")[2] == big


def test_clients_that_leave_a_download_cost_no_descriptor(stored: Service) -> None:
    stored.request("PUT", "/8", data=os.urandom(8_000_000))
    stored.request("GET", "/8")
    most = descriptors() + 10  # a backend may open connections to its database, fewer than the clients that leave
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", stored.port), TIMEOUT) as connection:
            connection.sendall(b"GET /8 HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(10)
    for _ in range(TIMEOUT * 10):
        if descriptors() <= most:
            break
        time.sleep(0.1)
    assert descriptors() <= most
