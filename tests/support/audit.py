"""Audit logs for tests: options for one, its lines, and what the command says of it."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pacifica.archiveinterface.audit.log import AuditLog
from pacifica.archiveinterface.audit.options import AuditOptions
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.backends.abstract.options import ArchiveOptions
from pacifica.archiveinterface.commands.admin import cmd
from pacifica.archiveinterface.recalls.service import RecallService
from tests.support.service import POSIX_FLAT, Service, serving

KEY = "a key that only the tests have"
NODE = "n1"


class Home(NamedTuple):
    """Where a log and its key are, and a config.ini that says so."""

    directory: Path
    key_file: Path
    config: Path

    @property
    def log(self) -> Path:
        """The log of the node."""
        return self.directory / f"{NODE}.log"

    @property
    def files(self) -> list[Path]:
        """The files of the log, in the order of their lines: it is rotated by its size only."""
        return [*sorted(self.directory.glob(f"{NODE}.log.*")), self.log]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What the lines of all files tell."""
        return [json.loads(line) for path in self.files if path.exists() for line in path.read_text().splitlines()]

    def told(self, *events: str) -> list[dict[str, Any]]:
        """Return what lines with these *events* tell."""
        return [line for line in self.lines if line["event"] in events]

    def open(self) -> AuditLog:
        """Return the log, as another process has it."""
        return AuditLog(AuditOptions(str(self.directory), NODE, str(self.key_file), sync="none"))


def home_in(place: Path, key: str = KEY, **options: object) -> Home:
    """Make a directory for a log below *place*, with a key unless that is empty, and other *options*."""
    home = Home(place / "audit", place / "audit.key", place / "audit.ini")
    home.directory.mkdir()
    home.key_file.write_text(f"{key}\n")
    home.key_file.chmod(0o600)
    given = {"directory": home.directory, "node": NODE, "sync": "none", "key_file": home.key_file if key else ""}
    lines = "".join(f"{name} = {value}\n" for name, value in {**given, **options}.items())
    home.config.write_text(f"[audit]\n{lines}")
    return home


@contextmanager
def audited_service(
    prefix: Path,
    home: Home,
    archive: ArchiveOptions | None = None,
    recalls: RecallService | None = None,
    auth: AuthOptions | None = None,
    **options: Any,
) -> Iterator[Service]:
    """Serve files below *prefix* with the log of *home*, whose *options* are other than the defaults."""
    given = {"directory": str(home.directory), "node": NODE, "key_file": str(home.key_file), "sync": "none"}
    log = AuditLog(AuditOptions(**{**given, **options}))
    with closing(log), serving(POSIX_FLAT.make(prefix, archive), recalls=recalls, auth=auth, audit=log) as service:
        yield service


class Verdict(NamedTuple):
    """The exit code of ``audit verify``, the kinds of what it has found, with file and line, and all it has printed."""

    code: int
    found: list[tuple[str, str]]
    text: str


def verify(home: Home, capsys: pytest.CaptureFixture[str], *arguments: object) -> Verdict:
    """Run ``audit verify`` on the log of *home*."""
    capsys.readouterr()
    code = cmd(["-c", str(home.config), "audit", "verify", *map(str, arguments)])
    *lines, _summary = text = capsys.readouterr().out.splitlines()
    parts = [line.split(": ") for line in lines]
    return Verdict(code, [(kind, Path(place).name) for place, kind, *_ in parts], "\n".join(text))


def head(home: Home, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what ``audit head`` prints."""
    capsys.readouterr()
    assert cmd(["-c", str(home.config), "audit", "head"]) == 0
    return capsys.readouterr().out.strip()
