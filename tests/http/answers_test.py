"""Answers as values: status line, headers and body, before any server has them."""

import base64
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.conformance import fails_with
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive
from pacifica.archiveinterface.backends.posix.extendedfile import PosixReader
from pacifica.archiveinterface.backends.posix.status import PosixStatus
from pacifica.archiveinterface.exception import (
    BackendUnavailableError,
    BeingStagedError,
    ConfigurationError,
    DamagedFileError,
    MethodError,
    MissingFileError,
    RangeNotSatisfiableError,
    StorageError,
    UncheckedFileError,
)
from pacifica.archiveinterface.globals import LOG_NAME, VERSION
from pacifica.archiveinterface.http import answers
from pacifica.archiveinterface.http.answers import Answer
from pacifica.archiveinterface.http.errors import Asked, error_answer, refusal
from pacifica.archiveinterface.http.file_answers import AT_ONCE, file_answer
from pacifica.archiveinterface.http.headers.ranges import Segment
from pacifica.archiveinterface.http.options import HttpOptions
from pacifica.archiveinterface.http.response_body import ResponseBody
from pacifica.archiveinterface.http.sendfile import redirection, require_senders
from pacifica.archiveinterface.http.server_calls import TRANSMITTED_FROM, FilePart

JSON = {"Content-Type": "application/json"}
SECOND = 1473806059
DATE = "Tue, 13 Sep 2016 22:34:19 GMT"
SHA256 = bytes(range(32))
ETAG = f'"sha-256-{SHA256.hex()}"'
REPR_DIGEST = {"Repr-Digest": f"sha-256=:{base64.b64encode(SHA256).decode()}:"}
CONTENT = b"0123456789"


def status_of_a_file(filepath: str = "/archive/7", size: int = 18) -> PosixStatus:
    """Return a status with a digest."""
    status = PosixStatus(SECOND + 0.29, SECOND + 1.5, (size,), size)
    status.filepath = filepath
    status.digests = {"sha-256": SHA256}
    return status


HEAD_HEADERS = {
    "X-Pacifica-Messsage": "File was found",
    "X-Pacifica-Message": "File was found",
    "X-Pacifica-File": "/archive/7",
    "X-Content-Length": "18",
    "Last-Modified": "1473806059.29",
    "X-Pacifica-Ctime": "1473806060.5",
    "X-Pacifica-Bytes-Per-Level": "(18,)",
    "X-Pacifica-File-Storage-Media": "disk",
    "ETag": ETAG,
    "Accept-Ranges": "bytes",
    **JSON,
    **REPR_DIGEST,
}


@pytest.mark.parametrize(
    ("make", "status", "headers", "content"),
    [
        (answers.root_answer, "200 OK", {}, {"message": "Pacifica Archive Interface Up and Running"}),
        (
            lambda: answers.stored_answer({}, status_of_a_file()),
            "201 Created",
            {"ETag": ETAG, **REPR_DIGEST},
            {"message": "File added to archive", "total_bytes": "18"},
        ),
        (lambda: answers.staged_answer("7"), "200 OK", {}, {"file": "/7", "message": "File was staged"}),
        (
            lambda: answers.recalling_answer("7"),
            "202 Accepted",
            {"Retry-After": "30"},
            {"file": "/7", "message": "File is being staged"},
        ),
    ],
)
def test_answers_in_json(
    make: Callable[[], Answer], status: str, headers: dict[str, str], content: dict[str, str]
) -> None:
    answer = make()
    assert isinstance(answer.body, bytes)
    assert (answer.status, answer.headers, json.loads(answer.body)) == (status, {**JSON, **headers}, content)


def test_answers_without_a_body() -> None:
    status = status_of_a_file()
    assert answers.status_answer({}, status) == Answer("204 No Content", HEAD_HEADERS, b"")
    standard = {**HEAD_HEADERS, "Last-Modified": DATE, "Content-Length": "18"}
    assert answers.standard_status_answer({}, status) == Answer("200 OK", standard, b"")
    known = {"ETag": ETAG, "Last-Modified": DATE}
    assert answers.not_modified_answer(status) == Answer("304 Not Modified", known, b"")


