"""A service as a process: how it is started and stopped, and what it used."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

START_SECONDS = 60

_TICKS = os.sysconf("SC_CLK_TCK")
# Below the ports that Linux gives to clients: wrk's many connections cannot take one before its service does.
_PORTS = range(20_000, 32_000)
# What configures a service, or lets it find another one's code.
_OURS = ("PAI_", "ARCHIVEINTERFACE_", "UWSGI_", "RCLONE_", "PYTHONPATH")


@dataclass
class Running:
    """A service that answers at *url*, which ends in a slash, and keeps its files in *files*."""

    name: str
    url: str
    files: Path
    process: subprocess.Popen[bytes]

    def cpu_seconds(self) -> float:
        """Return what all its processes have used of the processors, living and dead."""
        return sum(sum(map(int, fields[11:15])) for fields in map(_stat, self._processes())) / _TICKS

    def forget_peak(self) -> None:
        """Let `peak_mebibytes` begin anew."""
        for pid in self._processes():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mebibytes(self) -> float:
        """Return the sum of what each of its processes had resident at most; pages they share count for each."""
        return round(sum(_peak_kibibytes(pid) for pid in self._processes()) / 1024, 1)

    def _processes(self) -> list[int]:
        """Return the ids of its processes: all of the session that it was started in."""
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        return [pid for pid in pids if (fields := _stat(pid)) and int(fields[3]) == self.process.pid]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third on (proc(5)); none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _peak_kibibytes(pid: int) -> int:
    with suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return 0


def _nothing(home: Path) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Contestant:
    """A service under the *name* that tables show, and the *command* that starts it, given its home and port.

    *kinds*: the kinds of request that it is asked for.
    *sizes*: of small files; empty for all.
    *conditional_head*: its HEAD is asked with If-Modified-Since, since wrk waits for bytes that 200 announces.
    *keeps_files*: what is put is found in its files afterwards.
    *source*: the directory that its `pacifica.archiveinterface` has to come from, and *python* the one that says so.
    """

    name: str
    command: Callable[[Path, int], Sequence[str]]
    kinds: frozenset[str]
    environment: Callable[[Path], Mapping[str, str]] = _nothing
    sizes: frozenset[str] = frozenset()
    conditional_head: bool = False
    keeps_files: bool = True
    source: Path | None = None
    python: Path | None = None

    @contextmanager
    def running(self, home: Path) -> Iterator[Running]:
        """Run the service with its files below *home* until the block is left.

        Raises RuntimeError when it does not start, or would run other code than it should.
        """
        (home / "files").mkdir(parents=True)
        environment = {**_clean_environment(), "HOME": str(home), **self.environment(home)}
        self._check_source(home, environment)
        port = _free_port()
        with (
            (home / "log").open("wb") as log,
            subprocess.Popen(
                list(self.command(home, port)),
                cwd=home,  # uWSGI imports from the current directory first: no checkout may be there
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                running = Running(self.name, f"http://127.0.0.1:{port}/", home / "files", process)
                _await(running, home / "log")
                yield running
            finally:
                _stop(process)

    def _check_source(self, home: Path, environment: Mapping[str, str]) -> None:
        """See that the package is imported from *source*: a namespace takes it from wherever it comes first."""
        if self.source is None or self.python is None:
            return
        program = "from importlib.util import find_spec; print(find_spec('pacifica.archiveinterface.wsgi').origin)"
        found = subprocess.run(
            [self.python, "-c", program], cwd=home, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        if not Path(found).resolve().is_relative_to(self.source.resolve()):
            raise RuntimeError(f"{self.name} would run {found}, which is not below {self.source}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End all its processes at once: nothing they keep is needed any more, and uWSGI takes a second to go."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _await(running: Running, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(running.url):
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{running.name} did not start:\n{log.read_text()}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=START_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}


def end_in_order() -> None:
    """Let whatever ends this process stop the services and remove their files first."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for each in signals:  # make sends one of its own when the terminal has sent one
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in signals:
        signal.signal(each, end)
