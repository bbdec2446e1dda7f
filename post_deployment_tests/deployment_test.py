"""What a deployed archive interface owes its clients, asked over HTTP; needs pytest and requests only.

The tests run in the order of the file: put, stage, status, get, and what comes after. Variables:

ARCHIVE_URL             the service; default http://127.0.0.1:8080
LARGE_FILE_SIZE         bytes of the large file; default 1 GiB
MANY_FILES_TEST_COUNT   files of the test with many; default 1000
STAGE_TIMEOUT           seconds that a recall from tape may take; default 3600
MIGRATE_COMMAND         for tape backends: a shell command that sends the file whose id follows to tape
                        and frees its place on disk; without it the files stay where the backend puts them
"""

import ast
import hashlib
import http.client
import itertools
import json
import os
import random
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import unquote, urlsplit

import pytest
import requests

ARCHIVE_URL = os.getenv("ARCHIVE_URL", "http://127.0.0.1:8080").rstrip("/")
LARGE_FILE_SIZE = int(os.getenv("LARGE_FILE_SIZE", str(1 << 30)))  # bytes
MANY_FILES_TEST_COUNT = int(os.getenv("MANY_FILES_TEST_COUNT", "1000"))
STAGE_TIMEOUT = float(os.getenv("STAGE_TIMEOUT", "3600"))  # seconds
MIGRATE_COMMAND = os.getenv("MIGRATE_COMMAND", "")

TIMEOUT = (10, 300)  # seconds to connect, and without a byte from the service
POLL = 1  # seconds, at most, between two questions whether a file is on disk
FIRST_POLL = 0.1  # seconds; each pause is twice as long as the one before
BLOCK_SIZE = 1 << 20  # bytes
THREADS = 8
MOD_TIME = 1473806059  # epoch seconds
JSON = {"Content-Type": "application/json"}

# Each run has ids of its own: a random range of them, where no site has its files.
_ids = itertools.count((1 << 62) | (secrets.randbits(36) << 26))
_used: list[str] = []
_of_thread = threading.local()


class Stream:
    """*size* bytes that differ from block to block, made while they are read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._noise = random.Random(size).randbytes(BLOCK_SIZE - 8)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for number, start in enumerate(range(0, self._size, BLOCK_SIZE)):
            yield (number.to_bytes(8, "big") + self._noise)[: self._size - start]


Content = bytes | Stream


def new_id() -> str:
    """Return an id that nobody uses; its file is deleted in the end."""
    file_id = str(next(_ids))
    _used.append(file_id)
    return file_id


@dataclass(frozen=True)
class Sample:
    """A file that the ordered tests put, stage and read."""

    name: str
    content: Content
    file_id: str

    def __str__(self) -> str:
        return self.name


TEXT = Sample("text", "Ein Satz mit Umlauten: äöüß.\nAnd a second line.\n".encode(), new_id())
BINARY = Sample("binary", bytes(range(256)) * 40 + b"\r\n\0\x1a", new_id())
EMPTY = Sample("empty", b"", new_id())
LARGE = Sample("large", Stream(LARGE_FILE_SIZE), new_id())
SAMPLES = [TEXT, BINARY, EMPTY, LARGE]
MANY = [new_id() for _ in range(MANY_FILES_TEST_COUNT)]

every_sample = pytest.mark.parametrize("sample", SAMPLES, ids=str)


@pytest.fixture(scope="module", autouse=True)
def _cleaning_up() -> Iterator[None]:
    """Delete every file of this run, whatever came of the tests."""
    try:
        ask("GET", "")
    except requests.RequestException as error:
        pytest.exit(f"no service answers at ARCHIVE_URL={ARCHIVE_URL}: {error}", 1)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a run that is killed cleans up too
    yield
    with ThreadPoolExecutor(THREADS) as pool:
        left = [file_id for file_id, gone in zip(_used, pool.map(_is_gone, _used), strict=True) if not gone]
    signal.signal(signal.SIGTERM, before)
    assert not left, "these files could not be deleted"


def _is_gone(file_id: str) -> bool:
    try:
        return ask("DELETE", file_id).status_code in (200, 404)
    except requests.RequestException:
        return False


def ask(
    method: str,
    path: str,
    data: Content | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
    *,
    stream: bool = False,
) -> requests.Response:
    """Send a request over the thread's own connection."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    session: requests.Session = _of_thread.session
    return session.request(method, f"{ARCHIVE_URL}/{path}", data=data, headers=headers, stream=stream, timeout=TIMEOUT)


