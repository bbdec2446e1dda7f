"""The service on S3 as its clients see it: a launcher on SeaweedFS, asked by curl and over HTTP."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.backends.s3.support import objects_below, split, write_config
from tests.support.forked import forked_launcher, refusal_of_main
from tests.support.needs import need
from tests.support.processes import Server
from tests.support.seaweedfs import SeaweedFS
from tests.support.service import TIMEOUT

SUITE = Path(__file__).parents[3] / "post_deployment_tests" / "deployment_test.py"
MIB = 1 << 20  # bytes
CONTENT = b"the content of the file"
LARGE = os.urandom(11 * MIB)

Curl = Callable[..., bytes]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for the tests of this file."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def running(place: Path, store: SeaweedFS) -> Iterator[Server]:
    """A launcher with small parts, on an archive of its own."""
    uploads = place / "uploads"
    uploads.mkdir()
    config = write_config(place, store, part_size=5242880, archive=f"move_roots = {uploads}")
    with forked_launcher("s3://archive/service", "-t", "s3", "-c", str(config)) as server:
        yield server


@pytest.fixture(scope="module")
def redirecting(place: Path, store: SeaweedFS) -> Iterator[Server]:
    """A launcher on the same archive that lets the store send files."""
    settings = "sendfile = presigned\npresigned_seconds = 60"
    config = write_config(place, store, name="presigned.ini", http=settings)
    with forked_launcher("s3://archive/service", "-t", "s3", "-c", str(config)) as server:
        yield server


@pytest.fixture
def curl(tmp_path: Path) -> Curl:
    """Run curl and return what it writes to standard output."""
    need("curl")

    def run(*arguments: str, stdin: bytes = b"") -> bytes:
        command = ["curl", "-sS", "--max-time", str(TIMEOUT), *arguments]
        return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True, cwd=tmp_path).stdout

    return run


def digest_field(content: bytes) -> str:
    """Return the Repr-Digest of *content*."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def test_the_verbs_by_curl(running: Server, curl: Curl, place: Path, tmp_path: Path, store: SeaweedFS) -> None:
    url = f"{running.url}/12345"
    (tmp_path / "file").write_bytes(LARGE)
    stored = json.loads(curl("-T", "file", url))
    assert stored == {"message": "File added to archive", "total_bytes": str(len(LARGE))}
    head = curl("-I", url).decode().splitlines()
    assert head[0].split()[1] == "204"
    assert f"X-Content-Length: {len(LARGE)}" in head
    assert "X-Pacifica-File-Storage-Media: disk" in head
    assert f"Repr-Digest: {digest_field(LARGE)}" in head
    assert curl(url) == LARGE
    assert curl("-r", "5242875-5242884", url) == LARGE[5242875:5242885]
    assert json.loads(curl("-X", "POST", url))["message"] == "File was staged"
    path = next(line for line in head if line.startswith("X-Pacifica-File:")).split()[1]
    assert path == "s3://archive/service/39/3039"
    move = ["-X", "PATCH", "-H", "Content-Type: application/json"]
    assert json.loads(curl(*move, "-d", json.dumps({"path": path}), f"{running.url}/5")) == {
        "message": "File Moved Successfully"
    }
    assert curl("-o", "none", "-w", "%{http_code}", url) == b"404"
    local = place / "uploads" / "local"
    local.write_bytes(CONTENT)
    assert b"Successfully" in curl(*move, "-d", json.dumps({"path": str(local)}), f"{running.url}/6")
    assert curl(f"{running.url}/6") == CONTENT
    assert json.loads(curl("-X", "DELETE", f"{running.url}/5")) == {"message": "File deleted"}
    curl("-X", "DELETE", f"{running.url}/6")
    assert objects_below(store, "s3://archive/service") == [".notes/layout"]


def test_a_chunked_upload_of_unknown_length_by_curl(running: Server, curl: Curl) -> None:
    url = f"{running.url}/77"
    assert json.loads(curl("-T", "-", url, stdin=LARGE))["total_bytes"] == str(len(LARGE))
    assert curl(url) == LARGE


def test_conditions_of_writing(running: Server) -> None:
    url = f"{running.url}/78"

    def ask(method: str, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, url, headers=named, data=CONTENT if method == "PUT" else None, timeout=TIMEOUT)

    first = ask("PUT", If_None_Match="*")
    assert first.status_code == 201
    etag = first.headers["ETag"]
    assert [ask(method).headers["ETag"] for method in ("GET", "HEAD")] == [etag, etag]
    assert ask("PUT", If_None_Match="*").status_code == 412
    assert ask("PUT", If_Match='"another"').status_code == 412
    assert ask("PUT", If_Match=etag).status_code == 201
    assert ask("GET", If_None_Match=etag).status_code == 304
    assert ask("HEAD", If_None_Match=etag).status_code == 304
    assert ask("GET", If_Match='"another"').status_code == 412
    assert ask("DELETE", If_Match='"another"').status_code == 412
    assert ask("DELETE", If_Unmodified_Since="Mon, 01 Jan 2001 00:00:00 GMT").status_code == 412
    assert ask("DELETE", If_Match=etag).status_code == 200
    assert ask("DELETE", If_Match=etag).status_code == 404
    assert ask("PUT", If_Match="*").status_code == 412


