"""Digests over HTTP: verified at the door, told to clients, checked when files are read and scrubbed."""

import base64
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacifica.archiveinterface.config import ArchiveOptions
from pacifica.archiveinterface.exception import ConfigurationError

from .admin_test import COMMAND, run
from .conftest import Serve
from .support import TIMEOUT, Backend, Service, serving, tree_of

CONTENT = random.Random(7).randbytes(1_000_000)  # the same in every process that runs tests
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
REPR = f"sha-256=:{SHA256}:"


def flip_a_bit(path: Path, offset: int) -> None:
    """Change one bit of the file, as a disk that forgets does."""
    mode = path.stat().st_mode
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=times)
    path.chmod(mode)


def stored_file(service: Service, file_id: str = "7") -> Path:
    return Path(service.archive.file(file_id).filepath)


def test_the_digest_is_told_by_every_verb(service: Service) -> None:
    assert service.request("PUT", "/7", data=CONTENT).headers["Repr-Digest"] == REPR
    assert service.request("GET", "/7").headers["Repr-Digest"] == REPR
    assert service.request("HEAD", "/7").headers["Repr-Digest"] == REPR
    assert service.request("GET", "/7", headers={"Range": "bytes=0-4"}).headers["Repr-Digest"] == REPR


def test_the_configured_digests_are_kept(serve: Serve) -> None:
    service = serve(archive=ArchiveOptions(digests=("md5", "adler32")))
    service.request("PUT", "/7", data=CONTENT)
    adler = f"{zlib.adler32(CONTENT):08x}"
    assert service.request("HEAD", "/7", headers={"Want-Digest": "ADLER32"}).headers["Digest"] == f"adler32={adler}"
    wanted = service.request("GET", "/7", headers={"Want-Repr-Digest": "adler=5"}).headers["Repr-Digest"]
    assert wanted == f"adler=:{base64.b64encode(bytes.fromhex(adler)).decode()}:"
    assert "Digest" not in service.request("GET", "/7", headers={"Want-Digest": "sha-512"}).headers


def test_no_digest_is_kept_where_none_is_configured(serve: Serve) -> None:
    service = serve(archive=ArchiveOptions(digests=()))
    assert "Repr-Digest" not in service.request("PUT", "/7", data=CONTENT).headers
    assert service.request("GET", "/7").content == CONTENT


@pytest.mark.parametrize(
    ("header", "right", "wrong"),
    [
        ("Content-Digest", REPR, REPR.replace(SHA256, base64.b64encode(bytes(32)).decode())),
        ("Repr-Digest", REPR, REPR.replace(SHA256, base64.b64encode(bytes(32)).decode())),
        ("Digest", f"SHA-256={SHA256}", f"SHA-256={base64.b64encode(bytes(32)).decode()}"),
        ("Digest", f"sha1={hashlib.sha1(CONTENT).hexdigest()}", f"sha1={'0' * 40}"),
        ("Digest", f"adler32={zlib.adler32(CONTENT):08x}", "adler32=00000000"),
        (
            "Content-MD5",
            base64.b64encode(hashlib.md5(CONTENT).digest()).decode(),
            base64.b64encode(bytes(16)).decode(),
        ),
    ],
)
def test_a_digest_that_the_client_sends_is_verified(
    service: Service, prefix: Path, header: str, right: str, wrong: str
) -> None:
    answer = service.request("PUT", "/7", data=CONTENT, headers={header: wrong})
    assert answer.status_code == 400
    assert "total_bytes" not in answer.text
    assert tree_of(prefix) == {}
    assert service.request("PUT", "/7", data=CONTENT, headers={header: right}).status_code == 201
    assert service.request("PUT", "/7", data=b"other", headers={header: right}).status_code == 400
    assert service.request("GET", "/7").content == CONTENT


def test_a_file_without_a_digest_gets_one_at_its_first_full_read(service: Service, prefix: Path) -> None:
    source = prefix / "incoming" / "upload"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    service.request("PATCH", "/7", json={"path": str(source)})
    assert "Repr-Digest" not in service.request("HEAD", "/7").headers
    service.request("GET", "/7", headers={"Range": "bytes=0-4"})
    assert "Repr-Digest" not in service.request("HEAD", "/7").headers
    assert service.request("GET", "/7").content == CONTENT
    assert service.request("HEAD", "/7").headers["Repr-Digest"] == REPR


