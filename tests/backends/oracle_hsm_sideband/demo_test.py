"""The demo of the manual runs as it is described, and leaves nothing running."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.support.needs import need
from tests.support.page import typed
from tests.support.processes import WITHOUT_PSYCOPG
from tests.support.service import TIMEOUT, await_service, free_port
from tests.support.waiting import await_true

ROOT = Path(__file__).parents[3]
DEMO = [sys.executable, "-m", "tests.samqfs_emulator.demo"]


def test_the_demo_takes_a_file_to_tape_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("cc", "mariadbd")
    monkeypatch.setenv("PYTHONPATH", WITHOUT_PSYCOPG)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    venv = Path(sys.executable).parents[1]
    make = f"HSM_DEMO={tmp_path / 'demo'} VENV={venv} -o {venv / '.hsm-demo'}"  # nothing is to be installed

    def media() -> str:
        return requests.head(f"{url}/5", timeout=TIMEOUT).headers["X-Pacifica-File-Storage-Media"]

    def tape(file_id: str) -> int:
        return subprocess.run([*DEMO, str(tmp_path / "demo"), "tape", file_id], cwd=ROOT, check=False).returncode

    with subprocess.Popen(
        [*DEMO, str(tmp_path / "demo"), "run", "--port", str(port), "--tape-delay", "0.5"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    ) as demo:
        try:
            await_service(demo, url)
            requests.put(f"{url}/5", data=b"a file", timeout=TIMEOUT)
            assert tape("5") == 0
            assert media() == "tape"
            assert tape("5") == 1  # there already
            assert tape("6") == 1  # never put
            assert requests.post(f"{url}/5", timeout=TIMEOUT).status_code == 202
            await_true(lambda: media() == "disk")
            assert requests.get(f"{url}/5", timeout=TIMEOUT).content == b"a file"
            shown = typed("docs/recalls.md", "hsm", port, os.environ, make)
            request = re.findall(r'"id": "([-0-9a-f]{36})"', shown)[0]
            await_true(lambda: "completedAt" in requests.get(f"{url}/api/v1/stage/{request}", timeout=TIMEOUT).json())
            told = requests.get(f"{url}/api/v1/stage/{request}", timeout=TIMEOUT).json()
            assert [file["state"] for file in told["files"]] == ["COMPLETED"] * 4
        finally:
            with requests.Session() as session:
                for file_id in range(1000, 1050):  # work for the daemons
                    session.put(f"{url}/{file_id}", data=b"a file", timeout=TIMEOUT)
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(TIMEOUT) == 0
    assert not _is_running(tmp_path / "demo" / "mariadb" / "pid")


def _is_running(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True
