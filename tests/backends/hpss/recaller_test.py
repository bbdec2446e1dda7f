"""Whatever serves the archive recalls its files, and goes on when the process that does so is killed."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests

from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.requests import Wish
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.backends.hpss.conftest import Installation
from tests.backends.hpss.forked import launcher_on
from tests.backends.hpss.support import archive_on, names_of, write_config
from tests.hpss_simulator import Simulator
from tests.support.processes import BIN, Server, launcher, uwsgi
from tests.support.service import TIMEOUT

LEASE = 1.0  # seconds
FILES = ("7", "8", "9")

Start = Callable[..., Server]


@pytest.fixture
def environment(simulator: Simulator, installation: Installation, flavour: str, tmp_path: Path) -> dict[str, str]:
    """What a process needs to serve the archive, whose recalls are in ``recalls.sqlite3``."""
    config = tmp_path / "config.ini"
    recalls = f"database = sqlite:///{tmp_path}/recalls.sqlite3\nquiet_seconds = 0\npoll_seconds = 0.05\n"
    config.write_text(f"{write_config(simulator).read_text()}[recalls]\n{recalls}lease_seconds = {LEASE}\n")
    return {
        "ARCHIVEINTERFACE_CONFIG": str(config),
        "PAI_BACKEND_TYPE": "hpss",
        "PYTHONPATH": str(installation(flavour)),
        **names_of(simulator),
    }


@pytest.fixture(params=["launcher", "two workers", "uwsgi", "one worker of uwsgi", "a process of its own"])
def server(
    request: pytest.FixtureRequest, simulator: Simulator, directory: Path, environment: dict[str, str]
) -> Iterator[Server]:
    """A service with FILES on tape, started in each way, and a second one like it on the same database."""
    archive = archive_on(simulator, directory)
    for file_id in FILES:
        with archive.open(file_id, "w") as file:
            file.write(b"content")
            file.set_file_permissions()
        archive.file(file_id).send_to_tape()
    with ExitStack() as stack:
        if "uwsgi" in request.param:
            workers = ("-p", "1") if "one" in request.param else ()
            # Away from the sources, which come first in the directory where uWSGI starts and have no extension.
            yield stack.enter_context(uwsgi(directory, *workers, "--chdir", str(directory), env=environment))
            return
        if request.param == "two workers":
            options = ("-t", "hpss", "--processes", "2")
            yield stack.enter_context(launcher(directory, *options, env=environment))
            return
        if request.param == "a process of its own":
            command = [str(BIN / "pacifica-archiveinterface-cmd"), "--prefix", str(directory), "recaller"]
            process = stack.enter_context(subprocess.Popen(command, env={**os.environ, **environment}))
            stack.callback(process.terminate)
        yield stack.enter_context(launcher_on(simulator, directory, env=environment))


def holder(tmp_path: Path) -> int:
    """Return the id of the process that recalls, as the database has it; waits until there is one."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        with closing(sqlite3.connect(tmp_path / "recalls.sqlite3")) as database:
            [(name,)] = database.execute("SELECT holder FROM recall_lease") or [("",)]
        if name:
            return int(name.split("/")[1])
        time.sleep(0.05)
    raise TimeoutError("no recaller is at work")


def stage(url: str, *paths: str) -> str:
    """Make a request for *paths* of the service at *url*, and return where its state is told."""
    files = {"files": [{"path": path} for path in paths]}
    answer = requests.post(f"{url}/api/v1/stage", json=files, timeout=TIMEOUT)
    assert answer.status_code == 201
    return f"{url}/api/v1/stage/{answer.json()['requestId']}"


def ended(place: str) -> list[str]:
    """Return the states of the files of a request when all have ended."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        content = requests.get(place, timeout=TIMEOUT).json()
        if "completedAt" in content:
            return [file["state"] for file in content["files"]]
        time.sleep(0.05)
    raise TimeoutError(str(content))


def test_files_are_recalled_by_what_serves_them(server: Server, simulator: Simulator) -> None:
    assert ended(stage(server.url, *(f"/{file_id}" for file_id in FILES))) == ["COMPLETED"] * len(FILES)
    assert requests.get(f"{server.url}/7", timeout=TIMEOUT).content == b"content"
    assert simulator.counters()["stages"] == len(FILES)


def test_another_goes_on_when_the_one_at_work_is_killed(
    server: Server, simulator: Simulator, directory: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    simulator.set("mount_seconds", 2)
    place = stage(server.url, *(f"/{file_id}" for file_id in FILES))
    while simulator.counters()["stages"] < len(FILES):
        time.sleep(0.01)
    killed = holder(tmp_path)
    os.kill(killed, signal.SIGKILL)
    with ExitStack() as stack:
        if killed == server.pid:
            again = stack.enter_context(launcher_on(simulator, directory, env=environment))
            place = place.replace(server.url, again.url)
        assert ended(place) == ["COMPLETED"] * len(FILES)
        assert simulator.counters()["recalls_finished"] == len(FILES)
        assert holder(tmp_path) != killed


def test_a_full_queue_of_the_storage_fails_no_recall(simulator: Simulator, directory: Path, tmp_path: Path) -> None:
    archive = archive_on(simulator, directory, {"stage_batch": 1})
    for file_id in FILES:
        with archive.open(file_id, "w") as file:
            file.write(b"content")
            file.set_file_permissions()
        archive.file(file_id).send_to_tape()
    simulator.set("stage_queue", 1)
    simulator.set("mount_seconds", 0.5)
    options = RecallOptions(
        f"sqlite:///{tmp_path}/recalls", quiet_seconds=0, poll_seconds=0.05, retry_seconds=0.05, attempts=1
    )
    service = RecallService(archive, Store("hpss", options), options)
    with service.at_work():
        request = service.submit([Wish(f"/{file_id}", file_id) for file_id in FILES])
        while service.progress(request).completed_at is None:
            time.sleep(0.05)
    assert [file.state for file in service.progress(request).files] == ["COMPLETED"] * len(FILES)
