"""Digests over HTTP: verified at the door, told to clients, checked when files are read and scrubbed."""

import argparse
import base64
import hashlib
import io
import json
import os
import random
import re
import signal
import socket
import threading
import time
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, redirect_stdout
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, TextIO

import pytest

from pacifica.archiveinterface import globals as places
from pacifica.archiveinterface.backends.abstract.archive import Entry
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.backends.abstract.residency import Residency
from pacifica.archiveinterface.backends.posix.archive import PosixBackendArchive, PosixFile
from pacifica.archiveinterface.backends.posix.extendedfile import PosixReader
from pacifica.archiveinterface.commands.admin import add_commands
from pacifica.archiveinterface.commands.admin import run as run_command
from pacifica.archiveinterface.commands.scrub import Finding, Recalling, Scrub, Throttle
from pacifica.archiveinterface.commands.startup import Site
from pacifica.archiveinterface.exception import ConfigurationError, DamagedFileError, StorageError
from pacifica.archiveinterface.fixity import compare_or_store_digests
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.conftest import Serve
from tests.support.forked import ForkedProcess, begun_cmd
from tests.support.forked import forked_cmd as run
from tests.support.service import ONCE, POSIX_FLAT, TIMEOUT, Backend, Service, serving, tree_of

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


def check_digest(service: Service, prefix: Path, header: str, right: str, wrong: str) -> None:
    """Fail unless a body is stored with the *right* digest in the *header* only."""
    answer = service.request("PUT", "/7", data=CONTENT, headers={header: wrong})
    assert answer.status_code == 400
    assert "total_bytes" not in answer.text
    assert tree_of(prefix) == {}
    assert service.request("PUT", "/7", data=CONTENT, headers={header: right}).status_code == 201
    assert service.request("PUT", "/7", data=b"other", headers={header: right}).status_code == 400
    assert service.request("GET", "/7").content == CONTENT


def test_a_digest_that_the_client_sends_is_verified(service: Service, prefix: Path) -> None:
    wrong = REPR.replace(SHA256, base64.b64encode(bytes(32)).decode())
    check_digest(service, prefix, "Content-Digest", REPR, wrong)


