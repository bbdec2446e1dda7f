"""The service as real processes, started by the two launch commands."""

import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, AnyStr, Protocol

import requests

from tests.support.needs import need
from tests.support.service import TIMEOUT, free_port

BIN = Path(sys.executable).parent
LAUNCHER = str(BIN / "pacifica-archiveinterface")
UWSGI = str(BIN / "uwsgi")

URL = re.compile(r"(?:serves .* on https?://|bound to TCP address )(127\.0\.0\.1:\d+)")
_POLL = 0.05  # seconds
_READY = "the master takes signals"

# What is loaded late is loaded as root here: the interpreter and the clone may lie where only root may look, and
# coverage writes there.
LOADED_LATE = ("_strptime", "encodings.idna", "pacifica.archiveinterface.backends.posix.archive")
# Loading psycopg takes a third of the time of a start; where the extra postgresql is not installed there is none.
WITHOUT_PSYCOPG = str(Path(__file__).with_name("without_psycopg"))
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
_LAUNCHER_AS_USER = """
import {modules}, os, sys
from pacifica.archiveinterface.__main__ import main
os.setgroups([]); os.setgid({gid}); os.setuid({uid})
sys.exit(main())
"""


class Process(Protocol):
    """What is asked of a subprocess.Popen, or of a process that was forked."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float = TIMEOUT) -> int: ...

    def send_signal(self, number: signal.Signals, /) -> Any: ...

    def kill(self) -> Any: ...


class Server:
    """A service that answers at *url*, which ends in no slash; what it writes is in the file *output*."""

    def __init__(self, process: Process, output: Path, stop_signal: signal.Signals) -> None:
        self.url = ""
        self.process = process
        self.pid = process.pid
        self._output = output
        self._stop_signal = stop_signal

    @property
    def stderr(self) -> str:
        """What the service has written to standard output and error so far."""
        return self._output.read_text(errors="replace")

    def await_line(self, words: str) -> None:
        """Wait until the service has written *words*."""
        deadline = time.monotonic() + TIMEOUT
        while words not in self.stderr:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not written: {words}\n{self.stderr}")
            time.sleep(_POLL)

    def stop(self) -> int:
        """Ask the service to stop and return its exit code; raises TimeoutExpired."""
        self.process.send_signal(self._stop_signal)
        return self.process.wait(TIMEOUT)


@contextmanager
def launcher(
    prefix: Path | str, *options: str, env: Mapping[str, str] | None = None, user: str | None = None
) -> Iterator[Server]:
    """Run ``pacifica-archiveinterface`` on a free port until the block is left, as *user* if root asks.

    It is one process, whose id is that of the server, unless *options* have ``--processes``.
    """
    command, variables = [LAUNCHER], {**(env or {})}
    if user:
        variables |= UNMEASURED
        account, modules = pwd.getpwnam(user), ", ".join(LOADED_LATE)
        program = _LAUNCHER_AS_USER.format(modules=modules, uid=account.pw_uid, gid=account.pw_gid)
        command = [sys.executable, "-c", program]
    command += ["-t", "posix", "-p", "0", "--prefix", str(prefix), "--processes", "0", *options]
    with _running(command, variables, signal.SIGTERM) as server:
        yield server


def refusal(*arguments: str, **environment: str) -> str:
    """Run the launcher, which must end with code 2 and one line; return the line."""
    ended = subprocess.run(
        [LAUNCHER, *arguments], env=_environment_with(environment), capture_output=True, timeout=TIMEOUT
    )
    return refused(ended.returncode, ended.stderr)


def refused(code: int | None, errors: bytes) -> str:
    """Return the line that a service has written to end with the *code* 2."""
    lines = errors.decode().splitlines()
    assert code == 2, lines
    assert len(lines) == 1, lines
    return lines[0]


@contextmanager
def uwsgi(
    prefix: Path | str, *options: str, env: Mapping[str, str] | None = None, user: str | None = None
) -> Iterator[Server]:
    """Run uWSGI with the WSGI module on a free port until the block is left, as *user* if root asks."""
    need(UWSGI)
    # A master that still starts its workers, and a worker that is still starting, lose the signal that stops them.
    command = [UWSGI, "--http-socket", f"127.0.0.1:{free_port()}", "--master", "-p", "4"]
    command += ["--hook-master-start", f"print:{_READY}", "--worker-reload-mercy", "10"]
    command += ["--module", "pacifica.archiveinterface.wsgi", *options]
    named = {"PAI_BACKEND_TYPE": "posix", "PAI_PREFIX": str(prefix), **(env or {})}
    if user:
        named |= UNMEASURED
        account = pwd.getpwnam(user)
        command += ["--uid", str(account.pw_uid), "--gid", str(account.pw_gid), "--drop-after-apps"]
        command += [f"--shared-pyimport={module}" for module in LOADED_LATE]
    # uWSGI takes SIGTERM for a reload unless told otherwise.
    with _running(command, named, signal.SIGINT) as server:
        server.await_line(_READY)
        yield server


@contextmanager
def _running(command: Sequence[str], env: Mapping[str, str], stop_signal: signal.Signals) -> Iterator[Server]:
    def start(output: str) -> Process:
        with Path(output).open("ab") as file:
            return subprocess.Popen(
                command,
                env=_environment_with(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that uWSGI's workers end with their master
            )

    with serving(start, stop_signal) as server:
        yield server


@contextmanager
def serving(start: Callable[[str], Process], stop_signal: signal.Signals = signal.SIGTERM) -> Iterator[Server]:
    """Yield the server that *start* makes in a session of its own, given the file that it writes to; then end it."""
    with tempfile.NamedTemporaryFile() as output:
        process = start(output.name)
        try:
            server = Server(process, Path(output.name), stop_signal)
            _await(server)
            yield server
            if process.poll() is None:
                server.stop()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.wait()


@contextmanager
def killed_at_last(process: "subprocess.Popen[AnyStr]") -> Iterator["subprocess.Popen[AnyStr]"]:
    """Kill *process* when the block is left, if it has not ended: Popen alone would wait for it."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what configures a service, its home directory included."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PAI_", "ARCHIVEINTERFACE_"))}
    return {**kept, "HOME": "/nonexistent"}


def _environment_with(given: Mapping[str, str]) -> dict[str, str]:
    places = [given["PYTHONPATH"]] if "PYTHONPATH" in given else []
    return {**clean_environment(), **given, "PYTHONPATH": os.pathsep.join([*places, WITHOUT_PSYCOPG])}


def _await(server: Server) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not _answers(server):
        if server.process.poll() is not None:
            raise RuntimeError(f"the service ended with {server.process.poll()}:\n{server.stderr}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the service did not start:\n{server.stderr}")
        time.sleep(_POLL)


def _answers(server: Server) -> bool:
    found = URL.search(server.stderr)
    if not found:
        return False
    if "https://" in found[0]:  # it listens, and may ask for a certificate
        server.url = f"https://{found[1]}"
        return True
    server.url = f"http://{found[1]}"
    try:
        requests.get(server.url, timeout=TIMEOUT)
    except requests.ConnectionError:
        return False
    return True


def suspend(*pids: int) -> None:
    """Stop the processes, and return when none of their threads runs: the signal acts a little later."""
    for pid in pids:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + TIMEOUT
    while not all(map(_is_still, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_still(pid: int) -> bool:
    states = set()
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            states.add(path.read_text().rpartition(") ")[2][0])
    return states <= {"T", "Z"}