def test_a_digest_moves_with_its_file_and_is_not_brought_along(service: Service, prefix: Path) -> None:
    service.request("PUT", "/7", data=CONTENT)
    service.request("PATCH", "/80000", json={"path": str(stored_file(service))})
    assert service.request("HEAD", "/80000").headers["Repr-Digest"] == REPR
    forged = prefix / "incoming"
    forged.write_bytes(b"x") if service.archive.use_id2filename else (prefix / "sub").mkdir()
    if not service.archive.use_id2filename:
        forged = prefix / "sub" / "incoming"
        forged.write_bytes(b"x")
    os.setxattr(forged, "user.pacifica.digest.sha-256", b"00" * 32)
    service.request("PATCH", "/9", json={"path": str(forged)})
    assert "Repr-Digest" not in service.request("HEAD", "/9").headers


def test_a_verified_read_breaks_off_before_the_last_block(backend: Backend, prefix: Path) -> None:
    with serving(backend.make(prefix, {"archive": ArchiveOptions(verify_reads=True)})) as service:
        service.request("PUT", "/7", data=CONTENT)
        assert service.request("GET", "/7").content == CONTENT
        flip_a_bit(stored_file(service), 500_000)
        answer = service.raw(b"GET /7 HTTP/1.1\r\nHost: a\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Length: 1000000" in head
        assert len(body) < 1_000_000
        for verb in ("GET", "HEAD"):
            assert service.request(verb, "/7").status_code == 500
        assert "damaged" in service.request("GET", "/7").json()["message"]
        assert service.request("GET", "/7", headers={"Range": "bytes=0-4"}).status_code == 500
        service.request("PUT", "/7", data=CONTENT)
        assert service.request("GET", "/7").content == CONTENT


def test_a_small_or_empty_file_is_verified_too(serve: Serve) -> None:
    service = serve(archive=ArchiveOptions(verify_reads=True))
    for content in (b"x", b""):
        service.request("PUT", "/7", data=content, headers={"Content-Length": str(len(content))})
        assert service.request("GET", "/7").content == content
    service.request("PUT", "/7", data=b"x")
    flip_a_bit(stored_file(service), 0)
    answer = service.request("GET", "/7")
    assert answer.status_code == 500
    assert "damaged" in answer.json()["message"]
    assert not {"ETag", "Repr-Digest", "Last-Modified", "Accept-Ranges"} & set(answer.headers)


def test_the_etag_is_the_content_s_and_outlives_a_scrub(service: Service, prefix: Path) -> None:
    first = service.request("PUT", "/7", data=CONTENT).headers["ETag"]
    assert service.request("PUT", "/8", data=CONTENT).headers["ETag"] == first
    assert service.request("PUT", "/8", data=b"other").headers["ETag"] != first
    os.chmod(stored_file(service), 0o440)
    assert service.request("GET", "/7", headers={"If-None-Match": first}).status_code == 304


@pytest.mark.parametrize("length", ["known", "chunked"])
def test_the_reserve_is_kept_free(backend: Backend, serve: Serve, prefix: Path, length: str) -> None:
    if not backend.keeps_reserve:
        with pytest.raises(ConfigurationError, match="reserve_bytes"):
            serve(archive=ArchiveOptions(reserve_bytes=1 << 60))
        return
    service = serve(archive=ArchiveOptions(reserve_bytes=1 << 60))
    body: bytes | Iterator[bytes] = CONTENT if length == "known" else iter([CONTENT])
    answer = service.request("PUT", "/7", data=body)
    assert answer.status_code == 507
    assert answer.json()["status"].startswith("507 ")
    assert tree_of(prefix) == {}
    assert not list((prefix / ".partial").iterdir())


@pytest.mark.parametrize("level", ["full", "file", "none"])
def test_every_level_of_durability_serves(serve: Serve, prefix: Path, level: str) -> None:
    service = serve(archive=ArchiveOptions(durability=level))
    (prefix / "incoming").mkdir()
    (prefix / "incoming" / "upload").write_bytes(b"moved")
    assert service.request("PUT", "/70000", data=CONTENT).status_code == 201
    assert service.request("PATCH", "/8", json={"path": str(prefix / "incoming" / "upload")}).status_code == 200
    assert service.request("GET", "/70000").content == CONTENT
    assert service.request("DELETE", "/70000").status_code == 200


# The scrub, on the posix backend with plain names.


def findings(*arguments: str) -> tuple[int, dict[str, str], dict[str, int]]:
    """Run verify with --json; return exit code, results by path, and the summary."""
    ended = run(*arguments, "--json")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    return ended.returncode, {line["path"]: line["result"] for line in lines[:-1]}, lines[-1]["summary"]


@pytest.fixture
def scrubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with files of every kind that a scrub may meet."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    prefix = tmp_path / "archive"
    prefix.mkdir()
    for name in ("good", "bad"):
        (prefix / name).write_bytes(CONTENT)
        assert run("--prefix", str(prefix), "verify", name, "--record").returncode == 0
    flip_a_bit(prefix / "bad", 12345)
    (prefix / "new").write_bytes(b"x")
    (prefix / ".partial").mkdir()
    (prefix / ".partial" / "left").write_bytes(b"half")
    (prefix / "sub").mkdir()
    (prefix / "sub" / "stray").write_bytes(b"x")
    return prefix


def test_a_scrub_says_of_each_file_what_it_is(scrubbed: Path) -> None:
    code, results, summary = findings("--prefix", str(scrubbed), "verify", "--jobs", "4")
    assert code == 1
    assert results == {
        "good": "ok",
        "bad": "damaged",
        "new": "no digest",
        ".partial/left": "partial",
        "sub/stray": "unknown",
    }
    assert summary == {"ok": 1, "damaged": 1, "no digest": 1, "partial": 1, "unknown": 1}
    assert findings("--prefix", str(scrubbed), "verify", "good", "new")[0] == 0


def test_a_scrub_names_what_is_not_fine(scrubbed: Path) -> None:
    ended = run("--prefix", str(scrubbed), "verify", "good", "bad", "404", "../x")
    assert ended.returncode == 1
    assert [line.partition(":")[0] for line in ended.stdout.splitlines()[:-1]] == ["bad", "404", "../x"]


def test_damage_that_was_repaired_is_forgotten(scrubbed: Path) -> None:
    prefix = str(scrubbed)
    assert findings("--prefix", prefix, "verify", "bad")[1] == {"bad": "damaged"}
    assert json.loads(run("--prefix", prefix, "status", "bad", "--json").stdout)["damaged"]
    flip_a_bit(scrubbed / "bad", 12345)
    assert findings("--prefix", prefix, "verify", "bad")[1] == {"bad": "ok"}
    assert not json.loads(run("--prefix", prefix, "status", "bad", "--json").stdout)["damaged"]


def test_a_scrub_records_digests_on_demand(scrubbed: Path) -> None:
    assert findings("--prefix", str(scrubbed), "verify", "new", "--record")[1] == {"new": "recorded"}
    assert findings("--prefix", str(scrubbed), "verify", "new")[1] == {"new": "ok"}


def test_an_interrupted_scrub_goes_on_where_it_was(scrubbed: Path, tmp_path: Path) -> None:
    for number in range(100, 140):
        (scrubbed / str(number)).write_bytes(CONTENT)
    state = str(tmp_path / "state.json")
    command = [COMMAND, "--prefix", str(scrubbed), "verify", "--rate", "5", "--state", state, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        for _ in range(6):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == 130
    done = json.loads(Path(state).read_text())
    code, results, summary = findings("--prefix", str(scrubbed), "verify", "--state", state)
    assert done["after"] not in results
    assert sum(summary.values()) - summary["partial"] == 44 + done["counts"]["partial"] - 1
    assert code == 1
    assert not Path(state).exists()


def test_a_scrub_that_cannot_read_its_state_says_so(scrubbed: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("nonsense")
    ended = run("--prefix", str(scrubbed), "verify", "--state", str(state))
    assert ended.returncode == 2
    assert str(state) in ended.stderr
    assert run("--prefix", str(scrubbed), "verify", "--state", str(state), "--rate", "0").returncode == 2
    assert run("--prefix", str(scrubbed), "verify", "--jobs", "0").returncode == 2


def test_uploads_in_flight_are_no_left_overs(service: Service, prefix: Path) -> None:
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(b"PUT /7 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha")
        while not list((prefix / ".partial").glob("*")):
            time.sleep(0.01)
        assert findings("--prefix", str(prefix), "verify")[1] == {}
        connection.sendall(b"lf")
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")


def test_status_prints_what_is_known(scrubbed: Path) -> None:
    ended = run("--prefix", str(scrubbed), "status", "good", "404")
    assert ended.returncode == 1
    assert hashlib.sha256(CONTENT).hexdigest() in ended.stdout
    assert "1000000" in ended.stdout
    assert ended.stderr.startswith("404: ")