def test_digests_are_told_as_they_are_wanted() -> None:
    wanted = {"Want-Digest": "SHA-256", "Want-Repr-Digest": "sha-256=1"}
    told = answers.status_answer(wanted, status_of_a_file()).headers
    assert told["Digest"] == f"sha-256={base64.b64encode(SHA256).decode()}"
    assert told["Repr-Digest"] == REPR_DIGEST["Repr-Digest"]
    status = status_of_a_file()
    status.digests = {}
    assert not {"Digest", "Repr-Digest"} & set(answers.status_answer(wanted, status).headers)


# Errors

ASKED = Asked("GET", "GET /7 HTTP/1.1", "an-id", "/7")
FAILED_HEAD = dict.fromkeys(
    (
        "X-Pacifica-File",
        "X-Content-Length",
        "Last-Modified",
        "X-Pacifica-Ctime",
        "X-Pacifica-Bytes-Per-Level",
        "X-Pacifica-File-Storage-Media",
    ),
    "File Not Found",
)


@pytest.mark.parametrize(
    ("error", "status", "headers", "message"),
    [
        (MissingFileError("no such file"), "404 Not Found", {}, "no such file"),
        (RangeNotSatisfiableError(18), "416 Range Not Satisfiable", {"Content-Range": "bytes */18"}, None),
        (MethodError("GET, HEAD"), "405 Method Not Allowed", {"Allow": "GET, HEAD"}, None),
        (BeingStagedError("it is staged"), "503 Service Unavailable", {"Retry-After": "30"}, "it is staged"),
        (
            StorageError("the disk failed"),
            "500 Internal Server Error",
            {},
            "the disk failed; its log tells more under request an-id",
        ),
        (
            ZeroDivisionError("division by zero"),
            "500 Internal Server Error",
            {},
            "the service failed; its log tells more under request an-id",
        ),
    ],
)
def test_an_error_becomes_an_answer(error: Exception, status: str, headers: dict[str, str], message: str) -> None:
    answer = error_answer(error, ASKED, "the trace")
    assert (answer.status, answer.headers) == (status, {**JSON, **headers})
    assert isinstance(answer.body, bytes)
    content = json.loads(answer.body)
    assert content == {
        "status": status,
        "message": content["message"] if message is None else message,
        "traceback": "the trace",
        "version": VERSION,
    }
    failed_head = {"X-Pacifica-Messsage": "File Not found", "X-Pacifica-Message": "File Not found", **FAILED_HEAD}
    assert error_answer(error, ASKED._replace(method="HEAD")).headers == {**JSON, **failed_head, **headers}


def test_a_refusal_has_no_trace_unless_there_is_one() -> None:
    answer = refusal("404 Not Found", "no such page", ASKED)
    assert isinstance(answer.body, bytes)
    content = {"status": "404 Not Found", "message": "no such page", "traceback": "", "version": VERSION}
    assert (answer.status, answer.headers, json.loads(answer.body)) == ("404 Not Found", JSON, content)


@pytest.mark.parametrize("trace", ["", "the trace"])
def test_a_refusal_of_the_tape_api_is_a_problem(trace: str) -> None:
    answer = refusal("404 Not Found", "no such request", ASKED._replace(path="/api/v1/stage/1"), trace)
    assert isinstance(answer.body, bytes)
    content = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such request"}
    assert json.loads(answer.body) == content | ({"traceback": trace} if trace else {})
    assert (answer.status, answer.headers) == ("404 Not Found", {"Content-Type": "application/problem+json"})


def test_the_log_tells_what_the_service_or_its_storage_failed_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOG_NAME)
    cause = TimeoutError()
    unavailable = BackendUnavailableError("the server does not answer")
    unavailable.__cause__ = cause
    for error in (MissingFileError("no"), BeingStagedError("staged"), unavailable, StorageError("the disk failed")):
        error_answer(error, ASKED)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "request an-id, 'GET /7 HTTP/1.1': staged"),
        ("WARNING", "request an-id, 'GET /7 HTTP/1.1': the server does not answer (TimeoutError)"),
        ("ERROR", "request an-id, 'GET /7 HTTP/1.1', failed"),
    ]
    assert caplog.records[2].exc_info


# The answer to a GET of a file


@pytest.fixture
def archive(prefix: Path) -> PosixBackendArchive:
    """An archive with 7, whose bytes are CONTENT, and 8, large enough for the kernel to send it."""
    prefix.mkdir()
    archive = PosixBackendArchive(str(prefix))
    for file_id, content in (("7", CONTENT), ("8", bytes(TRANSMITTED_FROM + 5))):
        with archive.open(file_id, "w") as file:
            file.write(content)
            file.set_mod_time(SECOND)
            file.set_digests({"sha-256": SHA256})
    return archive


