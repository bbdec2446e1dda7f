"""The administrator's commands for recalls, as real processes on a simulated HPSS, while no service runs."""

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.backends.hpss.forked import run_on
from tests.backends.hpss.support import archive_on, names_of, write_config
from tests.hpss_simulator import Simulator
from tests.support.forked import ForkedProcess
from tests.support.loaded import run_cmd
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

FILES = ("7", "8", "9")


class Command:
    """A command of the administrator's tool, as a process."""

    def __init__(
        self, run: Callable[..., Any], arguments: Sequence[str], environment: dict[str, str], place: str
    ) -> None:
        """Start it by *run*, with standard streams in the directory *place*."""
        self._output, self._errors = Path(place, "out"), Path(place, "err")
        streams = [Path(place, "in"), self._output, self._errors]
        for stream in streams:
            stream.touch()
        self.process = ForkedProcess(run, arguments, environment, place, *map(str, streams))

    def ended(self) -> tuple[int, str, str]:
        """Return its exit code, and what it has written to standard output and to standard error, when it has ended."""
        return self.process.wait(TIMEOUT), self._output.read_text(), self._errors.read_text()


class Administrator:
    """Types commands, with FILES on tape."""

    def __init__(self, simulator: Simulator, directory: Path, config: Path) -> None:
        self._run = run_on(simulator, run_cmd)
        self._named = ("-t", "hpss", "--prefix", str(directory), "-c", str(config))
        self._environment = {**os.environ, **names_of(simulator)}

    @contextmanager
    def starting(self, *arguments: str) -> Iterator[Command]:
        """Start a command, and end it after the block."""
        with TemporaryDirectory() as place:
            command = Command(self._run, [*self._named, *arguments], self._environment, place)
            try:
                yield command
            finally:
                command.process.kill()
                command.process.wait()

    def run(self, *arguments: str) -> tuple[int, list[str]]:
        """Run a command; return the exit code, and the lines of its output."""
        with self.starting(*arguments) as command:
            code, output, _ = command.ended()
            return code, output.splitlines()


@pytest.fixture
def administrator(simulator: Simulator, directory: Path, tmp_path: Path) -> Administrator:
    archive = archive_on(simulator, directory)
    for file_id in FILES:
        archive.file(file_id).store([b"content"], 7.0)
        archive.file(file_id).send_to_tape()
    config = tmp_path / "config.ini"
    recalls = f"database = sqlite:///{tmp_path}/recalls.sqlite3\nquiet_seconds = 0\npoll_seconds = 0.05\n"
    config.write_text(f"{write_config(simulator).read_text()}[recalls]\n{recalls}")
    return Administrator(simulator, directory, config)


def test_stage_brings_files_from_tape(administrator: Administrator, simulator: Simulator) -> None:
    code, lines = administrator.run("stage", "--wait", *FILES, "404")
    assert code == 1
    assert lines[1:] == ["/404: failed no such file in the archive", "3 completed, 1 failed"]
    assert simulator.counters()["recalls_finished"] == len(FILES)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_wait_leaves_a_request_that_goes_on(
    administrator: Administrator, simulator: Simulator, number: signal.Signals
) -> None:
    simulator.set("mount_seconds", 10 * TIMEOUT)
    with administrator.starting("stage", "--wait", *FILES) as command:
        await_true(lambda: simulator.counters()["stages"] == len(FILES))
        command.process.send_signal(number)
        code, output, errors = command.ended()
        assert code == 130
    request = output.strip()
    [said] = re.findall("^interrupted; the request goes on, (.*) waits for it$", errors, re.MULTILINE)
    simulator.advance(20 * TIMEOUT)
    assert administrator.run(*said.split()) == (0, ["3 completed"])
    assert said == f"stage --follow {request}"
    assert simulator.counters()["stages"] == len(FILES)


def test_verify_reads_files_from_tape(administrator: Administrator, simulator: Simulator) -> None:
    assert administrator.run("verify", "--recall", "--record", *FILES) == (
        0,
        [*(f"file.{file_id}: recorded" for file_id in FILES), "3 recorded"],
    )
    assert simulator.counters()["recalls_finished"] == len(FILES)


def test_the_queues_are_told_by_volume(administrator: Administrator, simulator: Simulator) -> None:
    simulator.set("mount_seconds", 10 * TIMEOUT)
    with administrator.starting("stage", "--wait", *FILES):
        await_true(lambda: simulator.counters()["stages"] == len(FILES))
        await_true(lambda: len(administrator.run("recalls")[1]) > 4)
        code, lines = administrator.run("recalls")
    assert code == 0
    headings, *volumes = lines[3:]
    assert headings.split()[:2] == ["VOLUME", "STATE"]
    assert [re.match(r"\S+ +active ", volume) is not None for volume in volumes] == [True] * len(volumes)
