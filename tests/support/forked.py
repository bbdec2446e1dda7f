"""The launcher, and others, in processes that are forked from one that has loaded them: most of the work of a start."""

import multiprocessing
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.loaded import run_cmd, run_main
from tests.support.processes import LOADED_LATE, Server, clean_environment, refused, serving
from tests.support.service import TIMEOUT

_loaded = multiprocessing.get_context("forkserver")
_modules = ("homeless", "loaded", "recall_process")
_s3 = "pacifica.archiveinterface.backends.s3.archive"  # boto3 takes as long to load as all the rest
_loaded.set_forkserver_preload([*(f"tests.support.{name}" for name in _modules), *LOADED_LATE, _s3])


class ForkedProcess:
    """A process that runs *target* with *arguments*, and has what tests need of subprocess.Popen."""

    def __init__(self, target: Callable[..., Any], *arguments: object) -> None:
        self._process = _loaded.Process(target=target, args=arguments)
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Return the exit code when the process has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a crash would."""
        self.send_signal(signal.SIGKILL)


@contextmanager
def forked_launcher(
    prefix: Path | str,
    *options: str,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    run: Callable[..., Any] = run_main,
) -> Iterator[Server]:
    """Run the launcher, one process, on a free port until the block is left, as *user* if root asks.

    Of what the interpreter reads of *env* as it starts, only PYTHONPATH has an effect, and not on what is loaded. The
    process calls *run*, which does as run_main.
    """
    arguments = ("-t", "posix", "-p", "0", "--prefix", str(prefix), "--processes", "0", *options)
    environment = {**clean_environment(), **(env or {})}
    with serving(lambda output: ForkedProcess(run, arguments, environment, output, user)) as server:
        yield server


def refusal_of_main(*arguments: str, **environment: str) -> str:
    """Return the line with which the launcher refuses to start, with the exit code 2."""
    return refusal_of(run_main, *arguments, **environment)


def refusal_of(run: Callable[..., Any], /, *arguments: str, **environment: str) -> str:
    """Return the line with which the launcher, called by *run*, refuses to start, with the exit code 2."""
    with tempfile.NamedTemporaryFile() as output:
        everywhere = ("-p", "0", *arguments)  # another port may be named, and 8080 be in use
        process = ForkedProcess(run, everywhere, {**clean_environment(), **environment}, output.name, None)
        return refused(process.wait(), output.read())


def forked_cmd(
    *arguments: str, text: str | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the administrator's tool to its end, with *text* to read, in this process's directory.

    Without *env*, its environment is this process's. Of what the interpreter reads of it as it starts, only
    PYTHONIOENCODING and PYTHONPATH have an effect.
    """
    ended = forked_cmd_of_bytes(*arguments, content=(text or "").encode(), env=env)
    return subprocess.CompletedProcess(arguments, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def forked_cmd_of_bytes(
    *arguments: str, content: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Do the same with *content* that need not be text."""
    with TemporaryDirectory() as place:
        files = _, output, errors = [Path(place, name) for name in ("in", "out", "err")]
        for file, given in zip(files, (content, b"", b""), strict=True):
            file.write_bytes(given)
        process = begun_cmd(arguments, env, *map(str, files))
        return subprocess.CompletedProcess(arguments, process.wait(), output.read_bytes(), errors.read_bytes())


def begun_cmd(
    arguments: Sequence[str], env: Mapping[str, str] | None, read: str, output: str, errors: str
) -> ForkedProcess:
    """Begin to run the administrator's tool, with the files or terminals of these names for its standard streams."""
    environment = dict(os.environ if env is None else env)
    return ForkedProcess(run_cmd, tuple(arguments), environment, os.getcwd(), read, output, errors)