FILE_HEADERS = {
    "Content-Type": "application/octet-stream",
    "Last-Modified": DATE,
    "ETag": ETAG,
    "Accept-Ranges": "bytes",
    **REPR_DIGEST,
}


def get(
    archive: PosixBackendArchive,
    file_id: str,
    headers: dict[str, str] | None = None,
    wanted: Segment | None = None,
    sendfile: str = "off",
) -> Answer:
    """Return the answer to a GET, its file open if the body is not read yet."""
    file = archive.open(file_id, "r")
    try:
        answer = file_answer(headers or {}, archive, file, wanted, HttpOptions(sendfile=sendfile))
    except BaseException:
        file.close()
        raise
    if isinstance(answer.body, bytes):
        file.close()
    return answer


def test_a_short_file_comes_at_once(archive: PosixBackendArchive) -> None:
    assert get(archive, "7") == Answer("200 OK", {**FILE_HEADERS, "Content-Length": "10"}, CONTENT)
    part = {"Content-Length": "2", "Content-Range": "bytes 3-4/10"}
    assert get(archive, "7", {"Range": "bytes=3-4"}) == Answer("206 Partial Content", {**FILE_HEADERS, **part}, b"34")
    assert get(archive, "7", wanted=Segment(3, 2)) == Answer("200 OK", {**FILE_HEADERS, "Content-Length": "2"}, b"34")
    assert get(archive, "7", {"If-None-Match": ETAG}) == answers.not_modified_answer(archive.file("7").status())
    whole = get(archive, "7", {"Range": "bytes=3-4", "If-Range": '"another"'})
    assert whole == Answer("200 OK", {**FILE_HEADERS, "Content-Length": "10"}, CONTENT)
    with fails_with(RangeNotSatisfiableError):
        get(archive, "7", {"Range": "bytes=10-"})


def test_several_parts_are_one_body(archive: PosixBackendArchive) -> None:
    answer = get(archive, "7", {"Range": "bytes=0-1,-2"})
    boundary = answer.headers["Content-Type"].removeprefix("multipart/byteranges; boundary=")
    part = f"\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes "
    body = f"{part}0-1/10\r\n\r\n01{part}8-9/10\r\n\r\n89\r\n--{boundary}--\r\n".encode()
    headers = {**FILE_HEADERS, "Content-Type": answer.headers["Content-Type"], "Content-Length": str(len(body))}
    assert answer == Answer("206 Partial Content", headers, body)


@pytest.mark.parametrize(
    ("ranges", "bodies"),
    [("1-2", [b"12"]), ("4-5,2-3", [b"45", b"23"]), ("2-3,4-5", [b"23", b"45"]), ("2-3,6-7,1-1", [b"23", b"67", b"1"])],
)
def test_parts_are_read_from_where_they_begin(archive: PosixBackendArchive, ranges: str, bodies: list[bytes]) -> None:
    answer = get(archive, "7", {"Range": f"bytes={ranges}"})
    assert isinstance(answer.body, bytes)
    assert re.findall(rb"(?:\A|\r\n\r\n)(\d+)(?:\Z|\r\n)", answer.body) == bodies


@pytest.fixture
def large(archive: PosixBackendArchive) -> Iterator[Answer]:
    """The answer with the large file."""
    answer = get(archive, "8")
    assert isinstance(answer.body, ResponseBody)
    yield answer
    answer.body.close()


def test_the_kernel_sends_a_large_part(archive: PosixBackendArchive, large: Answer) -> None:
    size = TRANSMITTED_FROM + 5
    assert (large.status, large.headers) == ("200 OK", {**FILE_HEADERS, "Content-Length": str(size)})
    path = archive.file("8").filepath
    for first, is_sent in ((0, True), (5, True), (6, False)):
        answer = get(archive, "8", {"Range": f"bytes={first}-"})
        assert isinstance(answer.body, ResponseBody)
        part = answer.body.file_part()
        if is_sent:
            assert isinstance(part, FilePart)
            assert os.path.samestat(os.fstat(part.descriptor), os.stat(path))
            assert part[1:] == (first, size - first, path)
        else:
            assert part is None
        assert b"".join(answer.body) == bytes(size - first)
        answer.body.close()
    several = get(archive, "8", {"Range": f"bytes=0-1,{AT_ONCE}-"})
    assert isinstance(several.body, ResponseBody)
    assert several.body.file_part() is None
    several.body.close()