def put(file_id: str, content: Content, headers: dict[str, str] | None = None) -> None:
    """Put a file that must be accepted."""
    response = ask("PUT", file_id, content, headers)
    assert response.status_code == 201, response.text
    assert response.json() == {"message": "File added to archive", "total_bytes": str(len(content))}


def get(file_id: str) -> requests.Response:
    """Get a file that must be there, after its recall if it is on tape; the body is not read yet."""
    response = ask("GET", file_id, stream=True)
    if response.status_code == 503 and "Retry-After" in response.headers:
        response.close()
        wait_for_disk(file_id)
        response = ask("GET", file_id, stream=True)
    assert response.status_code == 200, response.text
    return response


def bytes_of(file_id: str) -> bytes:
    """Return the content of a small file."""
    with get(file_id) as response:
        return response.content


def head(file_id: str) -> requests.Response:
    """Ask for the status of a file that must be there."""
    response = ask("HEAD", file_id)
    assert response.status_code in (200, 204)  # [http] head = standard, and documented
    return response


def media_of(file_id: str) -> str:
    """Return where the bytes of the file are: disk or tape."""
    return head(file_id).headers["X-Pacifica-File-Storage-Media"]


def wait_for_disk(file_id: str) -> None:
    """Wait for the end of a recall, as cartd does it."""
    deadline, pause = time.monotonic() + STAGE_TIMEOUT, FIRST_POLL
    while media_of(file_id) != "disk":
        assert time.monotonic() < deadline, f"{file_id} was not recalled within STAGE_TIMEOUT"
        time.sleep(pause)
        pause = min(2 * pause, POLL)


def migrate(file_id: str) -> bool:
    """Send the file to tape if there is a way to; return whether it is there now and nowhere else."""
    if not MIGRATE_COMMAND:
        return False
    subprocess.run(f"{MIGRATE_COMMAND} {file_id}", shell=True, check=True)
    assert media_of(file_id) == "tape", "MIGRATE_COMMAND left the file on disk"
    return True


def move(path: str, file_id: str, media_type: str = "application/json") -> requests.Response:
    """Ask for the file at *path* on the server to become *file_id*."""
    return ask("PATCH", file_id, json.dumps({"path": path}).encode(), {"Content-Type": media_type})


def path_on_server(file_id: str) -> str:
    """Return where the backend keeps the file."""
    return unquote(head(file_id).headers["X-Pacifica-File"])


def digest_of(blocks: Iterable[bytes]) -> str:
    """Return the SHA-256 of all *blocks* together."""
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def blocks_of(content: Content) -> Iterable[bytes]:
    """Return the content in pieces."""
    return [content] if isinstance(content, bytes) else content


def content_of(file_id: str) -> bytes:
    """Return what the test with many files stores as *file_id*: 0 to 40,000 bytes that name the id."""
    return f"{file_id}\n".encode() * (int(file_id) % 2000)


def of_all(action: Callable[[str], object], file_ids: list[str]) -> None:
    """Do *action* for each id, from eight threads; the first failure is raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(action, file_ids):
            pass


def connection_to_server() -> http.client.HTTPConnection:
    """Return a connection for requests that the requests library is too polite to send."""
    parts = urlsplit(ARCHIVE_URL)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=TIMEOUT[1])


def path_in_url(file_id: str) -> str:
    """Return what follows method and blank in a request for the id."""
    return f"{urlsplit(ARCHIVE_URL).path}/{file_id}"


def assert_error(response: requests.Response, status: int) -> None:
    """Check that the service refused, in the one form of all errors."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"].startswith("application/json")
    body = response.json()
    assert sorted(body) == ["message", "status", "traceback", "version"]
    assert body["status"].startswith(f"{status} ")
    assert body["message"]
    assert "total_bytes" not in body  # ingest takes an answer with this key for a success


def test_the_service_is_up() -> None:
    response = ask("GET", "")
    assert response.status_code == 200
    assert response.json() == {"message": "Pacifica Archive Interface Up and Running"}


@every_sample
def test_a_file_is_put(sample: Sample) -> None:
    put(sample.file_id, sample.content, {"Last-Modified": formatdate(MOD_TIME, usegmt=True)})


@every_sample
def test_a_file_is_staged(sample: Sample) -> None:
    # An empty file has no bytes that could be on tape.
    on_tape = bool(sample.content) and migrate(sample.file_id)
    response = ask("POST", sample.file_id)
    assert response.json()["file"] == f"/{sample.file_id}"
    if on_tape or response.status_code == 202:
        assert response.status_code == 202
        assert response.json()["message"] == "File is being staged"
        assert response.headers["Retry-After"]
        wait_for_disk(sample.file_id)
        response = ask("POST", sample.file_id)
    assert response.status_code == 200
    assert response.json()["message"] == "File was staged"


