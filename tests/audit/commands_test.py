"""What commands of the administrator leave in the audit log."""

import io
import os
import pwd
from pathlib import Path

import pytest

from pacifica.archiveinterface.commands.admin import cmd
from tests.support.audit import Home, home_in, verify


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Where the log is, beside an archive with two files."""
    (tmp_path / "archive").mkdir()
    for name in ("1", "2"):
        (tmp_path / "archive" / name).write_bytes(b"content")
    home = home_in(tmp_path)
    with home.config.open("a") as config:
        config.write(f"[recalls]\ndatabase = sqlite:///{tmp_path}/recalls.sqlite3\n")
    return home


def run(home: Home, *arguments: str) -> int:
    """Run a command on the archive."""
    return cmd(["-c", str(home.config), "--prefix", str(home.directory.parent / "archive"), *arguments])


@pytest.mark.parametrize(
    ("arguments", "action", "events"),
    [
        (["delete", "1"], "admin delete", ["begin", "change"]),
        (["delete", "1", "404"], "admin delete", ["begin", "change", "begin", "failed"]),
        (["verify", "--record", "1", "2"], "admin verify", ["begin", "change", "change", "change"]),
        (["verify", "1"], "admin verify", ["begin", "change"]),
        (["convert", "--to", "tree"], "admin convert", ["begin", "change"]),
        (["convert", "--to", "tree", "--dry-run"], "", []),
        (["stage", "1", "2"], "admin stage", ["begin", "change"]),
        (["release", "a-request", "1"], "admin release", ["begin", "change"]),
        (["status", "1"], "", []),
        (["list"], "", []),
        (["check-layout"], "", []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_changes_something_is_in_the_log_with_the_user(
    home: Home, capsys: pytest.CaptureFixture[str], arguments: list[str], action: str, events: list[str]
) -> None:
    if os.geteuid() == 0 and arguments[0] == "convert":
        os.chown(home.directory.parent / "archive", 0, 0)
    run(home, *arguments)
    lines = home.lines if home.log.exists() else []
    assert [line["event"] for line in lines] == events
    assert {line["action"] for line in lines} <= {action}
    assert all(pwd.getpwnam(line["user"]) and line["how"] == "account" for line in lines)
    assert not home.log.exists() or verify(home, capsys).code == 0


def test_an_import_tells_each_digest(home: Home, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_text(f"{'ab' * 32}  1\n")
    assert run(home, "import", str(manifest)) == 0
    (told,) = home.told("change")
    assert (told["action"], told["id"], told["change"], told["new_digest"]) == (
        "admin import",
        "1",
        "recorded",
        f"sha-256={'ab' * 32}",
    )


def test_a_command_does_nothing_that_cannot_be_written(home: Home, tmp_path: Path) -> None:
    home.directory.rmdir()
    assert run(home, "delete", "1") == 1
    assert run(home, "convert", "--to", "tree") == 3
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == ["1", "2"]


def test_what_root_makes_belongs_to_the_service(home: Home) -> None:
    if os.geteuid():
        pytest.skip("only root may give files away")
    service = pwd.getpwnam("nobody").pw_uid
    os.chown(home.directory, service, -1)
    run(home, "delete", "1")
    assert {path.stat().st_uid for path in home.directory.iterdir()} == {service}


def test_commands_for_users_and_tokens_tell_no_secret(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with home.config.open("a") as config:
        config.write(f"[auth]\npassword_file = {tmp_path}/passwords\ntoken_file = {tmp_path}/tokens\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("a password\n"))
    assert run(home, "user", "add", "--cost", "4", "ada") == 0
    assert run(home, "token", "create", "ingest") == 0
    token = capsys.readouterr().out.strip()
    identity = (tmp_path / "tokens").read_text().split()[0]
    assert run(home, "token", "revoke", identity) == 0
    assert run(home, "user", "remove", "ada") == 0
    assert [(line["action"], line.get("name"), line.get("token")) for line in home.told("change")] == [
        ("admin user add", "ada", None),
        ("admin token create", "ingest", identity),
        ("admin token revoke", None, identity),
        ("admin user remove", "ada", None),
    ]
    assert token
    assert not [secret for secret in ("a password", token, "$2") if secret in home.log.read_text()]
