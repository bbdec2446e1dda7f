"""The commands that administer users and tokens."""

import io
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import bcrypt
import pytest

from pacifica.archiveinterface.__main__ import cmd
from pacifica.archiveinterface.auth.files.editing import edited
from pacifica.archiveinterface.auth.files.passwords import Passwords
from pacifica.archiveinterface.auth.files.tokens import Tokens
from tests.auth.passwords_test import is_admitted
from tests.auth.tokens_test import name_of
from tests.support.processes import BIN
from tests.support.service import TIMEOUT

CHEAP = ("--cost", "4")


class Ended(NamedTuple):
    """How a command has ended."""

    code: int
    out: str
    err: str


class Host:
    """A host with files of users and tokens, and the tool, which runs in this process."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.passwords, self.tokens, self.config = home / "users", home / "tokens", home / "config.ini"
        self.config.write_text(f"[auth]\npassword_file = {self.passwords}\ntoken_file = {self.tokens}\n")
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def run(self, *arguments: str, typed: str = "") -> Ended:
        """Run the tool, with *typed* on its standard input."""
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        try:
            code = cmd(["-c", str(self.config), *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, *self._capsys.readouterr())

    def succeeds(self, *arguments: str, typed: str = "") -> str:
        """Run the tool, which succeeds, and return its standard output."""
        ended = self.run(*arguments, typed=typed)
        assert ended.code == 0, ended.err
        return ended.out


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    """A host without users."""
    return Host(tmp_path, monkeypatch, capsys)


def mode_of(path: Path) -> int:
    """Return the permission bits of the file."""
    return path.stat().st_mode & 0o7777


def test_a_user_is_added_changed_and_removed(host: Host) -> None:
    host.succeeds("user", "add", "alice", *CHEAP, typed="first\n")
    passwords = Passwords(str(host.passwords), "archive", 1)
    assert is_admitted(passwords, "alice", "first")
    host.succeeds("user", "add", "bob", *CHEAP, typed="no line end")
    host.succeeds("user", "add", "alice", *CHEAP, typed="second\n")
    assert not is_admitted(passwords, "alice", "first")
    assert is_admitted(passwords, "alice", "second")
    assert is_admitted(passwords, "bob", "no line end")
    assert host.succeeds("user", "list") == "alice\nbob\n"
    host.succeeds("user", "remove", "alice")
    assert host.succeeds("user", "list") == "bob\n"
    assert not is_admitted(passwords, "alice", "second")
    assert mode_of(host.passwords) == 0o600


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(host: Host) -> None:
    controller, terminal = pty.openpty()
    command = [str(BIN / "pacifica-archiveinterface-cmd"), "-c", str(host.config), "user", "add", "alice", *CHEAP]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True) as process:
        os.close(terminal)
        shown = b""
        for _ in range(2):
            while shown.count(b": ") < 1:
                shown += os.read(controller, 1000)
            assert b"secret" not in shown
            shown = b""
            os.write(controller, b"secret\n")
        assert process.wait(TIMEOUT) == 0
    os.close(controller)
    assert is_admitted(Passwords(str(host.passwords), "archive", 1), "alice", "secret")


@pytest.mark.parametrize("typed", ["", "\n", "x" * 73, "\0"])
def test_a_password_that_cannot_be_one_is_refused(host: Host, typed: str) -> None:
    assert host.run("user", "add", "alice", *CHEAP, typed=typed).code == 2
    assert not host.passwords.exists()


@pytest.mark.parametrize("name", ["", "a:b", "a=b", " a", "a\nb", "#a"])
def test_a_name_that_no_line_could_mean_is_refused(host: Host, name: str) -> None:
    for arguments in (("user", "add", name), ("token", "create", name)):
        assert host.run(*arguments, typed="secret\n").code == 2
    assert sorted(path.name for path in host.home.iterdir()) == ["config.ini"]


def test_a_token_is_created_printed_once_and_revoked(host: Host) -> None:
    text = host.succeeds("token", "create", "cart", "--days", "7").strip()
    tokens = Tokens(str(host.tokens), "archive")
    assert name_of(tokens, text) == "cart"
    [line] = host.succeeds("token", "list").splitlines()
    token_id, expiry, name = line.split()
    assert (text.split("_")[1], name) == (token_id, "cart")
    assert expiry.endswith("Z")
    assert text not in host.tokens.read_text()
    host.succeeds("token", "create", "robot", "--days", "0")
    assert [line.split()[1:] for line in host.succeeds("token", "list").splitlines()][1:] == [["never", "robot"]]
    host.succeeds("token", "revoke", token_id)
    assert [line.split()[2] for line in host.succeeds("token", "list").splitlines()] == ["robot"]
    assert mode_of(host.tokens) == 0o600


@pytest.mark.parametrize("arguments", [("user", "remove", "nobody"), ("token", "revoke", "0" * 12)])
def test_what_is_not_there_is_told(host: Host, arguments: tuple[str, ...]) -> None:
    ended = host.run(*arguments)
    assert (ended.code, ended.err) == (1, f"there is no {arguments[0]} {arguments[2]}\n")


@pytest.mark.parametrize("arguments", [("user", "list"), ("token", "create", "cart")])
def test_the_file_has_to_be_named(host: Host, arguments: tuple[str, ...]) -> None:
    host.config.write_text("")
    ended = host.run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "[auth] " in ended.err


def test_a_file_that_no_service_would_read_is_not_written(host: Host) -> None:
    host.passwords.write_text("old:plain\n")
    ended = host.run("user", "add", "alice", *CHEAP, typed="secret\n")
    assert ended.code == 2
    assert f"{host.passwords}: line 1: " in ended.err
    assert host.passwords.read_text() == "old:plain\n"


def test_comments_and_the_rights_of_the_file_stay(host: Host) -> None:
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    host.passwords.write_text(f"# staff\nbob:{hashed}\n")
    host.passwords.chmod(0o664)
    host.succeeds("user", "add", "alice", *CHEAP, typed="secret\n")
    assert host.passwords.read_text().startswith(f"# staff\nbob:{hashed}\nalice:$2b$04$")
    assert mode_of(host.passwords) == 0o640
    assert sorted(path.name for path in host.home.iterdir()) == ["config.ini", "users"]


def test_a_link_to_the_file_stays_one(host: Host) -> None:
    (host.home / "elsewhere").write_text("")
    host.tokens.symlink_to(host.home / "elsewhere")
    host.succeeds("token", "create", "cart")
    assert host.tokens.is_symlink()
    assert host.succeeds("token", "list")


def test_of_many_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "lines"

    def add(number: int) -> None:
        with edited(str(path)) as lines:
            lines.append(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(100)))
    assert sorted(map(int, path.read_text().splitlines())) == list(range(100))


def test_a_change_that_fails_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("old\n")

    def fail() -> None:
        with edited(str(path)) as lines:
            lines.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]