@every_sample
def test_the_status_tells_what_was_put(sample: Sample) -> None:
    headers = head(sample.file_id).headers
    assert headers["X-Pacifica-Messsage"] == headers["X-Pacifica-Message"] == "File was found"
    assert headers["X-Content-Length"] == str(len(sample.content))
    assert headers["X-Pacifica-File-Storage-Media"] == "disk"
    assert headers["X-Pacifica-File"]
    assert headers["Content-Type"] == "application/json"
    assert float(headers["X-Pacifica-Ctime"]) > MOD_TIME
    levels = ast.literal_eval(headers["X-Pacifica-Bytes-Per-Level"])
    assert isinstance(levels, tuple)
    assert all(isinstance(level, int) for level in levels)


@every_sample
def test_the_status_tells_the_modification_time_that_was_put(sample: Sample) -> None:
    response = head(sample.file_id)
    text = response.headers["Last-Modified"]
    if response.status_code == 204:
        assert float(text) == MOD_TIME  # documented: epoch seconds, which cartd passes to float()
    else:
        assert parsedate_to_datetime(text).timestamp() == MOD_TIME
        assert response.headers["Content-Length"] == str(len(sample.content))


@every_sample
def test_a_file_comes_back_byte_by_byte(sample: Sample) -> None:
    with get(sample.file_id) as response:
        assert response.headers["Content-Length"] == str(len(sample.content))
        assert digest_of(response.iter_content(BLOCK_SIZE)) == digest_of(blocks_of(sample.content))


@every_sample
def test_reading_tells_type_time_and_version(sample: Sample) -> None:
    with get(sample.file_id) as response:
        headers = response.headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Last-Modified"] == formatdate(MOD_TIME, usegmt=True)
    assert headers["ETag"] == head(sample.file_id).headers["ETag"]
    assert "Content-Encoding" not in headers


def test_a_file_that_nobody_staged_is_read_all_the_same() -> None:
    file_id = new_id()
    put(file_id, b"straight from tape")
    migrate(file_id)
    assert bytes_of(file_id) == b"straight from tape"


def test_a_body_of_unknown_length_is_put() -> None:
    file_id = new_id()
    response = ask("PUT", file_id, iter([b"first ", b"second ", b"third"]))
    if response.status_code == 411:  # uWSGI without a reverse proxy before it
        assert ask("GET", file_id).status_code == 404
        return
    assert response.status_code == 201, response.text
    assert response.json()["total_bytes"] == "18"
    assert bytes_of(file_id) == b"first second third"


def test_a_part_of_a_file_is_read() -> None:
    assert isinstance(BINARY.content, bytes)
    response = ask("GET", BINARY.file_id, headers={"Range": "bytes=1000-1999"})
    assert response.status_code == 206, response.text
    assert response.headers["Content-Range"] == f"bytes 1000-1999/{len(BINARY.content)}"
    assert response.content == BINARY.content[1000:2000]


def test_many_files_are_put_from_eight_threads() -> None:
    of_all(lambda file_id: put(file_id, content_of(file_id)), MANY)


def test_many_files_are_staged_from_eight_threads() -> None:
    def stage(file_id: str) -> None:
        assert ask("POST", file_id).status_code in (200, 202)
        wait_for_disk(file_id)

    of_all(stage, MANY)


def test_each_of_many_files_comes_back_with_its_own_bytes() -> None:
    def compare(file_id: str) -> None:
        is_same = bytes_of(file_id) == content_of(file_id)  # a diff of such bytes would take minutes
        assert is_same, f"/{file_id} came back with other bytes"

    of_all(compare, MANY)


def test_the_same_file_may_be_put_again() -> None:
    file_id = new_id()
    put(file_id, b"the same")
    put(file_id, b"the same")
    assert bytes_of(file_id) == b"the same"


@pytest.mark.parametrize(
    "content", [b"new", b"", b"new and longer than the old one"], ids=["shorter", "empty", "longer"]
)
def test_a_second_put_replaces_the_file_or_is_refused(content: bytes) -> None:
    file_id = new_id()
    put(file_id, b"the old bytes")
    response = ask("PUT", file_id, content)
    if response.status_code == 409:  # [archive] overwrite = refuse
        assert_error(response, 409)
        assert bytes_of(file_id) == b"the old bytes"
    else:
        assert response.status_code == 201, response.text
        assert bytes_of(file_id) == content


