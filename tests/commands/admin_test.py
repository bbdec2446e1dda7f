"""The administrator's tool."""

import json
import os
import pwd
import subprocess
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.forked import forked_cmd as run
from tests.support.processes import BIN
from tests.support.service import TIMEOUT, tree_of

COMMAND = str(BIN / "pacifica-archiveinterface-cmd")
LOGIN = Path("/proc/self/loginuid")
NO_LOGIN = 4294967295
DIGEST = sha256(b"x").hexdigest()


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
    told = [line.partition(":")[0] for line in ended.stderr.splitlines() if " INFO " not in line]
    assert told == ["404", "../outside"]
    assert tree_of(tmp_path) == {"archive": None, "outside": b"x"}


def test_delete_logs_the_digest_and_who_has_logged_in(tmp_path: Path) -> None:
    site, manifest = ["--prefix", str(tmp_path / "archive")], tmp_path / "manifest"
    (tmp_path / "archive").mkdir()
    for name in ("1", "2"):
        (tmp_path / "archive" / name).write_bytes(b"x")
    manifest.write_text(f"{DIGEST}  1\n")
    run(*site, "import", str(manifest))
    user, log_in = os.getuid(), "true"
    with suppress(OSError):  # a kernel without audit
        login = int(LOGIN.read_text())
        user, log_in = (login, "true") if login != NO_LOGIN else (1, f"echo 1 > {LOGIN}")
    shell = ["sh", "-c", f'{log_in}; exec "$@"', "sh"]
    command = [*shell, COMMAND, *site, "delete", "1", "2", "3"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    name = pwd.getpwuid(user).pw_name
    assert [line.partition(" INFO ")[2] for line in ended.stderr.splitlines()] == [
        f"deleted '1': user '{name}', old digest 'sha-256={DIGEST}'",
        f"deleted '2': user '{name}', old digest 'unknown'",
        "",
    ]


def test_import_logs_what_gets_digests_in_the_form_of_the_site(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "1").write_bytes(b"x")
    (tmp_path / "manifest").write_text(f"{DIGEST}  1\n")
    (tmp_path / "config.ini").write_text("[log]\nformat = json\n")
    site = ["--prefix", str(tmp_path / "archive"), "-c", str(tmp_path / "config.ini")]
    (line,) = run(*site, "import", str(tmp_path / "manifest")).stderr.splitlines()
    told = json.loads(line)
    assert (told["change"], told["id"], told["old_digest"]) == ("recorded", "1", "unknown")
    assert told["new_digest"] == f"sha-256={DIGEST}"
    assert told["user"]
    assert run(*site, "import", str(tmp_path / "manifest")).stderr == ""


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


def test_the_tool_is_a_command_that_is_installed(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).write_bytes(b"x")
    command = [COMMAND, "--prefix", str(tmp_path), "delete", "404", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("404: ")
    assert tree_of(tmp_path) == {"2": b"x"}
