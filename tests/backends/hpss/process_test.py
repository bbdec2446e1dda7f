"""Real processes on the simulator: a library that aborts, the demonstration, and a site's own tests through tape."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.backends.hpss.conftest import Installation
from tests.backends.hpss.forked import launcher_on, run_on
from tests.backends.hpss.support import PROJECT, TIMEOUT, archive_on, assert_all_is_closed, names_of, write_config
from tests.hpss_simulator import Simulator, build
from tests.support.forked import refusal_of
from tests.support.needs import need
from tests.support.page import typed
from tests.support.processes import WITHOUT_PSYCOPG, launcher
from tests.support.service import await_service, free_port
from tests.support.waiting import await_true

SUITE = PROJECT / "post_deployment_tests" / "deployment_test.py"
SUITE_TIMEOUT = 300  # seconds; never a measure of speed


@pytest.fixture
def environment(simulator: Simulator, installation: Installation, flavour: str) -> dict[str, str]:
    """What lets a process find the extension and the archive."""
    return {
        "PYTHONPATH": str(installation(flavour)),
        **names_of(simulator),
    }


@pytest.fixture
def config(simulator: Simulator) -> Path:
    """The configuration of a service on the simulator, whose recalls begin at once."""
    path = write_config(simulator)
    path.write_text(f"{path.read_text()}[recalls]\nquiet_seconds = 0\npoll_seconds = 0.05\n")
    return path


def test_each_worker_process_logs_in_for_itself_and_a_reload_goes_on(
    directory: Path, config: Path, environment: dict[str, str]
) -> None:
    with launcher(directory, "-t", "hpss", "-c", str(config), "--processes", "2", env=environment) as running:
        assert requests.put(f"{running.url}/7", data=b"old", timeout=TIMEOUT).status_code == 201
        assert {requests.get(f"{running.url}/7", timeout=TIMEOUT).content for _ in range(20)} == {b"old"}
        os.kill(running.pid, signal.SIGHUP)
        running.await_line("reloaded:")
        assert {requests.get(f"{running.url}/7", timeout=TIMEOUT).content for _ in range(20)} == {b"old"}
        assert running.stop() == 0


@pytest.mark.parametrize("moment", ["hpss_Write", "hpss_Chmod", "hpss_Rename", "hpss_Unlink"])
def test_a_library_that_aborts_loses_nothing(simulator: Simulator, directory: Path, config: Path, moment: str) -> None:
    with launcher_on(simulator, directory, "-c", str(config)) as running:
        assert requests.put(f"{running.url}/7", data=b"old", timeout=TIMEOUT).status_code == 201
        simulator.inject(f"{moment} * abort")
        with pytest.raises(requests.ConnectionError):
            requests.request("DELETE" if moment == "hpss_Unlink" else "PUT", f"{running.url}/7", data=b"new")
        assert running.process.wait(TIMEOUT) == -signal.SIGABRT
    simulator.inject()
    with launcher_on(simulator, directory, "-c", str(config)) as running:
        assert requests.get(f"{running.url}/7", timeout=TIMEOUT).content == b"old"
        assert requests.put(f"{running.url}/7", data=b"new", timeout=TIMEOUT).status_code == 201
        assert requests.get(f"{running.url}/7", timeout=TIMEOUT).content == b"new"


def test_a_library_that_aborts_on_removing_what_is_open_is_never_let(
    simulator: Simulator, directory: Path, config: Path
) -> None:
    simulator.set("abort_on_unlink", 1)
    content = os.urandom(20 << 20)  # more than sockets hold, so that the file stays open
    with launcher_on(simulator, directory, "-c", str(config)) as running:
        requests.put(f"{running.url}/7", data=content, timeout=TIMEOUT)
        with requests.get(f"{running.url}/7", stream=True, timeout=TIMEOUT) as reading:
            assert requests.delete(f"{running.url}/7", timeout=TIMEOUT).status_code == 200
            assert reading.content == content
        assert requests.get(f"{running.url}/7", timeout=TIMEOUT).status_code == 404
    assert simulator.counters()["unlinked_open"] == 0


@pytest.mark.parametrize("flavour", ["9.3"])
def test_sending_to_tape_refuses_what_is_there_already(
    simulator: Simulator, directory: Path, config: Path, environment: dict[str, str]
) -> None:
    archive = archive_on(simulator, directory)
    for file_id in ("7", "8"):
        with archive.open(file_id, "w") as file:
            file.write(b"content")
            file.set_file_permissions()
    module = "pacifica.archiveinterface.backends.hpss.to_tape"
    command = [sys.executable, "-m", module, "-c", str(config), "--prefix", str(directory)]

    def send(*file_ids: str) -> tuple[int, str]:
        ended = subprocess.run(
            [*command, *file_ids], env={**os.environ, **environment}, cwd=simulator.root, capture_output=True, text=True
        )
        return ended.returncode, ended.stderr

    assert send("7") == (0, "")
    code, message = send("7", "8")
    assert code == 1
    assert message == "to_tape: 7: the file is on tape already, or is being staged\n"
    for file_id in ("7", "8"):
        shown = simulator.show(archive.file(file_id).filepath)
        assert (shown["level0"], shown["level1"]) == ("disk 0", "tape 7")


def test_no_front_end_is_told_to_open_what_is_in_hpss(simulator: Simulator, directory: Path, tmp_path: Path) -> None:
    config = tmp_path / "sendfile.ini"
    config.write_text(write_config(simulator).read_text() + "[http]\nsendfile = x-accel-redirect\n")
    named = ("-t", "hpss", "--prefix", str(directory), "-c", str(config))
    line = refusal_of(run_on(simulator), *named, **names_of(simulator))
    assert "[http] sendfile = x-accel-redirect" in line


def test_the_deployment_tests_pass_through_tape(
    simulator: Simulator, directory: Path, config: Path, environment: dict[str, str]
) -> None:
    to_tape = f"{sys.executable} -m pacifica.archiveinterface.backends.hpss.to_tape -c {config} --prefix {directory}"
    simulator.set("mount_seconds", 0.2)
    with launcher_on(simulator, directory, "-c", str(config)) as running:
        variables = {
            "ARCHIVE_URL": running.url,
            "MIGRATE_COMMAND": to_tape,
            "LARGE_FILE_SIZE": str((9 << 20) + 1),
            "MANY_FILES_TEST_COUNT": "40",
            "STAGE_TIMEOUT": "60",
        }
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SUITE)],
            env={**os.environ, **environment, **variables},
            cwd=simulator.root,
            capture_output=True,
            text=True,
            timeout=SUITE_TIMEOUT,
        )
    assert ended.returncode == 0, ended.stdout
    assert "skipped" not in ended.stdout
    assert simulator.counters()["stages"] == 4  # text, binary, large, and the one that nobody stages
    assert simulator.counters()["duplicate_stages"] == 0
    assert_all_is_closed(simulator)


@pytest.mark.parametrize("flavour", ["9.3"])
def test_the_demonstration_goes_to_tape_and_back(tmp_path: Path, installation: Installation, flavour: str) -> None:
    need("cc")
    demo, port, places = tmp_path / "demo", free_port(), tmp_path / "environment"
    build(flavour, demo)
    (demo / ".built").touch()  # its recipe installs, which a test had better not
    places.mkdir()
    (places / "bin").symlink_to(Path(sys.executable).parent)
    (places / ".run").touch()
    options = [f"HPSS_DEMO={demo}", f"VENV={places}", f"PORT={port}", "-o", str(demo / ".built")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installation(flavour)), WITHOUT_PSYCOPG])}
    url = f"http://127.0.0.1:{port}"
    service = subprocess.Popen(
        ["make", "run-hpss-demo", *options], cwd=PROJECT, env=environment, start_new_session=True, text=True
    )
    try:
        await_service(service, url + "/")
        assert requests.put(f"{url}/5", data=b"five", timeout=TIMEOUT).status_code == 201
        subprocess.run(["make", "hpss-demo-tape", "ID=5", *options], cwd=PROJECT, env=environment, check=True)

        def head() -> set[tuple[str, str]]:
            return set(requests.head(f"{url}/5", timeout=TIMEOUT).headers.items())

        assert ("X-Pacifica-File-Storage-Media", "tape") in head()
        assert requests.post(f"{url}/5", timeout=TIMEOUT).status_code == 202
        # When the storage was asked, its tape is let take less time.
        mount = [sys.executable, "-m", "tests.hpss_simulator", "advance", str(demo), "6"]
        await_true(lambda: {"X-Pacifica-Recall": "active", "X-Pacifica-File-Storage-Media": "disk"}.items() & head())
        subprocess.run(mount, cwd=PROJECT, check=True)
        # To the recaller, a file that is purged before it has seen it arrive looks like one whose recall has failed.
        await_true(lambda: requests.get(f"{url}/-/recalls", timeout=TIMEOUT).json()["completed_files"])
        assert requests.get(f"{url}/5", timeout=TIMEOUT).content == b"five"
        shown = typed("docs/recalls.md", "hpss", port, environment, shlex.join(options))
        assert all(f'"path": "/{file_id}"' in shown for file_id in "5678")
        request = re.findall(r'"id": "([-0-9a-f]{36})"', shown)[0]
        poll = f"{url}/api/v1/stage/{request}"

        def states() -> set[str]:
            return {file["state"] for file in requests.get(poll, timeout=TIMEOUT).json()["files"]}

        await_true(lambda: "SUBMITTED" not in states())
        subprocess.run(mount, cwd=PROJECT, check=True)
        await_true(lambda: states() == {"COMPLETED"})
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(TIMEOUT)
