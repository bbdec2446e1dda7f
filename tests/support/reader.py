"""Somebody who types in what a page of the manual shows, and compares what is printed with the page.

A ``console`` block shows commands after ``$`` and what they print; an ``sh`` block only commands. A service
runs on in a terminal of its own until the next one is started, a store until the page ends. The administrator's tool
is a stand-in that runs the tool in a forked process. What the pages call port
8080 and 8333, /home/ada/archiveinterface, /path, /etc/pacifica, /srv/archive and /var/lib/pacifica-archiveinterface are
free ports and directories of the test.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import requests

from tests.support.needs import need
from tests.support.processes import UWSGI, WITHOUT_PSYCOPG
from tests.support.server_process import free_ports, wait_until
from tests.support.service import TIMEOUT, await_service, free_port
from tests.support.stand_in import stand_in

ROOT = Path(__file__).parents[2]

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^\$ ", re.MULTILINE)
_SERVICE = re.compile(r"make run|pacifica-archiveinterface |uwsgi |gunicorn |waitress-serve ")
_STORE_PORTS = ["s3.port", "s3.port.grpc", "master.port", "master.port.grpc"]
_STORE_PORTS += ["volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
_NO_OTHERS = "-s3.port.iceberg=0 -s3.port.lance=0"
_VARYING = [
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"), "<log time>"),
    (re.compile(r"\buser '[^']*'"), "<user>"),
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
    for language, block in FENCE.findall(page):
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
        self._store: subprocess.Popen[str] | None = None
        self._store_ports = free_ports(8)
        self._tools = home / "tools"
        self._settle()
        self._open = ExitStack()
        self._open.enter_context(stand_in(self._tools))

    def _settle(self) -> None:
        self._clone.mkdir()
        for entry in ROOT.iterdir():
            if not entry.name.startswith(".") and entry.name != "archive":
                (self._clone / entry.name).symlink_to(entry)
        for name in ("path", "archive", "state", "etc", "tools"):
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
        text = text.replace("/etc/pacifica", str(self._home / "etc"))
        text = text.replace("/srv/archive", str(self._home / "archive"))
        text = text.replace("/var/lib/pacifica-archiveinterface", str(self._home / "state"))
        text = re.sub(r"(?<=:|[p ]|=)8080\b", str(self._port), text)
        ports = map("-{}={}".format, _STORE_PORTS, self._store_ports)
        text = text.replace(":8333", f":{self._store_ports[0]}")
        text = text.replace("-volume.port=8081", " ".join([*ports, _NO_OTHERS]))
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
        if command.startswith("weed "):
            self._run_store(self.real(command))
            return "", 0
        if _SERVICE.match(command):
            return self._serve(self.real(command)), 0
        with self._shell(self.real(command), subprocess.PIPE) as shell:
            return shell.communicate(timeout=TIMEOUT)[0], shell.returncode

    def _shell(self, command: str, output: int) -> subprocess.Popen[str]:
        path = f"{self._tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            ["bash", "-c", "\n".join([*self._exports, command])],
            cwd=self._clone,
            env={"PATH": path, "HOME": str(self._home), "LC_ALL": "C.UTF-8", "PYTHONPATH": WITHOUT_PSYCOPG},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _serve(self, command: str) -> str:
        if command.startswith("uwsgi "):
            need(UWSGI)
        self._stop_service()
        screen = self._home / "screen"
        with screen.open("w") as output:
            self._service = self._shell(command, output.fileno())
        await_service(self._service, f"http://127.0.0.1:{self._port}/")
        return screen.read_text()

    def _run_store(self, command: str) -> None:
        log = self._home / "store.log"
        with log.open("w") as output:
            self._store = store = self._shell(command, output.fileno())
        wait_until(self._store_is_ready, lambda: store.poll() is None, log.read_text)

    def _store_is_ready(self) -> bool:
        s3, _, master, *_ = self._store_ports
        with suppress(requests.RequestException):
            has_space = "fid" in requests.get(f"http://127.0.0.1:{master}/dir/assign", timeout=TIMEOUT).text
            return has_space and requests.get(f"http://127.0.0.1:{s3}", timeout=TIMEOUT).status_code < 500
        return False

    def close(self) -> None:
        """Stop the service and the store with all their processes."""
        self._stop_service()
        if self._store:
            os.killpg(self._store.pid, signal.SIGKILL)
            self._store.wait(TIMEOUT)
        self._open.close()

    def _stop_service(self) -> None:
        if self._service:
            os.killpg(self._service.pid, signal.SIGKILL)
            self._service.wait(TIMEOUT)
            while _is_listened_to(self._port):  # its worker processes end a moment later
                time.sleep(0.01)
            self._service = None


def _is_listened_to(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
