"""Clients of grids: davix and gfal2 announce uploads with ``Expect: 100-continue`` and wait for the answer."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.needs import need
from tests.support.processes import launcher, uwsgi
from tests.support.service import TIMEOUT

CONTENT = os.urandom(3_000_000)


@pytest.fixture(scope="module", params=[launcher, uwsgi], ids=["launcher", "uWSGI"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service of each kind, whose HEAD is that of WebDAV."""
    home = tmp_path_factory.mktemp("grid")
    (home / "config.ini").write_text("[http]\nhead = standard\n")
    (home / "archive").mkdir()
    with request.param(home / "archive", env={"ARCHIVEINTERFACE_CONFIG": str(home / "config.ini")}) as server:
        yield server.url


@pytest.mark.parametrize(
    "command",
    [["davix-put"], ["gfal-copy", "--force", "--timeout", str(TIMEOUT)]],
    ids=lambda command: command[0],
)
def test_an_upload_arrives(url: str, tmp_path: Path, command: list[str]) -> None:
    need(command[0])
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    name = str(source) if command[0] == "davix-put" else f"file://{source}"
    # gfal2's Python module is the distribution's.
    environment = {**os.environ, "GFAL_PYTHONBIN": "/usr/bin/python3"}
    command = [*command, name, f"{url}/12345"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert requests.get(f"{url}/12345", timeout=TIMEOUT).content == CONTENT
