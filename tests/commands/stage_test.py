"""The commands for recalls: real command lines without tape, and commands in this process with tape."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
from pathlib import Path
from typing import Any

import pytest

from pacifica.archiveinterface.recalls.requests import Wish
from tests.commands.tape import TapeSite
from tests.support.forked import begun_cmd
from tests.support.forked import forked_cmd as run
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def archive(prefix: Path) -> Path:
    """A prefix with the files 1 and 2."""
    prefix.mkdir()
    for name in "12":
        (prefix / name).write_text(name)
    return prefix


def json_lines(text: str) -> list[Any]:
    """Return what the lines of *text* hold."""
    return [json.loads(line) for line in text.splitlines()]


def test_stage_prints_the_id_of_a_request_that_can_be_followed(archive: Path) -> None:
    staged = run("--prefix", str(archive), "stage", "1", "//2")
    assert (staged.returncode, staged.stderr) == (0, "")
    assert ID.fullmatch(staged.stdout.strip())
    followed = run("--prefix", str(archive), "stage", "--follow", staged.stdout.strip())
    assert (followed.returncode, followed.stdout, followed.stderr) == (0, "2 completed\n", "")


def test_a_file_that_does_not_come_is_named_and_the_exit_code_is_1(archive: Path) -> None:
    ended = run("--prefix", str(archive), "stage", "--wait", "1", "404", "../2")
    assert ended.returncode == 1
    request, *failures, summary = ended.stdout.splitlines()
    assert ID.fullmatch(request)
    assert [line.partition(": failed ")[0] for line in failures] == ["/404", "/../2"]
    assert all(line.partition(": failed ")[2] for line in failures)
    assert summary == "1 completed, 2 failed"


def test_ids_come_from_a_file_or_standard_input(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("1\n\n  /2\n1\n")
    ended = run("--prefix", str(archive), "stage", "--wait", "--json", "--from-file", str(tmp_path / "ids"), "404")
    request, *files, summary = json_lines(ended.stdout)
    assert ID.fullmatch(request["request"])
    assert {file["path"]: file["state"] for file in files} == {"/404": "FAILED", "/1": "COMPLETED", "/2": "COMPLETED"}
    assert summary == {"summary": {"COMPLETED": 2, "FAILED": 1}}
    piped = run("--prefix", str(archive), "stage", "--wait", "--from-file", "-", text="2\n")
    assert piped.stdout.splitlines()[1:] == ["1 completed"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("--from-file", "/proc/nonexistent"), 2),
        (("--lifetime", "-1", "1"), 2),
        (("--follow", "no-such-request"), 1),
        (("--follow", "no-such-request", "1"), 2),
    ],
)
def test_a_request_that_cannot_be_made_or_followed_is_told(
    archive: Path, arguments: tuple[str, ...], code: int
) -> None:
    ended = run("--prefix", str(archive), "stage", *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert "Traceback" not in ended.stderr
    assert ended.stderr


def test_a_terminal_shows_a_progress_bar(archive: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = ["--prefix", str(archive), "stage", "--wait", "1", "2", "404"]
    assert begun_cmd(command, None, os.devnull, os.devnull, os.ttyname(theirs)).wait() == 1
    os.set_blocking(ours, False)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    os.close(theirs)
    assert "3/3" in shown
    assert "1 failed" in shown


def test_recalls_prints_the_totals(archive: Path) -> None:
    assert run("--prefix", str(archive), "stage", "1", "2", "404").returncode == 0
    text, as_json = (run("--prefix", str(archive), "recalls", *options) for options in ([], ["--json"]))
    assert (text.returncode, as_json.returncode) == (0, 0)
    assert text.stdout.splitlines()[-1].startswith("2 files came so far, ")
    assert text.stdout.endswith(", 1 failed\n")
    [totals] = json_lines(as_json.stdout)
    assert (totals["completed_files"], totals["failed_files"], totals["volumes"]) == (2, 1, [])


def test_a_watch_prints_again_what_has_changed(archive: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    watch = begun_cmd(
        ["--prefix", str(archive), "recalls", "--json", "--watch"], None, os.devnull, str(pipe), str(pipe)
    )
    with pipe.open() as told:
        assert json.loads(told.readline())["completed_files"] == 0
        assert run("--prefix", str(archive), "stage", "1").returncode == 0
        assert json.loads(told.readline())["completed_files"] == 1
        watch.send_signal(signal.SIGINT)
        assert watch.wait(TIMEOUT) == 130


def test_stage_has_the_recaller_at_work_while_it_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1", "2")
    with site.reading():
        assert site.run("stage", "--wait", "--json", "1", "2") == 0
    _, *files, summary = json_lines(capsys.readouterr().out)
    assert {file["path"]: file["size"] for file in files} == {"/1": 12, "/2": 12}
    assert summary == {"summary": {"COMPLETED": 2}}
    assert site.library.offline == set()


def test_a_recall_that_fails_is_told_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1")
    site.library.broken = True
    with site.reading():
        assert site.run("stage", "--wait", "1") == 1
    _, failure, summary = capsys.readouterr().out.splitlines()
    assert re.fullmatch("/1: failed .+", failure)
    assert summary == "1 failed"


def test_a_cancelled_file_did_not_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1")
    assert site.run("stage", "1") == 0
    request = capsys.readouterr().out.strip()
    site.recalls.cancel(request, [Wish("/1", "1")])
    assert site.run("stage", "--follow", request) == 1
    assert capsys.readouterr().out == "/1: cancelled\n1 cancelled\n"


def test_progress_is_written_in_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacifica.archiveinterface.commands.following._LINE_INTERVAL", 0.0)
    site = TapeSite(tmp_path, "1", "2")
    with site.reading():
        assert site.run("stage", "--wait", "1", "2", "404") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "have ended" in line]
    assert lines[0].startswith("0 of 3 files have ended")
    assert re.match(r"3 of 3 files have ended \[.*, 1 failed, 24\.0B\]", lines[-1])


def test_a_released_file_may_leave_the_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1", evict="released")
    with site.reading():
        assert site.run("stage", "--wait", "1") == 0
        request = capsys.readouterr().out.splitlines()[0]
        with site.recalls.at_work():
            assert site.run("release", request, "1") == 0
            await_true(lambda: site.library.offline)


def test_a_file_stays_on_disk_for_its_lifetime(tmp_path: Path) -> None:
    site = TapeSite(tmp_path, "1", "2", evict="expired")
    with site.reading(), site.recalls.at_work():
        assert site.run("stage", "--wait", "1") == 0
        assert site.run("stage", "--wait", "--lifetime", "0.1", "2") == 0
        await_true(lambda: site.library.offline)
        assert site.library.offline == {site.archive.file("2").status().version}


def test_an_activity_gives_a_request_its_priority(tmp_path: Path) -> None:
    site = TapeSite(tmp_path, "1", "2", "3", in_flight=1, activities=(("urgent", 5),))
    for arguments in (["1"], ["--activity", "urgent", "2"], ["3"]):
        assert site.run("stage", *arguments) == 0
    with site.recalls.at_work():
        await_true(lambda: site.library.recalls)
        assert site.library.recalls == {site.archive.file("2").status().version}


def test_a_watch_keeps_a_terminal_to_one_screen(archive: Path) -> None:
    ours, theirs = pty.openpty()
    terminal = os.ttyname(theirs)
    watch = begun_cmd(["--prefix", str(archive), "recalls", "--watch"], None, os.devnull, terminal, terminal)
    with os.fdopen(ours, "rb", closefd=True) as screen:
        shown = [screen.readline() for _ in range(3)]
        assert run("--prefix", str(archive), "stage", "1").returncode == 0
        shown += [screen.readline() for _ in range(3)]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(TIMEOUT) == 130
    os.close(theirs)
    assert shown[2].startswith(b"0 files came")
    assert shown[3].startswith(b"\x1b[H\x1b[2J")
    assert shown[5].startswith(b"1 files came")


def test_queues_are_printed_by_volume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1", "2")
    assert site.run("stage", "1", "2") == 0
    with site.recalls.at_work():
        await_true(lambda: [volume.in_flight for volume in site.recalls.report().volumes] == [2])
        capsys.readouterr()
        assert site.run("recalls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a recaller is at work")
    assert lines[1] == "0 new files, 0 wait, 2 are being recalled"
    assert lines[3].split() == ["VOLUME", "STATE", "FILES", "BYTES", "IN", "FLIGHT", "AHEAD", "OLDEST"]
    assert lines[4].split()[:2] == ["-", "active"]
    assert lines[4].split()[4:6] == ["2", "0"]


def test_verify_joins_the_recall_of_a_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1")
    assert site.run("stage", "1") == 0
    with site.reading():
        assert site.run("verify", "--recall", "1") == 0
    report = site.recalls.report()
    assert report.started_files + report.completed_files == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["file.1: no digest", "1 no digest"]


def test_verify_asks_for_files_before_it_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TapeSite(tmp_path, "1", "2", "3")
    with site.reading(together=3):
        assert site.run("verify", "--recall", "1", "404", "2", "3") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 missing, 3 no digest"
