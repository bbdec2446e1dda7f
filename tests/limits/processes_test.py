"""Servers with several processes, the administrator's command, and an upload whose process is killed."""

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_cmd, forked_launcher
from tests.support.processes import Server, clean_environment, uwsgi
from tests.support.waiting import TIMEOUT, await_true

QUOTA = "[limits]\nquota_bytes = 1000\nlease_seconds = 1\n"
LAUNCH: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    "launcher": lambda prefix, **options: forked_launcher(prefix, "--processes", "2", **options),
    "uwsgi": uwsgi,
}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """The directory of an archive."""
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


def environment(tmp_path: Path, options: str) -> dict[str, str]:
    """Return the environment of a service with *options*."""
    (tmp_path / "config.ini").write_text(options)
    return {"ARCHIVEINTERFACE_CONFIG": str(tmp_path / "config.ini"), "STATE_DIRECTORY": str(tmp_path / "state")}


def command(prefix: Path, env: dict[str, str], *arguments: str) -> list[str]:
    """Run the administrator's command, which must succeed, and return the lines that it prints."""
    ended = forked_cmd("-t", "posix", "--prefix", str(prefix), *arguments, env={**clean_environment(), **env})
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("server", LAUNCH)
def test_all_processes_of_a_server_count_together(prefix: Path, tmp_path: Path, server: str) -> None:
    env = environment(tmp_path, f"{QUOTA}principal = requests 0.001/s, burst 120\n")
    with LAUNCH[server](prefix, env=env) as service, ThreadPoolExecutor(16) as pool:

        def put(number: int) -> int:
            return requests.put(f"{service.url}/{number}", data=b"x" * 30, timeout=TIMEOUT).status_code

        def get(number: int) -> int:
            return requests.get(f"{service.url}/", timeout=TIMEOUT).status_code

        # One process that counts alone takes no part in what the others refuse.
        assert Counter(pool.map(put, range(1, 65))) == {201: 33, 507: 31}
        found = Counter(pool.map(get, range(120)))
        assert found[429] >= 120 - (120 - 64)
        assert found[200] + found[429] == 120
    [in_all, anonymous, nobody] = map(json.loads, command(prefix, env, "quota", "--json"))
    assert in_all == {"name": "in all", "bytes": 990, "files": 33, "most_bytes": 1000, "most_files": None}
    assert (anonymous["name"], anonymous["bytes"], nobody["bytes"]) == ("anonymous", 990, 0)


def test_the_space_of_an_upload_is_free_again_when_its_process_was_killed(prefix: Path, tmp_path: Path) -> None:
    env = environment(tmp_path, QUOTA)
    with forked_launcher(prefix, env=env) as first, forked_launcher(prefix, env=env) as second:

        def put(size: int) -> int:
            return requests.put(f"{second.url}/2", data=b"x" * size, timeout=TIMEOUT).status_code

        host, port = first.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), TIMEOUT) as connection:
            connection.sendall(b"PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"x" * 500)
            assert put(101) == 507
            os.kill(first.pid, signal.SIGKILL)
            await_true(lambda: put(1000) == 201)
    assert json.loads(command(prefix, env, "quota", "--json")[0])["bytes"] == 1000


def test_a_recount_finds_what_others_have_stored_and_removed(prefix: Path, tmp_path: Path) -> None:
    (prefix / "1").write_bytes(b"x" * 100)
    (prefix / "2").write_bytes(b"x" * 10)
    env = environment(tmp_path, QUOTA)
    assert command(prefix, env, "quota", "recount")[0].startswith("2 files, 2 of them")
    with forked_launcher(prefix, env=env) as limited:
        assert requests.put(f"{limited.url}/3", data=b"x" * 891, timeout=TIMEOUT).status_code == 507
        assert requests.put(f"{limited.url}/3", data=b"x" * 890, timeout=TIMEOUT).status_code == 201
        requests.delete(f"{limited.url}/1", timeout=TIMEOUT)
    (prefix / "3").unlink()
    (prefix / "2").write_bytes(b"x" * 20)
    lines = command(prefix, env, "quota", "recount", "--json")
    assert lines[0].startswith("1 files, 2 of them")
    assert json.loads(lines[1])["bytes"] == 20
    command(prefix, env, "delete", "2")
    assert json.loads(command(prefix, env, "quota", "--json")[0])["bytes"] == 0