def test_the_kernel_sends_nothing_of_a_file_without_a_descriptor(
    large: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PosixReader, "descriptor", lambda _reader: None)
    assert isinstance(large.body, ResponseBody)
    assert large.body.file_part() is None


def test_a_body_longer_than_what_is_read_at_once_comes_in_blocks(archive: PosixBackendArchive) -> None:
    assert get(archive, "8", {"Range": f"bytes=0-{AT_ONCE - 1}"}).body == bytes(AT_ONCE)
    answer = get(archive, "8", {"Range": f"bytes=0-{AT_ONCE}"})
    assert isinstance(answer.body, ResponseBody)
    assert next(answer.body) == bytes(AT_ONCE + 1)
    answer.body.close()


def test_a_damaged_file_is_not_answered_with(archive: PosixBackendArchive) -> None:
    with archive.open("7", "r") as file:
        file.mark_damaged("sha-256 was another")
    with fails_with(DamagedFileError):
        get(archive, "7")


def test_what_cannot_be_verified_is_not_sent_whole(prefix: Path) -> None:
    prefix.mkdir()
    archive = PosixBackendArchive(str(prefix), ArchiveOptions(verify_reads=True))
    with archive.open("7", "w") as file:
        file.write(CONTENT)
        file.set_digests({"crc-a": b"a", "crc-b": b"b"})
    with pytest.raises(
        UncheckedFileError, match=r"^the file cannot be verified: crc-a, crc-b cannot be computed here$"
    ):
        get(archive, "7")
    assert get(archive, "7", {"Range": "bytes=3-4"}).body == b"34"


# Files that a reverse proxy sends


@pytest.mark.parametrize(
    ("sendfile", "headers"),
    [
        ("x-sendfile", {"X-Sendfile": "/archive/odd%20name%25"}),
        ("x-accel-redirect", {"X-Accel-Redirect": "/-/files/odd%20name%25"}),
        ("off", {}),
    ],
)
def test_a_reverse_proxy_is_told_which_file_to_send(
    archive: PosixBackendArchive, sendfile: str, headers: dict[str, str]
) -> None:
    status = status_of_a_file("/archive/odd name%")
    archive.prefix = "/archive"
    assert redirection(archive, status, {}, sendfile) == headers
    for name in ("Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"):
        assert redirection(archive, status, {name: "x"}, sendfile) == {}
    status.file_storage_media = "tape"
    assert redirection(archive, status, {}, sendfile) == {}


def test_a_file_that_the_reverse_proxy_sends_has_no_body_here(archive: PosixBackendArchive) -> None:
    place = {"X-Sendfile": archive.file("8").filepath}
    assert get(archive, "8", sendfile="x-sendfile") == Answer("200 OK", {**FILE_HEADERS, **place}, b"")
    part = get(archive, "8", wanted=Segment(3, 2), sendfile="x-sendfile")
    assert part == Answer("200 OK", {**FILE_HEADERS, "Content-Length": "2"}, bytes(2))


def test_a_file_without_a_digest_is_sent_here_so_that_it_gets_one(archive: PosixBackendArchive) -> None:
    with archive.open("9", "w") as file:
        file.write(CONTENT)
    assert get(archive, "9", sendfile="x-sendfile").body == CONTENT
    assert list(archive.file("9").status().digests) == ["sha-256"]


def test_a_backend_without_local_files_has_none_to_send(
    archive: PosixBackendArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_senders(archive, "x-sendfile")
    monkeypatch.setattr(PosixBackendArchive, "has_local_files", False)
    require_senders(archive, "off")
    with pytest.raises(ConfigurationError, match=r"^\[http\] sendfile = x-sendfile: this backend has no files"):
        require_senders(archive, "x-sendfile")


def test_a_backend_without_urls_of_files_has_none_to_redirect_to(archive: PosixBackendArchive) -> None:
    with pytest.raises(ConfigurationError, match=r"^\[http\] sendfile = presigned: the files of this backend have no"):
        require_senders(archive, "presigned")
