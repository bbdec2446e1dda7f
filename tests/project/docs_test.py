"""The pages tell the truth: every command they show is run and answers as shown, every made file is current.

A ``console`` block shows commands after ``$`` and what they print; an ``sh`` block only commands. A service
runs on in a terminal of its own until the next one is started. What the pages call port 8080,
/home/ada/archiveinterface, /path and /srv/archive are a free port and directories of the test.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import pytest

from docs.generate import MADE
from pacifica.archiveinterface.config import Config, get_config
from pacifica.archiveinterface.http.errors import STATUS_OF
from pacifica.archiveinterface.web.settings import BUILT_IN, read_cherrypy_config
from tests.support.needs import need
from tests.support.processes import UWSGI
from tests.support.service import TIMEOUT, await_service, free_port

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/exampleusage.md",
    "docs/http.md",
    "docs/operations.md",
    "docs/servers.md",
    "docs/tape-api.md",
    "docs/testing.md",
    "docs/upgrade.md",
]
NO_COMMANDS = {"json", "js", "ini", "nginx", "apache"}  # languages of blocks that hold no commands
# What a page takes for granted.
BEFORE = {
    "docs/testing.md": [
        "pacifica-archiveinterface -t posix -p 8080 -a 127.0.0.1 --prefix /srv/archive",
        "export LARGE_FILE_SIZE=1048577 MANY_FILES_TEST_COUNT=20",
    ]
}

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^\$ ", re.MULTILINE)
_SERVICE = re.compile(r"make run|pacifica-archiveinterface |uwsgi |gunicorn |waitress-serve ")
_VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"), "<log time>"),
    (re.compile(r"^Date: .*", re.MULTILINE), "<date>"),
    (re.compile(r"^Server: .*", re.MULTILINE), "<server>"),
    (re.compile(r"^X-Request-Id: .*", re.MULTILINE), "<request id>"),
    (re.compile(r"\b1[789]\d{8}(\.\d+)?\b"), "<now>"),
    (re.compile(r'"version": "[^"]*"'), "<version>"),
    (re.compile(r"^--[0-9a-f]{32}", re.MULTILINE), "--<boundary>"),
]


# The id of a request of the tape API, which later commands of a page name.
_REQUEST = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Step(NamedTuple):
    """A command and what the page says it prints; None when it does not say, and the command has to succeed."""

    command: str
    shown: str | None


def steps_of(page: str) -> Iterator[Step]:
    """Yield the commands of *page* in order."""
    for language, block in _FENCE.findall(page):
        if language == "sh":
            yield from (Step(line, None) for line in block.splitlines())
        elif language == "console":
            for part in _PROMPT.split(block)[1:]:
                command, _, shown = part.partition("\n")
                yield Step(command, shown)


def steadied(text: str) -> str:
    """Return *text* without what differs from run to run."""
    text = text.replace("\r", "").strip()
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


class Reader:
    """Somebody who types in what a page shows, in what looks like a clone of the repository."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port = free_port()
        self._clone = home / "archiveinterface"
        self._exports: list[str] = []
        self._requests: dict[str, str] = {}
        self._service: subprocess.Popen[str] | None = None
        self._settle()

    def _settle(self) -> None:
        self._clone.mkdir()
        for entry in ROOT.iterdir():
            if not entry.name.startswith(".") and entry.name != "archive":
                (self._clone / entry.name).symlink_to(entry)
        for name in ("path", "archive"):
            (self._home / name).mkdir()
        (self._home / ".curlrc").write_text("silent\nshow-error\n")  # as on a terminal, where no progress is shown
        # The environment that runs the tests, set up for make: it need not do so again.
        environment = self._home / "environment"
        environment.mkdir()
        (environment / "bin").symlink_to(Path(sys.executable).parent)
        for purpose in (".run", ".test"):
            (environment / purpose).touch()

    def real(self, text: str) -> str:
        """Return *text* with the ports and places of the page turned into those of the test."""
        text = text.replace("/home/ada/archiveinterface", str(self._clone))
        text = re.sub(r"(?<=[= ])/path\b", str(self._home / "path"), text)
        text = text.replace("/srv/archive", str(self._home / "archive"))
        text = re.sub(r"(?<=:|[p ]|=)8080\b", str(self._port), text)
        for shown, made in self._requests.items():
            text = text.replace(shown, made)
        options = f"PORT={self._port} VENV={self._home}/environment"
        # make test-fresh-machine runs this one.
        text = re.sub("^apt-get install", "true", text)
        # These very tests are what `make test` runs; here it only says what it would do.
        text = re.sub("^make test", f"make -n test {options}", text)
        return re.sub("^make run", f"make run {options}", text)

    def learn(self, shown: str, printed: str) -> None:
        """Take the ids of requests in *printed* for those that the page shows from here on."""
        self._requests |= dict(zip(_REQUEST.findall(shown), _REQUEST.findall(printed), strict=False))

    def type_in(self, command: str) -> tuple[str, int]:
        """Run *command* and return what it prints and its exit code; a service goes on when it has answered once."""
        if command.startswith("export "):
            self._exports.append(self.real(command))
        if "pip install" in command:
            return "", 0  # packaging_test installs as the page shows, and runs what it shows from there
        if _SERVICE.match(command):
            return self._serve(self.real(command)), 0
        with self._shell(self.real(command), subprocess.PIPE) as shell:
            return shell.communicate(timeout=TIMEOUT)[0], shell.returncode

    def _shell(self, command: str, output: int) -> subprocess.Popen[str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", "\n".join([*self._exports, command])],
            cwd=self._clone,
            env={"PATH": path, "HOME": str(self._home), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _serve(self, command: str) -> str:
        if command.startswith("uwsgi "):
            need(UWSGI)
        self.close()
        screen = self._home / "screen"
        with screen.open("w") as output:
            self._service = self._shell(command, output.fileno())
        await_service(self._service, f"http://127.0.0.1:{self._port}/")
        return screen.read_text()

    def close(self) -> None:
        """Stop the service with all its processes."""
        if self._service:
            os.killpg(self._service.pid, signal.SIGKILL)
            self._service.wait(TIMEOUT)
            while _is_listened_to(self._port):  # its worker processes end a moment later
                time.sleep(0.01)
            self._service = None


def _is_listened_to(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    with closing(Reader(tmp_path)) as reader:
        for command in BEFORE.get(page, []):
            reader.type_in(command)
        for command, shown in steps_of((ROOT / page).read_text()):
            printed, exit_code = reader.type_in(command)
            if shown is None:
                assert exit_code == 0, f"{command}\n{printed}"
            else:
                reader.learn(shown, printed)
                assert steadied(printed) == steadied(reader.real(shown)), command


@pytest.mark.parametrize("page", PAGES)
def test_no_command_hides_from_the_test(page: str) -> None:
    text = (ROOT / page).read_text()
    assert {language for language, _ in _FENCE.findall(text)} <= {"sh", "console"} | NO_COMMANDS
    assert len(re.findall("^ *(```|~~~)", text, re.MULTILINE)) == 2 * len(_FENCE.findall(text))


@pytest.mark.parametrize("made", MADE, ids=lambda path: path.name)
def test_what_is_made_from_the_option_table_is_current(made: Path) -> None:
    assert made.read_text() == MADE[made](), "run docs/generate.py"


def test_what_is_made_does_not_depend_on_the_packages_at_hand() -> None:
    program = "import sys; sys.modules['google_crc32c'] = None; from docs.generate import MADE; "
    program += "sys.exit(any(made.read_text() != make() for made, make in MADE.items()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=TIMEOUT).returncode == 0


def test_the_shipped_configuration_is_the_defaults() -> None:
    assert get_config(str(ROOT / "config.ini")) == Config()


def test_the_shipped_cherrypy_file_is_the_built_in_settings() -> None:
    assert read_cherrypy_config(str(ROOT / "server.conf")) == {"global": BUILT_IN}


def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(ROOT / "docs"), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert built.stderr == "", "if a theme or an extension is missing: make .venv/.test"


def test_the_page_on_http_names_every_status() -> None:
    page = (ROOT / "docs/http.md").read_text()
    told = {int(number) for row in re.findall(r"^\| (\d[\d, ]+) \|", page, re.MULTILINE) for number in row.split(",")}
    assert {int(status) for status in STATUS_OF.values()} <= told


def test_troubleshooting_names_texts_that_the_service_has() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "pacifica").rglob("*.py")))
    source = re.sub(r'"\s+f?"', "", source)  # a long text stands on several lines
    page = (ROOT / "docs/troubleshooting.md").read_text()
    first_cells = re.findall(r"^\| ([^|]*)", page, re.MULTILINE)
    texts = [text for cell in first_cells for text in re.findall("`([^`]{15,})`", cell) if "nginx" not in text]
    assert len(texts) > 30
    missing = [text for text in texts if any(part.strip() not in source for part in text.split("..."))]
    assert missing == []


def test_the_page_on_the_architecture_names_what_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    names = re.findall(r"(?<=`)([a-z]\w*(?:\.\w+)*)(?::([\w.]+))?(?=`)", page)
    assert len(names) > 50
    for module, member in names:
        full_name = f"pacifica.archiveinterface.{module}"
        assert find_spec(full_name), full_name
        if member:
            attrgetter(member)(import_module(full_name))
