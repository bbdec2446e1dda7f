"""Request lines, header fields, framing and bodies, as values: no server reads them here."""

import io
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from pacifica.archiveinterface.digests import BLOCKS_HELD, Hasher
from pacifica.archiveinterface.exception import (
    ArchiveInterfaceError,
    BodyError,
    BodyTooLargeError,
    FileIdError,
    HeadError,
    HttpVersionError,
    LateBodyError,
    LengthRequiredError,
    TransferCodingError,
)
from pacifica.archiveinterface.http.headers.request_head import (
    LARGEST_LENGTH,
    body_length,
    file_id_of,
    is_loopback,
    parse_headers,
    parse_request_line,
    request_id,
    target_of,
    without_credentials,
)
from pacifica.archiveinterface.http.request_body import RequestBody

MEBI = 1 << 20


@pytest.mark.parametrize(
    ("line", "method", "target", "version"),
    [
        (b"GET /7 HTTP/1.1\r\n", b"GET", b"/7", b"HTTP/1.1"),
        (b"PUT /7?a=b HTTP/1.0\r\n", b"PUT", b"/7?a=b", b"HTTP/1.0"),
        (b"X-!#$%&'*+.^_`|~9 /7 HTTP/1.9\r\n", b"X-!#$%&'*+.^_`|~9", b"/7", b"HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1\r\n", b"OPTIONS", b"/", b"HTTP/1.1"),
        (b"GET http://archive/7 HTTP/1.1\r\n", b"GET", b"/7", b"HTTP/1.1"),
        (b"GET HTTPS://archive:8080/7?x HTTP/1.1\r\n", b"GET", b"/7?x", b"HTTP/1.1"),
        (b"GET http://archive HTTP/1.1\r\n", b"GET", b"/", b"HTTP/1.1"),
        (b"GET http://archive?x HTTP/1.1\r\n", b"GET", b"/?x", b"HTTP/1.1"),
        (b"GET //12345 HTTP/1.1\r\n", b"GET", b"//12345", b"HTTP/1.1"),
        (b"GET /\xff HTTP/1.1\r\n", b"GET", b"/\xff", b"HTTP/1.1"),
    ],
)
def test_a_request_line_is_read(line: bytes, method: bytes, target: bytes, version: bytes) -> None:
    assert parse_request_line(line) == (method, target, version)


REQUEST_LINE = "the request line is a method, a path and HTTP/1.1, with one space between them"
PATH = "the request target is a path, without fragment"
VERSIONS = "this service speaks HTTP/1.1 and HTTP/1.0"


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (b"GET /7\r\n", HeadError, REQUEST_LINE),
        (b"GET /7 HTTP/1.1", HeadError, REQUEST_LINE),
        (b"GET /7 HTTP/1.1\n", HeadError, REQUEST_LINE),
        (b"GET  /7 HTTP/1.1\r\n", HeadError, REQUEST_LINE),
        (b"GET /7 HTTP/1.1 \r\n", HeadError, REQUEST_LINE),
        (b"G(T /7 HTTP/1.1\r\n", HeadError, REQUEST_LINE),
        (b"GET /\x007 HTTP/1.1\r\n", HeadError, REQUEST_LINE),
        (b"GET /7 HTTP/11\r\n", HeadError, REQUEST_LINE),
        (b"GET /7 HTTP/2.0\r\n", HttpVersionError, VERSIONS),
        (b"GET /7 HTTP/0.9\r\n", HttpVersionError, VERSIONS),
        (b"GET * HTTP/1.1\r\n", HeadError, PATH),
        (b"GET 7 HTTP/1.1\r\n", HeadError, PATH),
        (b"GET ftp://archive/7 HTTP/1.1\r\n", HeadError, PATH),
        (b"GET /7#part HTTP/1.1\r\n", HeadError, PATH),
        (b"CONNECT archive:80 HTTP/1.1\r\n", HeadError, PATH),
    ],
)
def test_a_request_line_that_is_not_one_is_refused(
    line: bytes, kind: type[ArchiveInterfaceError], message: str
) -> None:
    with pytest.raises(kind) as failure:
        parse_request_line(line)
    assert str(failure.value) == message


