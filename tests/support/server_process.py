"""A server as a process of its own: started, killed with all its children, and started again."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from tests.support.process_tree import descendants

HOST = "127.0.0.1"
PORTS = range(12_000, 32_000)
START_TIMEOUT = 60.0  # seconds


class ServerProcess:
    """A server that runs *command* in *directory* and listens on *port* of the loopback address.

    Its process id is in the file ``pid`` there, what it writes in ``log``.
    """

    def __init__(
        self, directory: Path, port: int, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.url = f"http://{HOST}:{port}"
        self._directory, self._port, self._environment = directory, port, environment
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid if self._process else None

    @property
    def log(self) -> str:
        """What it has written."""
        return (self._directory / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and return when it listens; what an earlier run has left is ended first.

        The signals of a terminal do not reach it.
        """
        self.kill()
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=self._environment,
                start_new_session=True,
            )
        (self._directory / "pid").write_text(str(self._process.pid))
        self.await_start(self._listens)

    def await_start(self, is_ready: Callable[[], bool]) -> None:
        """Return when it *is_ready*. Raises RuntimeError when it has ended or takes too long."""
        wait_until(is_ready, lambda: self.is_running, lambda: f"{' '.join(self.command)}: {self.log[-2000:]}")

    def kill(self) -> None:
        """End it and all processes that it has started, as a crash would."""
        if self._process:
            children = descendants(self._process.pid)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            for child in children:  # some have sessions of their own
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self._port)) == 0


def wait_until(is_ready: Callable[[], bool], is_running: Callable[[], bool], log: Callable[[], str]) -> None:
    """Return when a server *is_ready*. Raises RuntimeError with its *log* when it takes too long or has ended."""
    deadline = time.monotonic() + START_TIMEOUT
    while not is_ready():
        if time.monotonic() > deadline or not is_running():
            raise RuntimeError(f"a server did not start: {log()}")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Return as many ports that nothing listens on, and that the system gives to no outgoing connection."""
    candidates = random.SystemRandom().sample(PORTS, len(PORTS))
    return list(islice(filter(_is_free, candidates), count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