def test_the_deployment_tests_pass(running: Server, tmp_path: Path) -> None:
    variables = {"ARCHIVE_URL": running.url, "LARGE_FILE_SIZE": str(len(LARGE)), "MANY_FILES_TEST_COUNT": "20"}
    suite = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE)],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert suite.returncode == 0, suite.stdout + suite.stderr


# Files that the store sends


def test_the_store_sends_a_file(running: Server, redirecting: Server, curl: Curl) -> None:
    stored = requests.put(f"{running.url}/80", data=LARGE, timeout=TIMEOUT)
    url = f"{redirecting.url}/80"
    answer = requests.get(url, allow_redirects=False, timeout=TIMEOUT)
    assert answer.status_code == 307
    assert answer.content == b""
    assert answer.headers["ETag"] == stored.headers["ETag"]
    assert answer.headers["Repr-Digest"] == digest_field(LARGE)
    assert "X-Amz-Expires=60" in urlsplit(answer.headers["Location"]).query
    assert curl("-L", url) == LARGE
    assert curl("-L", "-r", "5242875-5242884", url) == LARGE[5242875:5242885]
    assert curl("-L", "-r", "-7", url) == LARGE[-7:]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "{etag}"}, 304),
        ({"If-None-Match": '"another"'}, 200),
        ({"If-Match": '"another"'}, 412),
        ({"If-Match": "{etag}"}, 200),
        ({"Range": "bytes=99-"}, 416),
        ({"Range": "bytes=0-1,3-4"}, 206),
        ({"Range": "bytes=0-1", "If-Range": '"another"'}, 200),
    ],
)
def test_the_service_answers_what_the_store_would_answer_otherwise(
    running: Server, redirecting: Server, headers: dict[str, str], status: int
) -> None:
    etag = requests.put(f"{running.url}/81", data=CONTENT, timeout=TIMEOUT).headers["ETag"]
    sent = {name: value.format(etag=etag) for name, value in headers.items()}
    answer = requests.get(f"{redirecting.url}/81", headers=sent, allow_redirects=False, timeout=TIMEOUT)
    assert answer.status_code == status
    old_query = f"{redirecting.url}/81?byte_range=4-11"
    assert requests.get(old_query, allow_redirects=False, timeout=TIMEOUT).content == CONTENT[4:11]
    assert requests.get(f"{redirecting.url}/82", allow_redirects=False, timeout=TIMEOUT).status_code == 404


def test_a_damaged_or_archived_file_is_not_redirected_to(redirecting: Server, store: SeaweedFS) -> None:
    digest = {"pacifica-digest-sha-256": hashlib.sha256(CONTENT).hexdigest()}
    for file_id, metadata, kind in (("5", {"pacifica-damaged": "yes"}, "STANDARD"), ("6", {}, "GLACIER")):
        place = split(f"s3://archive/service/file.{file_id}")
        store.client().put_object(**place, Body=CONTENT, Metadata={**digest, **metadata}, StorageClass=kind)
    damaged = requests.get(f"{redirecting.url}/5", allow_redirects=False, timeout=TIMEOUT)
    assert damaged.status_code == 500
    archived = requests.get(f"{redirecting.url}/6", allow_redirects=False, timeout=TIMEOUT)
    assert archived.status_code != 307


def test_the_service_sends_what_it_has_to_hash(place: Path, store: SeaweedFS) -> None:
    config = write_config(place, store, name="verify.ini", http="sendfile = presigned", archive="verify_reads = true")
    with forked_launcher("s3://archive/service", "-t", "s3", "-c", str(config)) as server:
        requests.put(f"{server.url}/83", data=CONTENT, timeout=TIMEOUT)
        answer = requests.get(f"{server.url}/83", allow_redirects=False, timeout=TIMEOUT)
        assert (answer.status_code, answer.content) == (200, CONTENT)


def test_only_a_backend_with_urls_can_redirect(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[http]\nsendfile = presigned\n")
    line = refusal_of_main("-t", "posix", "--prefix", str(tmp_path), "-c", str(config))
    assert "[http] sendfile = presigned: the files of this backend have no URLs" in line
