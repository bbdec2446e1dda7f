"""Whatever is changed in an audit log is found, and named by file and line."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.audit import KEY, NODE, Home, audited_service, head, home_in, verify

ROTATED = f"{NODE}.log.000000000000012"
CURRENT = f"{NODE}.log"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The log of ten uploads: lines 1 to 12 are in a file that was rotated, lines 13 to 20 in the one after it."""
    place = tmp_path_factory.mktemp("original")
    home = home_in(place)
    with audited_service(place / "archive", home) as service:
        for number in range(1, 11):
            service.request("PUT", f"/{number}", data=b"content")
            if number == 6:
                home.log.rename(home.directory / ROTATED)
    return home


@pytest.fixture
def home(original: Home, tmp_path: Path) -> Home:
    """A copy of it, for one test."""
    copied = home_in(tmp_path)
    shutil.copytree(original.directory, copied.directory, dirs_exist_ok=True)
    return copied


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of *path*."""
    return path.read_bytes().splitlines(keepends=True)


def edit(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Home], None]:
    """Return what changes the lines of a file."""

    def do(home: Home) -> None:
        path = home.directory / name
        path.write_bytes(b"".join(change(lines_of(path))))

    return do


def forged(line: bytes) -> bytes:
    """Return *line* with another file in it, and the hash that it has without a key."""
    text = line.replace(b"/7", b"/8").partition(b', "hash"')[0]
    return b'%b, "hash": "%b"}\n' % (text, hashlib.sha256(text).hexdigest().encode())


def wider(line: bytes) -> bytes:
    """Return *line* as another form of the same JSON."""
    return line.replace(b": ", b":  ", 1)


def removed(name: str) -> Callable[[Home], None]:
    """Return what removes a file."""
    return lambda home: (home.directory / name).unlink()


TAMPERED = [
    ("a byte of a line", edit(CURRENT, lambda lines: [lines[0].replace(b"/7", b"/8"), *lines[1:]]), "changed", 1),
    ("a digit of a hash", edit(CURRENT, lambda lines: [lines[0][:-4] + b'?"}\n', *lines[1:]]), "malformed", 1),
    ("the space between", edit(CURRENT, lambda lines: [lines[0], wider(lines[1]), *lines[2:]]), "changed", 2),
    ("a line with a new hash", edit(CURRENT, lambda lines: [forged(lines[0]), *lines[1:]]), "changed", 1),
    ("a line that is no JSON", edit(CURRENT, lambda lines: [lines[0], b"nonsense\n", *lines[2:]]), "malformed", 2),
    ("removed", edit(CURRENT, lambda lines: [*lines[:3], *lines[4:]]), "missing", 4),
    ("removed, the first of a file", edit(CURRENT, lambda lines: lines[1:]), "missing", 1),
    ("removed, the last of a file", edit(ROTATED, lambda lines: lines[:-1]), "missing", 1),
    ("removed, the first of all", edit(ROTATED, lambda lines: lines[1:]), "missing", 1),
    ("removed, several", edit(CURRENT, lambda lines: [lines[0], *lines[5:]]), "missing", 2),
    ("a file removed", removed(ROTATED), "missing", 1),
    ("inserted, from elsewhere", edit(CURRENT, lambda lines: [*lines[:2], lines[0], *lines[2:]]), "out of order", 3),
    ("inserted, new", edit(CURRENT, lambda lines: [*lines[:2], forged(lines[0]), *lines[2:]]), "changed", 3),
    ("reordered", edit(CURRENT, lambda lines: [lines[1], lines[0], *lines[2:]]), "out of order", 2),
    ("cut at the end", edit(CURRENT, lambda lines: lines[:-1]), "cut off", 7),
    ("cut in a line", edit(CURRENT, lambda lines: [*lines[:-1], lines[-1][:50]]), "torn", 8),
    ("the last file removed", removed(CURRENT), "cut off", 12),
    ("the head removed", removed(f"{NODE}.head"), "cut off", 0),
    ("the head changed", edit(f"{NODE}.head", lambda lines: [b"0" * 8192]), "cut off", 0),
]  # fmt: skip


def test_a_log_that_nobody_has_changed_is_found_whole(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(home, capsys) == (
        0,
        [],
        f"{NODE}: 20 lines are authentic, no problem, the last is {head(home, capsys)}",
    )


@pytest.mark.parametrize(
    ("tamper", "kind", "line"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED]
)
def test_each_change_is_found_by_its_kind_with_file_and_line(
    home: Home, capsys: pytest.CaptureFixture[str], tamper: Callable[[Home], None], kind: str, line: int
) -> None:
    tamper(home)
    verdict = verify(home, capsys)
    assert verdict.code == 1
    assert kind in [found for found, _ in verdict.found], verdict.text
    assert line in [int(place.rpartition(":")[2]) for found, place in verdict.found if found == kind], verdict.text


def test_each_byte_counts(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    whole = home.log.read_bytes()
    for place in range(0, len(whole), 211):
        home.log.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert verify(home, capsys).code == 1, place


def test_a_cut_that_takes_the_head_back_too_is_found_by_a_head_that_was_kept(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = head(home, capsys)
    old = {path: path.read_bytes() for path in (home.log, home.directory / f"{NODE}.head")}
    with closing(home.open()) as log:
        log.write({"event": "change"})
    newer = head(home, capsys)
    for path, content in old.items():
        path.write_bytes(content)
    assert verify(home, capsys).code == 0
    assert verify(home, capsys, "--head", kept).code == 0
    assert verify(home, capsys, "--head", newer).found == [("cut off", f"{CURRENT}:8")]
    assert verify(home, capsys, "--head", f"20:{'0' * 64}").found == [("another head", f"{CURRENT}:8")]


def test_without_a_key_whoever_writes_all_hashes_anew_is_found_by_a_head_that_was_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = home_in(tmp_path, key="")
    with audited_service(tmp_path / "archive", home, key_file="") as service:
        for number in range(3):
            service.request("PUT", f"/{number}", data=b"content")
    kept = head(home, capsys)
    previous, lines = "0" * 64, []
    for line in lines_of(home.log):
        members = {**json.loads(line.replace(b"/1", b"/9")), "previous": previous}
        members.pop("hash")
        text = json.dumps(members)[:-1].encode()
        previous = hashlib.sha256(text).hexdigest()
        lines.append(b'%b, "hash": "%b"}\n' % (text, previous.encode()))
    home.log.write_bytes(b"".join(lines))
    (home.directory / f"{NODE}.head").unlink()
    assert verify(home, capsys, home.log).code == 0
    assert verify(home, capsys, home.log, "--head", kept).found == [("another head", f"{CURRENT}:6")]


def test_files_that_were_rotated_may_be_compressed_and_named_in_any_order(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    rotated = home.directory / ROTATED
    packed = home.directory / f"{CURRENT}-20261126.gz"
    packed.write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.unlink()
    assert verify(home, capsys).code == 0
    assert verify(home, capsys, home.log, packed).code == 0
    assert verify(home, capsys, home.log).found == [("missing", f"{CURRENT}:1")]


def test_a_head_stands_for_files_that_are_kept_no_longer(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    rotated = home.directory / ROTATED
    last = json.loads(lines_of(rotated)[-1])
    rotated.unlink()
    assert verify(home, capsys, "--head", f"{last['seq']}:{last['hash']}").code == 0


def test_another_key_finds_no_line_authentic(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.key_file.write_text("another key of some length")
    verdict = verify(home, capsys)
    assert verdict.code == 1
    assert {kind for kind, _ in verdict.found} == {"cut off", "changed"}
    home.key_file.write_text(KEY)
    assert verify(home, capsys).code == 0