def test_header_fields_are_read() -> None:
    lines = [
        b"host: archive\r\n",
        b"ACCEPT:text/plain\r\n",
        b"X-Empty:\r\n",
        b"X_Under: left out\r\n",
        b"accept: \t*/* \t\r\n",
        b"Content-Length: 7\r\n",
        b"X-Latin: \xe4\t\x80\r\n",
    ]
    assert parse_headers(lines) == {
        b"Host": b"archive",
        b"Accept": b"text/plain, */*",
        b"X-Empty": b"",
        b"Content-Length": b"7",
        b"X-Latin": b"\xe4\t\x80",
    }


FIELD = "a header line is a name, a colon and a value, and is not continued on the next line"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"no colon\r\n", FIELD),
        (b"X-A : 7\r\n", FIELD),
        (b": 7\r\n", FIELD),
        (b" X-A: 7\r\n", FIELD),
        (b"X-A: 7\n", FIELD),
        (b"X-A: 7", FIELD),
        (b"X-A: 7\r\r\n", FIELD),
        (b"X-A: \x00\r\n", FIELD),
        (b"X-A: \x7f\r\n", FIELD),
        (b"X-(A): 7\r\n", FIELD),
        (b"CONTENT-LENGTH: 7\r\n", "send Content-Length once"),
        (b"host: other\r\n", "send Host once"),
    ],
)
def test_a_header_field_that_is_not_one_is_refused(line: bytes, message: str) -> None:
    with pytest.raises(HeadError) as failure:
        parse_headers([b"Host: archive\r\n", b"Content-Length: 7\r\n", line])
    assert str(failure.value) == message


@pytest.mark.parametrize(
    ("transfer_encoding", "content_length", "version", "expected"),
    [
        (None, None, "HTTP/1.1", 0),
        (None, "0", "HTTP/1.1", 0),
        (None, "000", "HTTP/1.0", 0),
        (None, "0700", "HTTP/1.1", 700),
        (None, str(LARGEST_LENGTH), "HTTP/1.1", LARGEST_LENGTH),
        (None, f"000{LARGEST_LENGTH}", "HTTP/1.1", LARGEST_LENGTH),
        ("chunked", None, "HTTP/1.1", None),
        ("\tChunked ", None, "HTTP/1.1", None),
    ],
)
def test_the_length_of_a_body_is_read(
    transfer_encoding: str | None, content_length: str | None, version: str, expected: int | None
) -> None:
    assert body_length(transfer_encoding, content_length, version) == expected


ONE_CODING = "the only Transfer-Encoding is chunked, once, with HTTP/1.1"
NUMBER = "Content-Length is not a number"
TOO_LONG = "no file is as long as Content-Length says"