@pytest.mark.parametrize(
    ("header", "right", "wrong"),
    [
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
@ONCE
def test_a_digest_in_any_header_and_of_any_algorithm_is_verified(
    service: Service, prefix: Path, header: str, right: str, wrong: str
) -> None:
    check_digest(service, prefix, header, right, wrong)


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


def test_a_digest_moves_with_its_file_and_is_not_brought_along(
    service: Service, backend: Backend, prefix: Path
) -> None:
    service.request("PUT", "/7", data=CONTENT)
    service.request("PATCH", "/80000", json={"path": str(stored_file(service))})
    assert service.request("HEAD", "/80000").headers["Repr-Digest"] == REPR
    forged = prefix / "incoming"
    forged.write_bytes(b"x") if service.archive.use_id2filename else (prefix / "sub").mkdir()
    if not service.archive.use_id2filename:
        forged = prefix / "sub" / "incoming"
        forged.write_bytes(b"x")
    backend.forge_notes(forged)
    assert service.request("PATCH", "/9", json={"path": str(forged)}).status_code == 200
    assert "Repr-Digest" not in service.request("HEAD", "/9").headers


def test_a_verified_read_breaks_off_before_the_last_block(backend: Backend, prefix: Path) -> None:
    with serving(backend.make(prefix, ArchiveOptions(verify_reads=True))) as service:
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


@ONCE
def test_a_read_is_verified_only_where_the_site_says_so(service: Service) -> None:
    service.request("PUT", "/7", data=b"x")
    flip_a_bit(stored_file(service), 0)
    assert service.request("GET", "/7").content == b"y"


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
    """Do --prefix PREFIX COMMAND ... --json in this process; return exit code, results by path, and the summary."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = run_on(PosixBackendArchive(arguments[1]), *arguments[2:], "--json")
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    return code, {line["path"]: line["result"] for line in lines[:-1]}, lines[-1]["summary"]


def run_on(archive: PosixBackendArchive, *arguments: str) -> int:
    """Run a command of the tool on *archive* and return the exit code."""
    parser = argparse.ArgumentParser()
    add_commands(parser)
    options = RecallOptions()
    site = Site(archive, RecallService(archive, Store("posix", options), options))
    return run_command(site, parser.parse_args(arguments))


def live_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let *home* be where this process, and those it starts, remember how far a scrub came."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(places, "HOME", home / places.HOME.name)


@pytest.fixture
def scrubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with files of every kind that a scrub may meet."""
    live_in(tmp_path / "home", monkeypatch)
    prefix = tmp_path / "archive"
    prefix.mkdir()
    for name in ("good", "bad"):
        (prefix / name).write_bytes(CONTENT)
        assert findings("--prefix", str(prefix), "verify", name, "--record")[1] == {name: "recorded"}
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


@contextmanager
def begun(tmp_path: Path, *arguments: str) -> Iterator[tuple[ForkedProcess, TextIO]]:
    """Begin to run the tool with *arguments* and --json, and yield its process and what reads its output."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "errors").touch()
    process = begun_cmd([*arguments, "--json"], None, os.devnull, str(pipe), str(tmp_path / "errors"))
    with pipe.open() as output:
        yield process, output


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scrub_goes_on_where_it_was(stop: signal.Signals, scrubbed: Path, tmp_path: Path) -> None:
    for number in range(100, 140):
        (scrubbed / str(number)).write_bytes(CONTENT)
    state = str(tmp_path / "state.json")
    with begun(tmp_path, "--prefix", str(scrubbed), "verify", "--rate", "5", "--state", state) as (process, output):
        lines = [output.readline() for _ in range(6)]
        process.send_signal(stop)
        lines += output.readlines()
        assert process.wait() == 130
    told = [json.loads(line)["path"] for line in lines]
    done = json.loads(Path(state).read_text())
    assert done["after"] == told[-1]
    assert sum(done["counts"].values()) == len(told) - 1  # unfinished uploads are told by each run
    code, results, summary = findings("--prefix", str(scrubbed), "verify", "--state", state)
    assert sorted([*told, *results]) == sorted([*every_path(scrubbed), ".partial/left"])
    assert sum(summary.values()) == len(every_path(scrubbed))
    assert code == 1
    assert not Path(state).exists()


def every_path(prefix: Path) -> list[str]:
    """Return the path below the prefix of each file."""
    return [str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()]


def test_a_finding_is_written_before_it_counts_as_reported(scrubbed: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    errors = tmp_path / "errors"
    errors.touch()
    command = ["--prefix", str(scrubbed), "verify", "--state", str(state)]
    assert begun_cmd(command, None, os.devnull, "/dev/full", str(errors)).wait() == 3
    # The log may tell of the damaged file beside it, which is read meanwhile.
    assert sum("cannot write the output" in line for line in errors.read_text().splitlines()) == 1
    assert json.loads(state.read_text()) == {"after": "", "counts": {}}


def test_a_reader_of_the_findings_may_leave(scrubbed: Path, tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    with begun(tmp_path, "--prefix", str(scrubbed), "verify", "--state", state) as (process, output):
        output.close()
        assert process.wait() == 3
    said = (tmp_path / "errors").read_text()
    assert "cannot write the output: broken pipe" in said
    assert "Traceback" not in said


def test_files_removed_while_a_scrub_runs_are_not_missing(scrubbed: Path, tmp_path: Path) -> None:
    for number in range(100, 120):
        (scrubbed / str(number)).write_bytes(CONTENT)
    (scrubbed / "bad").unlink()
    state = str(tmp_path / "state.json")
    with begun(tmp_path, "--prefix", str(scrubbed), "verify", "--rate", "5", "--state", state) as (process, output):
        output.readline()
        (scrubbed / "119").unlink()
        lines = output.readlines()
        assert process.wait() == 0
    assert '"path": "119", "result": "removed"' in "".join(lines)
    assert json.loads(lines[-1])["summary"]["removed"] == 1


def test_what_is_not_a_regular_file_is_unreadable(scrubbed: Path) -> None:
    os.mkfifo(scrubbed / "pipe")
    code, results, _ = findings("--prefix", str(scrubbed), "verify")
    assert (code, results["pipe"]) == (1, "unreadable")


def only_digest(path: Path, name: str) -> None:
    """Leave the file with one digest, of an algorithm that cannot be computed here."""
    path.chmod(0o644)
    os.removexattr(path, "user.pacifica.digest.sha-256")
    os.setxattr(path, f"user.pacifica.digest.{name}", b"\0\0\0\0")


def test_a_file_whose_digest_cannot_be_computed_is_not_ok(scrubbed: Path) -> None:
    only_digest(scrubbed / "good", "crc-of-tomorrow")
    code, results, _ = findings("--prefix", str(scrubbed), "verify", "good", "--record")
    assert (code, results) == (1, {"good": "unchecked"})
    assert "crc-of-tomorrow" in run("--prefix", str(scrubbed), "verify", "good").stdout
    os.setxattr(scrubbed / "good", "user.pacifica.digest.md5", hashlib.md5(CONTENT).digest())
    assert findings("--prefix", str(scrubbed), "verify", "good")[:2] == (0, {"good": "ok"})


def test_verified_reads_deliver_no_file_that_cannot_be_verified(tmp_path: Path) -> None:
    archive = POSIX_FLAT.make(tmp_path / "archive", ArchiveOptions(verify_reads=True))
    with serving(archive) as service:
        service.request("PUT", "/7", data=CONTENT)
        only_digest(stored_file(service), "crc-of-tomorrow")
        answer = service.request("GET", "/7")
        assert answer.status_code == 500
        assert "verified: crc-of-tomorrow cannot be computed here" in answer.json()["message"]
        assert service.request("GET", "/7", headers={"Range": "bytes=0-4"}).content == CONTENT[:5]
        assert service.request("HEAD", "/7").status_code == 204


ODD_NAMES = [b"caf\xe9", b"\x1b]0;title\x07", b"a\nFAKE: damaged", b"\xe2\x80\xaereversed", "e\u0301".encode()]


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict", "latin-1:strict"])
def test_any_name_is_printed_on_a_line_of_its_own(
    encoding: str, scrubbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for name in ODD_NAMES:
        (scrubbed / os.fsdecode(name)).write_bytes(b"x")
    ended = run("--prefix", str(scrubbed), "verify")
    lines = ended.stdout.splitlines()
    assert len(lines) == 3 + len(ODD_NAMES) + 2
    assert ended.stdout.replace("\n", "").isprintable()
    assert "caf\\xe9: no digest" in lines
    assert "\\x1b]0;title\\x07: no digest" in lines
    _, results, _ = findings("--prefix", str(scrubbed), "verify")
    assert {os.fsdecode(name) for name in ODD_NAMES} <= set(results)
    for command in ("status", "delete"):
        ended = run("--prefix", str(scrubbed), command, *map(os.fsdecode, ODD_NAMES), "\x1b[2J")
        assert (ended.stdout + ended.stderr).replace("\n", "").isprintable()
        assert ended.stderr.splitlines()[-1].startswith("\\x1b[2J: ")


class _FileThatNeverComes(PosixFile):
    """On tape, and stays there."""

    def residency(self) -> Residency:
        return Residency(size=1, disk=0, tape=1)


class _TapeThatNeverComes(PosixBackendArchive):
    """Every file is on tape, and stays there."""

    file_type = _FileThatNeverComes


class _UnlistableArchive(PosixBackendArchive):
    """The storage fails after some files were listed."""

    def entries(self, after: str = "") -> Iterator[Entry]:
        yield from islice(super().entries(after), 3)
        raise StorageError("the storage failed")


class _FileWithATelltaleName(PosixFile):
    """Is on tape only if its name says so."""

    def is_online(self) -> bool:
        """Return whether the name says nothing of tape."""
        return super().is_online() and self.path != "tape"


class _PartlyOnTape(PosixBackendArchive):
    """One of its files is on tape only."""

    file_type = _FileWithATelltaleName


def test_a_scrub_tells_all_that_was_found_of_a_file(tmp_path: Path) -> None:
    archive = _PartlyOnTape(str(tmp_path))
    sha256 = {"sha-256": hashlib.sha256(CONTENT).digest()}
    for file_id, kept in {
        "good": sha256,
        "bad": {"sha-256": bytes(32)},
        "tape": sha256,
        "none": {},
        "foreign": {"crc-a": b"a", "crc-b": b"b"},
    }.items():
        with archive.open(file_id, "w") as file:
            file.write(CONTENT)
            file.set_digests(kept)
    (tmp_path / "directory").mkdir()
    ids = ["404", "directory", "../x"]
    entries = [*archive.entries(), *(Entry(f"path of {file_id}", file_id) for file_id in ids)]
    found = {finding.path: finding for finding in Scrub(archive, absent="removed").run(entries)}
    details = {path: found[path].detail for path in ("bad", "path of 404", "path of directory", "path of ../x")}
    size = len(CONTENT)
    assert found == {
        "good": Finding("good", "good", "ok", size, sha256),
        "bad": Finding("bad", "bad", "damaged", size, sha256, details["bad"]),
        "tape": Finding("tape", "tape", "offline"),
        "none": Finding("none", "none", "no digest", size, sha256),
        "foreign": Finding("foreign", "foreign", "unchecked", size, {}, "crc-a, crc-b cannot be computed here"),
        **{
            f"path of {file_id}": Finding(f"path of {file_id}", file_id, result, detail=details[f"path of {file_id}"])
            for file_id, result in zip(ids, ("removed", "unreadable", "unreadable"), strict=True)
        },
    }
    assert all(re.fullmatch("[a-z].* .*[a-z]", detail) for detail in details.values()), details
    [recorded] = Scrub(archive, record=True).run([Entry("none", "none")])
    assert recorded == Finding("none", "none", "recorded", size, sha256)
    assert archive.file("none").status().digests == sha256


@pytest.mark.parametrize(("kept", "result"), [(hashlib.md5(CONTENT).digest(), "ok"), (bytes(16), "damaged")])
def test_a_file_is_compared_with_the_digest_it_has(tmp_path: Path, kept: bytes, result: str) -> None:
    archive = PosixBackendArchive(str(tmp_path))  # which computes sha-256 of new files
    with archive.open("7", "w") as file:
        file.write(CONTENT)
        file.set_digests({"md5": kept})
    assert findings("--prefix", str(tmp_path), "verify", "7")[1] == {"7": result}


class _Clock(threading.Event):
    """A clock that only waiting moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note *timeout* and let that time pass."""
        assert timeout is not None
        self.waits.append(round(timeout, 6))
        self.now += timeout
        return False


def test_a_scrub_reads_as_fast_as_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    throttle = Throttle(100, clock)
    for size in (50, 100, 10):
        throttle.take(size)
    clock.now += 60
    throttle.take(20)  # the minute in which nothing was read is no credit
    throttle.take(20)
    monkeypatch.undo()
    assert clock.waits == [0, 0.5, 1, 0, 0.2]


class _FileThatComes(PosixFile):
    """On tape; its recall ends when it is asked for the fourth time."""

    asked: ClassVar[list[str]] = []

    def is_online(self) -> bool:
        """Return whether the recall has ended."""
        return len(self.asked) > 3

    def stage(self) -> bool:
        """Count the request."""
        self.asked.append(self.path)
        return self.is_online()


class _TapeThatComes(PosixBackendArchive):
    """Every file is on tape, and comes when it is asked for."""

    file_type = _FileThatComes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    """The time of a scrub, which passes when the scrub waits."""
    clock = _Clock()
    events = SimpleNamespace(Event=lambda: clock, Lock=threading.Lock)
    monkeypatch.setattr("pacifica.archiveinterface.commands.scrub.threading", events)
    monkeypatch.setattr("pacifica.archiveinterface.commands.scrub.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.mark.parametrize(
    ("recall_seconds", "result", "waits"), [(0, "offline", []), (5, "unreadable", [5]), (100, "ok", [10, 10])]
)
def test_a_file_is_read_if_it_is_recalled_in_time(
    tmp_path: Path,
    clock: _Clock,
    monkeypatch: pytest.MonkeyPatch,
    recall_seconds: float,
    result: str,
    waits: list[float],
) -> None:
    monkeypatch.setattr("pacifica.archiveinterface.commands.scrub._RECALL_POLL", 10.0)
    archive = _TapeThatComes(str(tmp_path))
    archive.file("7").store([CONTENT], 7.0, lambda: {"sha-256": hashlib.sha256(CONTENT).digest()})
    monkeypatch.setattr(_FileThatComes, "asked", [])
    recalling = Recalling(lambda file_id: archive.file(file_id).stage(), recall_seconds) if recall_seconds else None
    (finding,) = Scrub(archive, recalling=recalling).run([Entry("7", "7")])
    assert (finding.result, clock.waits) == (result, waits)


def test_a_scrub_reads_no_faster_than_was_said(tmp_path: Path, clock: _Clock) -> None:
    archive = PosixBackendArchive(str(tmp_path))
    for file_id in ("7", "8"):
        archive.file(file_id).store([b"0123456789"], 7.0, lambda: {"sha-256": hashlib.sha256(b"0123456789").digest()})
    found = [finding.result for finding in Scrub(archive, rate=5).run(archive.entries())]
    assert (found, clock.waits) == (["ok", "ok"], [0, 2])


def test_a_recall_is_waited_for_as_long_as_was_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "7").write_bytes(b"x")
    assert run_on(_TapeThatNeverComes(str(tmp_path)), "verify", "7", "--recall", "--recall-timeout", "0.2") == 1
    assert capsys.readouterr().out.startswith("7: unreadable not recalled from tape within 0.2 seconds\n")


def test_a_storage_that_cannot_be_listed_ends_the_scrub_in_one_line(
    scrubbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    assert run_on(_UnlistableArchive(str(scrubbed)), "verify", "--json", "--state", str(state)) == 3
    printed = capsys.readouterr()
    assert [json.loads(line)["path"] for line in printed.out.splitlines()] == [".partial/left", "bad", "good"]
    assert printed.err.splitlines() == ["verify has stopped: the storage failed; the next run goes on from here"]
    assert json.loads(state.read_text()) == {"after": "good", "counts": {"damaged": 1, "ok": 1}}


def test_the_state_of_a_scrub_is_no_part_of_the_archive(scrubbed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = findings("--prefix", str(scrubbed), "verify")
    live_in(scrubbed, monkeypatch)
    assert findings("--prefix", str(scrubbed), "verify") == before


def test_a_scrub_that_cannot_read_its_state_says_so(scrubbed: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("nonsense")
    ended = run("--prefix", str(scrubbed), "verify", "--state", str(state))
    assert ended.returncode == 2
    assert str(state) in ended.stderr
    assert run("--prefix", str(scrubbed), "verify", "--state", str(state), "--rate", "0").returncode == 2
    assert run("--prefix", str(scrubbed), "verify", "--jobs", "0").returncode == 2


def test_a_scrub_that_cannot_keep_its_state_says_so_before_it_reads(scrubbed: Path) -> None:
    ended = run("--prefix", str(scrubbed), "verify", "--state", "/proc/nowhere/state.json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "/proc/nowhere/state.json" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


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


def test_a_scrub_lists_no_more_files_than_it_reads_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    threads: set[str] = set()

    def entries() -> Iterator[Entry]:
        for number in range(20):
            listed.append(str(number))
            yield Entry(str(number), str(number))

    def examine(scrub: Scrub, entry: Entry) -> Finding:
        threads.add(threading.current_thread().name)
        return Finding(entry.path, entry.file_id, "ok")

    monkeypatch.setattr(Scrub, "examine", examine)
    found = Scrub(PosixBackendArchive(str(tmp_path))).run(entries())
    ahead = [len(listed) - int(finding.path) for finding in found]
    assert ahead == [*(19 * [2]), 1]
    assert threads == {"scrub_0"}


def test_a_scrub_that_is_left_reads_no_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_left = threading.Event()
    examined: list[str] = []

    class Pool(ThreadPoolExecutor):
        """Lets the file that is being read end only when the rest is cancelled."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            """End, and let the file that is being read end."""
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            is_left.set()
            super().shutdown(wait=wait)

    def examine(scrub: Scrub, entry: Entry) -> Finding:
        examined.append(entry.path)
        if entry.path != "0":
            is_left.wait(TIMEOUT)
        return Finding(entry.path, entry.file_id, "ok")

    monkeypatch.setattr("pacifica.archiveinterface.commands.scrub.ThreadPoolExecutor", Pool)
    monkeypatch.setattr(Scrub, "examine", examine)
    found = Scrub(PosixBackendArchive(str(tmp_path))).run(Entry(str(number), str(number)) for number in range(9))
    assert next(found).path == "0"
    assert isinstance(found, Generator)
    found.close()
    assert examined in (["0"], ["0", "1"])


class _KeepsNothing(PosixReader):
    """Cannot be told what was found."""

    told: ClassVar[list[object]] = []

    def set_digests(self, found: dict[str, bytes]) -> None:
        """Fail as storage does that is full."""
        self.told.append(found)
        raise StorageError("the storage failed") from OSError(28, "No space left on device")

    def mark_damaged(self, finding: str) -> None:
        """Fail as storage does that is full, without a cause."""
        self.told.append(finding)
        raise StorageError("the storage failed")


@pytest.mark.parametrize(
    ("kept", "told", "words"),
    [
        ({}, {"md5": bytes(16)}, "[Errno 28] No space left on device"),
        ({"md5": b"other"}, f"md5 was {'00' * 16} when it was read", "the storage failed"),
    ],
)
def test_what_cannot_be_kept_of_a_file_that_was_read_is_logged(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kept: dict[str, bytes],
    told: object,
    words: str,
) -> None:
    monkeypatch.setattr(_KeepsNothing, "told", [])
    archive = PosixBackendArchive(str(tmp_path))
    archive.file("7").store([CONTENT], 7.0, lambda: kept)
    failure = pytest.raises(DamagedFileError) if kept else nullcontext()
    with _KeepsNothing(archive.file("7")._store, "7") as file, failure:
        compare_or_store_digests(file, file.status(), {"md5": bytes(16)})
    assert _KeepsNothing.told == [told]
    assert caplog.messages[0] == f"{tmp_path}/7: the result of reading it cannot be stored: {words}"


def test_digests_that_are_right_are_not_stored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_KeepsNothing, "told", [])
    archive = PosixBackendArchive(str(tmp_path))
    archive.file("7").store([CONTENT], 7.0, lambda: {"md5": bytes(16)})
    with _KeepsNothing(archive.file("7")._store, "7") as file:
        compare_or_store_digests(file, file.status(), {"md5": bytes(16)})
    assert _KeepsNothing.told == []
