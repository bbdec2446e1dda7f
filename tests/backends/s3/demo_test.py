"""The demo of the manual runs as it is described, and leaves nothing running."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.support.needs import need
from tests.support.page import typed
from tests.support.processes import WITHOUT_PSYCOPG
from tests.support.server_process import free_ports
from tests.support.service import TIMEOUT, await_service
from tests.support.waiting import await_true

ROOT = Path(__file__).parents[3]
VENV = Path(sys.executable).parents[1]


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where the demo keeps everything; the path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="s3-demo-") as name:
        yield Path(name) / "demo"


def running_in(directory: Path) -> list[int]:
    """Return the processes that work in *directory*, or were told its name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            told = (entry / "cmdline").read_bytes()
            if entry.name != str(os.getpid()) and (
                os.fsencode(directory) in told or directory in (entry / "cwd").readlink().parents
            ):
                found.append(int(entry.name))
    return found


def test_the_demo_outlives_its_servers_and_ends_with_all_of_them(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(VENV / "bin" / "uwsgi", "nginx", "mariadbd", "make")
    monkeypatch.setenv("PYTHONPATH", WITHOUT_PSYCOPG)
    (port,) = free_ports(1)
    places = [f"VENV={VENV}", f"S3_DEMO={directory}", f"PORT={port}", "-o", str(VENV / ".s3-demo")]
    with subprocess.Popen(
        ["make", "run-s3-demo", *places], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    ) as demo:
        try:
            await_service(demo, f"http://127.0.0.1:{port}")
            killed = (directory / "node1" / "pid").read_text()
            typed("docs/scaling.md", "s3", port, os.environ, places={"build/s3-demo": str(directory)})
            await_true(lambda: (directory / "node1" / "pid").read_text() != killed)
            assert (
                requests.get(f"http://127.0.0.1:{port}/5", timeout=TIMEOUT).content == (ROOT / "README.md").read_bytes()
            )
            assert running_in(directory)
        finally:
            os.killpg(demo.pid, signal.SIGINT)  # as Ctrl-C does
    # A recaller ends by itself once its worker has.
    await_true(lambda: not running_in(directory))
