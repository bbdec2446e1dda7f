"""The launcher in processes that are forked from one that has loaded it, which is most of the work of a start."""

import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import requests

from tests.support.loaded import run_main
from tests.support.processes import LOADED_LATE, URL, clean_environment, refused
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

_loaded = multiprocessing.get_context("forkserver")
_loaded.set_forkserver_preload(["tests.support.loaded", *LOADED_LATE])


class ForkedServer:
    """A service that answers at *url*, which ends in no slash."""

    def __init__(self, process: ForkServerProcess, output: Path) -> None:
        self.url = ""
        self._process, self._output = process, output
        await_true(self._answers)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid or 0

    def wait(self) -> None:
        """Return when the process has ended."""
        self._process.join(TIMEOUT)
        assert self._process.exitcode is not None

    def _answers(self) -> bool:
        said = self._output.read_text()
        assert self._process.is_alive(), said
        found = URL.search(said)
        self.url = f"http://{found[1]}" if found else ""
        return bool(found) and requests.get(self.url, timeout=TIMEOUT).ok


@contextmanager
def forked_launcher(prefix: Path, *options: str, user: str | None = None) -> Iterator[ForkedServer]:
    """Run the launcher on a free port until the block is left, as *user* if root asks."""
    arguments = ("-t", "posix", "-p", "0", "--prefix", str(prefix), "--processes", "0", *options)
    with tempfile.NamedTemporaryFile() as output:
        process = _started(arguments, {}, output.name, user)
        try:
            yield ForkedServer(process, Path(output.name))
        finally:
            process.terminate()
            process.join(TIMEOUT)
            process.kill()


def refusal_of_main(*arguments: str, **environment: str) -> str:
    """Return the line with which the launcher refuses to start, with the exit code 2."""
    with tempfile.NamedTemporaryFile() as output:
        process = _started(arguments, environment, output.name)
        process.join(TIMEOUT)
        return refused(process.exitcode, output.read())


def _started(
    arguments: tuple[str, ...], environment: dict[str, str], output: str, user: str | None = None
) -> ForkServerProcess:
    process = _loaded.Process(target=run_main, args=(arguments, {**clean_environment(), **environment}, output, user))
    process.start()
    return process
