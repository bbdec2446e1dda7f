"""The administrator's commands for recalls, as real processes on a simulated HPSS, while no service runs."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backends.hpss.conftest import Installation
from tests.backends.hpss.support import archive_on, write_config
from tests.hpss_simulator import Simulator
from tests.support.processes import BIN
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

FILES = ("7", "8", "9")


class Administrator:
    """Types commands, with FILES on tape."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._command = [str(BIN / "pacifica-archiveinterface-cmd"), "-t", "hpss", "--prefix", str(directory)]
        self._environment = {**os.environ, **environment}

    @contextmanager
    def starting(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command, and end it after the block."""
        pipe = subprocess.PIPE
        command = [*self._command, *arguments]
        with subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments: str) -> tuple[int, list[str]]:
        """Run a command; return the exit code, and the lines of its output."""
        with self.starting(*arguments) as process:
            output, _ = process.communicate(timeout=TIMEOUT)
            return process.returncode, output.splitlines()


@pytest.fixture
def administrator(
    simulator: Simulator, directory: Path, installation: Installation, flavour: str, tmp_path: Path
) -> Administrator:
    archive = archive_on(simulator, directory)
    for file_id in FILES:
        archive.file(file_id).store([b"content"], 7.0)
        archive.file(file_id).send_to_tape()
    config = tmp_path / "config.ini"
    recalls = f"database = sqlite:///{tmp_path}/recalls.sqlite3\nquiet_seconds = 0\npoll_seconds = 0.05\n"
    config.write_text(f"{write_config(simulator).read_text()}[recalls]\n{recalls}")
    environment = {
        "ARCHIVEINTERFACE_CONFIG": str(config),
        "PYTHONPATH": str(installation(flavour)),
        "HPSS_SIM_ROOT": str(simulator.root),
        "HPSS_SIM_NAMES": "/",
    }
    return Administrator(directory, environment)


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
    with administrator.starting("stage", "--wait", *FILES) as process:
        await_true(lambda: simulator.counters()["stages"] == len(FILES))
        process.send_signal(number)
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 130
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