def test_an_upload_that_breaks_off_changes_nothing() -> None:
    file_id = new_id()
    put(file_id, b"the old bytes")
    with closing(connection_to_server()) as connection:
        connection.putrequest("PUT", path_in_url(file_id))
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"not a thousand bytes")
    assert bytes_of(file_id) == b"the old bytes"


def test_a_put_that_expects_no_file_spares_the_one_that_is_there() -> None:
    file_id = new_id()
    put(file_id, b"the old bytes")
    assert_error(ask("PUT", file_id, b"new", {"If-None-Match": "*"}), 412)
    assert bytes_of(file_id) == b"the old bytes"


def test_a_file_moves_to_another_id() -> None:
    old, new = new_id(), new_id()
    put(old, b"on the move")
    response = move(path_on_server(old), new)
    assert response.status_code == 200, response.text
    assert response.json() == {"message": "File Moved Successfully"}
    assert bytes_of(new) == b"on the move"
    assert_error(ask("GET", old), 404)


def test_a_file_that_is_not_there_cannot_be_moved() -> None:
    old, new = new_id(), new_id()
    put(old, b"gone before it moves")
    path = path_on_server(old)
    ask("DELETE", old)
    assert_error(move(path, new), 404)
    assert_error(ask("GET", new), 404)


def test_a_move_from_outside_the_archive_is_refused() -> None:
    file_id = new_id()
    assert_error(move("/etc/passwd", file_id), 403)
    assert_error(ask("GET", file_id), 404)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"path": 5}', b"\xff"])
def test_a_move_that_names_no_path_is_refused(body: bytes) -> None:
    assert_error(ask("PATCH", new_id(), body, JSON), 400)


def test_a_move_that_is_not_in_json_is_refused() -> None:
    assert_error(move(path_on_server(TEXT.file_id), new_id(), media_type="text/plain"), 415)


def test_a_deleted_file_is_gone() -> None:
    file_id = new_id()
    put(file_id, b"not for long")
    response = ask("DELETE", file_id)
    assert response.status_code == 200, response.text
    assert response.json() == {"message": "File deleted"}
    assert_error(ask("GET", file_id), 404)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_missing_file_is_not_found(method: str) -> None:
    assert_error(ask(method, new_id()), 404)


def test_a_status_that_fails_has_the_headers_of_one_that_succeeds() -> None:
    response = ask("HEAD", new_id())
    assert response.status_code == 404
    assert response.headers["X-Pacifica-Messsage"] == response.headers["X-Pacifica-Message"] == "File Not found"
    for name in ("File", "Ctime", "Bytes-Per-Level", "File-Storage-Media"):
        assert response.headers[f"X-Pacifica-{name}"] == "File Not Found"
    assert response.headers["X-Content-Length"] == response.headers["Last-Modified"] == "File Not Found"


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    ["..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "5%2F6", "5/6", "5/", ".hidden", "5%00", "1" * 300],
    ids=["parents", "absolute", "encoded slash", "two segments", "slash at the end", "dot", "NUL", "long"],
)
def test_an_id_that_is_none_is_refused(method: str, path: str) -> None:
    body = b'{"path": "/etc/passwd"}' if method in ("PUT", "PATCH") else None
    assert ask(method, path, body, JSON).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_the_root_is_for_reading_only(method: str) -> None:
    response = ask(method, "", b"{}", JSON)
    assert_error(response, 405)
    assert "GET" in response.headers["Allow"]


def test_a_method_that_nobody_knows_is_refused() -> None:
    response = ask("BREW", TEXT.file_id)
    assert_error(response, 405)
    assert "PATCH" in response.headers["Allow"]


def test_a_put_without_any_length_is_refused() -> None:
    with closing(connection_to_server()) as connection:
        connection.putrequest("PUT", path_in_url(new_id()))
        connection.endheaders()
        assert connection.getresponse().status == 411


@pytest.mark.parametrize("text", ["yesterday", "-1", "nan", "2016-13-45"])
def test_a_modification_time_that_is_none_is_refused(text: str) -> None:
    file_id = new_id()
    assert_error(ask("PUT", file_id, b"x", {"Last-Modified": text}), 400)
    assert_error(ask("GET", file_id), 404)


def test_a_range_beyond_the_end_is_refused() -> None:
    response = ask("GET", BINARY.file_id, headers={"Range": "bytes=99999999-"})
    assert_error(response, 416)
    assert isinstance(BINARY.content, bytes)
    assert response.headers["Content-Range"] == f"bytes */{len(BINARY.content)}"


@pytest.mark.parametrize("text", ["5", "9-2", "a-b"])
def test_a_malformed_range_query_is_refused(text: str) -> None:
    assert_error(ask("GET", f"{TEXT.file_id}?byte_range={text}"), 400)
