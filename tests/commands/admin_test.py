"""The administrator's tool."""

import subprocess
from pathlib import Path

import pytest

from tests.support.processes import BIN
from tests.support.service import TIMEOUT, tree_of

COMMAND = str(BIN / "pacifica-archiveinterface-cmd")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool."""
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=TIMEOUT)


def test_delete_removes_files(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        (tmp_path / name).write_bytes(b"x")
    ended = run("-t", "posix", "--prefix", str(tmp_path), "delete", "1", "/2")
    assert ended.returncode == 0
    assert tree_of(tmp_path) == {"3": b"x"}


def test_delete_names_each_failure_and_does_the_rest(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    for name in ("1", "2"):
        (tmp_path / "archive" / name).write_bytes(b"x")
    (tmp_path / "outside").write_bytes(b"x")
    ended = run("--prefix", str(tmp_path / "archive"), "delete", "404", "1", "../outside", "2")
    assert ended.returncode == 1
    assert [line.partition(":")[0] for line in ended.stderr.splitlines()] == ["404", "../outside"]
    assert tree_of(tmp_path) == {"archive": None, "outside": b"x"}


def test_delete_follows_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[posix]\nuse_id2filename = true\n")
    (tmp_path / "39").mkdir()
    (tmp_path / "39" / "3039").write_bytes(b"x")
    assert run("--prefix", str(tmp_path), "-c", str(config), "delete", "12345").returncode == 0
    assert not (tmp_path / "39" / "3039").exists()


@pytest.mark.parametrize("arguments", [("--prefix", "/proc/nonexistent", "delete", "1"), ("-t", "tape", "delete", "1")])
def test_a_wrong_configuration_is_one_line_and_code_2(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) <= 2


def test_options_are_taken_before_and_after_the_command(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        (tmp_path / name).write_bytes(b"x")
    assert run("delete", "1", "--prefix", str(tmp_path)).returncode == 0
    assert run("-t", "POSIX", "delete", "--prefix", str(tmp_path), "2").returncode == 0
    assert run("--prefix", "/proc/nonexistent", "delete", "3", "--prefix", str(tmp_path)).returncode == 0
    assert tree_of(tmp_path) == {}
    assert run("-t", "no-such", "delete", "--prefix", str(tmp_path), "2").returncode == 2


def test_delete_works_on_no_prefix_that_was_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAI_PREFIX", raising=False)
    ended = run("delete", "no-such-file")
    assert ended.returncode == 2
    assert "--prefix" in ended.stderr
    (tmp_path / "1").write_bytes(b"x")
    monkeypatch.setenv("PAI_PREFIX", str(tmp_path))
    assert run("delete", "1").returncode == 0


def test_a_missing_command_is_explained() -> None:
    assert run().returncode == 2
    assert "delete" in run("--help").stdout