@pytest.mark.parametrize(
    ("transfer_encoding", "content_length", "version", "kind", "message"),
    [
        ("chunked", None, "HTTP/1.0", BodyError, ONE_CODING),
        ("gzip", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("chunked, gzip", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("chunked, chunked", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("chunked\xa0", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("\x85chunked", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("Xchunked", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("identity", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("gzip, chunked, chunked", None, "HTTP/1.1", BodyError, ONE_CODING),
        ("chunked", "7", "HTTP/1.1", BodyError, "send Content-Length or Transfer-Encoding, not both"),
        (
            "gzip, chunked",
            None,
            "HTTP/1.1",
            TransferCodingError,
            "the only Transfer-Encoding that is supported is chunked",
        ),
        (None, "", "HTTP/1.1", BodyError, NUMBER),
        (None, "-1", "HTTP/1.1", BodyError, NUMBER),
        (None, "+1", "HTTP/1.1", BodyError, NUMBER),
        (None, " 1", "HTTP/1.1", BodyError, NUMBER),
        (None, "1, 1", "HTTP/1.1", BodyError, NUMBER),
        (None, "\u0661", "HTTP/1.1", BodyError, NUMBER),
        (None, "\u00b2", "HTTP/1.1", BodyError, NUMBER),
        (None, str(LARGEST_LENGTH + 1), "HTTP/1.1", BodyTooLargeError, TOO_LONG),
        (None, "9" * 20, "HTTP/1.1", BodyTooLargeError, TOO_LONG),
    ],
)
def test_a_length_that_is_not_one_is_refused(
    transfer_encoding: str | None,
    content_length: str | None,
    version: str,
    kind: type[ArchiveInterfaceError],
    message: str,
) -> None:
    with pytest.raises(kind) as failure:
        body_length(transfer_encoding, content_length, version)
    assert str(failure.value) == message


def test_a_request_keeps_its_id_if_that_is_short_and_plain() -> None:
    assert request_id("Aa0._-") == "Aa0._-"
    assert request_id("x" * 64) == "x" * 64
    made = {request_id(given) for given in (None, "", "x" * 65, "two words", "line\n", "\u00e4") for _ in range(100)}
    assert len(made) == 600
    assert all(set(text) <= set("0123456789abcdef") and len(text) == 32 for text in made)


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"REQUEST_URI": "/a%2Fb?c", "RAW_URI": "/other", "PATH_INFO": "/a/b"}, "/a%2Fb?c"),
        ({"RAW_URI": "/a%2Fb?c", "PATH_INFO": "/a/b"}, "/a%2Fb?c"),
        ({"PATH_INFO": "/a b/\xff?"}, "/a%20b/%FF%3F"),
    ],
)
def test_the_target_is_what_the_client_wrote_as_far_as_the_server_tells(environ: dict[str, str], target: str) -> None:
    assert target_of(environ) == target


@pytest.mark.parametrize(
    ("target", "logged"),
    [
        ("/1?access_token=secret&byte_range=1-2", "/1?access_token=...&byte_range=1-2"),
        ("GET /1?a=b&AUTHZ=Bearer%20secret HTTP/1.1", "GET /1?a=b&AUTHZ=... HTTP/1.1"),
        ("/1?token=kept", "/1?token=kept"),
        ("/1", "/1"),
    ],
)
def test_logs_have_no_tokens(target: str, logged: str) -> None:
    assert without_credentials(target) == logged


@pytest.mark.parametrize(
    ("host", "is_this_host"),
    [("127.0.0.2", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("example.org", False)],
)
def test_a_loopback_address_is_this_host(host: str, is_this_host: bool) -> None:
    assert is_loopback(host) is is_this_host


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PATH_INFO": "/7"}, "7"),
        ({"PATH_INFO": "/"}, ""),
        ({"PATH_INFO": "//7", "REQUEST_URI": "//7?a=/../b"}, "7"),
        ({"PATH_INFO": "/\u00c3\u00a4", "REQUEST_URI": "/%C3%A4"}, "\u00e4"),
        ({"PATH_INFO": "/...", "REQUEST_URI": "/..."}, "..."),
        ({"PATH_INFO": "/X7", "REQUEST_URI": "/X7"}, "X7"),
    ],
)
def test_the_file_id_is_read(environ: dict[str, str], expected: str) -> None:
    assert file_id_of(environ) == expected


SEGMENT = "a file id is one path segment, without slash, encoded or not, and not a dot segment"


@pytest.mark.parametrize(
    ("path", "written", "message"),
    [
        ("/7", "/7#part", SEGMENT),
        ("/1/2", "/1%2F2", SEGMENT),
        ("/1/2", "/1%2f2", SEGMENT),
        ("/7", "/./7", SEGMENT),
        ("/7", "/x/../7", SEGMENT),
        ("/7", "/%2e%2E/7", SEGMENT),
        ("/7", "/%2e", SEGMENT),
        ("/\xff", "/%FF", "a file id is UTF-8"),
    ],
)
def test_a_path_that_is_not_an_id_s_is_refused(path: str, written: str, message: str) -> None:
    with pytest.raises(FileIdError) as failure:
        file_id_of({"PATH_INFO": path, "REQUEST_URI": written})
    assert str(failure.value) == message


class Recorder(io.BytesIO):
    """A body that remembers how much of it was asked for at a time."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.sizes: list[int] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.sizes.append(size or 0)
        return super().read(size)


def body_of(content: bytes, length: int | None = None, most: int = 0) -> tuple[RequestBody, Recorder]:
    recorder = Recorder(content)
    announced = str(len(content) if length is None else length)
    environ = {"wsgi.input": recorder, "CONTENT_LENGTH": announced, "SERVER_PROTOCOL": "HTTP/1.1"}
    return RequestBody(environ, most), recorder


def test_few_uploads_are_read_in_large_blocks_and_many_in_small_ones() -> None:
    content = bytes(6 * MEBI)
    with ExitStack() as stack:
        uploads: list[tuple[Iterator[bytes], Recorder]] = []
        largest = []
        for number in range(1, 31):
            body, recorder = body_of(content)
            uploads.append((stack.enter_context(closing(body.hashed_blocks(Hasher(["md5"])))), recorder))
            next(uploads[-1][0])
            next(uploads[-1][0])
            largest.append(recorder.sizes[-1])
            # All blocks that are held, and one that is being read or written.
            assert recorder.sizes[-1] == min(MEBI, max(1 << 16, 12 * MEBI // (number * (BLOCKS_HELD + 1))))
        assert (largest[0], largest[-1]) == (MEBI, 12 * MEBI // (30 * (BLOCKS_HELD + 1)))
    body, recorder = body_of(content)
    assert sum(map(len, body.hashed_blocks(Hasher(["md5"])))) == len(content)
    assert recorder.sizes[1] == MEBI


def test_a_body_is_read_up_to_its_length_and_no_further() -> None:
    body, recorder = body_of(b"0123456789" + b"the next request", 10)
    assert body.read_at_most(10) == b"0123456789"
    assert recorder.sizes == [10]
    assert body.complete
    assert list(body.blocks()) == []


def test_a_body_that_ends_early_is_broken() -> None:
    body, _ = body_of(b"0123", 10)
    with pytest.raises(BodyError) as failure:
        body.read_at_most(10)
    assert str(failure.value) == "the body ended before it was complete"
    assert (body.complete, body.is_silent) == (False, False)
    assert not body.drain(100)


@pytest.mark.parametrize(("error", "is_silent"), [(ConnectionResetError(), True), (ValueError(), False)])
def test_a_body_that_cannot_be_read_is_broken(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_silent: bool
) -> None:
    def fail(size: int) -> bytes:
        raise error

    body, recorder = body_of(b"0123", 10)
    monkeypatch.setattr(recorder, "read", fail)
    with pytest.raises(BodyError) as failure:
        body.read_at_most(10)
    assert failure.value.__cause__ is error
    assert body.is_silent == is_silent
    monkeypatch.undo()
    assert not body.drain(100)  # nothing more comes
    assert recorder.sizes == []


def test_a_body_that_does_not_come_in_time_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(size: int) -> bytes:
        raise TimeoutError

    body, recorder = body_of(b"0123", 10)
    monkeypatch.setattr(recorder, "read", time_out)
    with pytest.raises(LateBodyError) as failure:
        body.read_at_most(10)
    assert str(failure.value) == "the rest of the body did not come in time"
    assert body.is_silent
    monkeypatch.undo()
    assert not body.drain(100)  # nothing more comes


def test_more_than_is_wanted_is_refused() -> None:
    body, _ = body_of(b"0123456789")
    with pytest.raises(BodyTooLargeError) as failure:
        body.read_at_most(9)
    assert str(failure.value) == "the body is longer than 9 bytes"
    with pytest.raises(BodyTooLargeError) as failure:
        body_of(b"0123456789", most=9)
    assert str(failure.value) == "the body is longer than the 9 bytes that this site takes"
    assert body_of(b"0123456789", most=10)[0].read_at_most(10) == b"0123456789"


def chunked(content: bytes, most: int = 0) -> RequestBody:
    environ = {
        "wsgi.input": io.BytesIO(content),
        "HTTP_TRANSFER_ENCODING": "chunked",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input_terminated": True,
    }
    return RequestBody(environ, most)


def test_a_body_of_unknown_length_ends_with_its_stream() -> None:
    body = chunked(b"0123456789", 10)
    body.require()
    assert body.length is None
    assert body.read_at_most(10) == b"0123456789"
    assert body.complete
    with pytest.raises(BodyTooLargeError):
        chunked(b"0123456789", 9).read_at_most(10)


def test_what_is_left_of_a_body_is_read_up_to_a_bound() -> None:
    content = bytes(3 * MEBI)
    body, recorder = body_of(content, most=4 * MEBI)
    assert not body.drain(MEBI)
    assert recorder.tell() == MEBI
    assert body.drain(2 * MEBI)
    assert body.drain(0)  # it is read already
    assert recorder.tell() == len(content)


def test_a_body_has_to_be_announced() -> None:
    with pytest.raises(LengthRequiredError) as failure:
        RequestBody({"wsgi.input": io.BytesIO(b""), "SERVER_PROTOCOL": "HTTP/1.1"}).require()
    assert str(failure.value) == "send Content-Length or Transfer-Encoding: chunked"
    body_of(b"")[0].require()
