"""Users on real servers: several processes, the line at the start, and what is said before a body is read."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_launcher
from tests.support.processes import Server, launcher, uwsgi
from tests.support.service import TIMEOUT
from tests.support.users import HASHED, PASSWORD, Users

PERMISSIONS = "alice = read\nrobot = write\ndefault = poll\n"
LOGIN = ("alice", PASSWORD)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Users:
    """Two users, and the configuration of a service with them."""
    home = tmp_path_factory.mktemp("users")
    users = Users(home, PERMISSIONS, ["robot"], f"alice:{HASHED}\n")
    files = f"password_file = {users.password_file}\ntoken_file = {users.token_file}\n"
    (home / "config.ini").write_text(f"[auth]\nenabled = true\npermissions_file = {users.permissions_file}\n{files}")
    return users


@pytest.fixture(scope="module", params=["launcher", "uwsgi"])
def server(request: pytest.FixtureRequest, users: Users) -> Iterator[Server]:
    """The launcher or uWSGI, each with several processes."""
    home = users.permissions_file.parent
    prefix, config = home / request.param, str(home / "config.ini")
    prefix.mkdir()
    if request.param == "launcher":
        with launcher(prefix, "-c", config, "--processes", "2") as server:
            yield server
    else:
        with uwsgi(prefix, env={"ARCHIVEINTERFACE_CONFIG": config}) as server:
            yield server


def test_who_may_read_and_who_may_write(server: Server, users: Users) -> None:
    robot = users.headers("robot")
    assert requests.put(f"{server.url}/7", data=b"x", headers=robot, timeout=TIMEOUT).status_code == 201
    assert requests.put(f"{server.url}/7", data=b"y", headers=robot, timeout=TIMEOUT).status_code == 403
    assert requests.get(f"{server.url}/7", headers=robot, timeout=TIMEOUT).status_code == 403
    assert requests.get(f"{server.url}/7", auth=LOGIN, timeout=TIMEOUT).content == b"x"
    assert requests.get(f"{server.url}/7", timeout=TIMEOUT).status_code == 401


def test_a_client_that_asks_before_it_sends_is_refused_at_once(server: Server) -> None:
    head = b"PUT /8 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), TIMEOUT) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_a_client_that_sends_much_can_read_the_refusal(server: Server) -> None:
    answer = requests.put(f"{server.url}/8", data=b"x" * (1 << 22), timeout=TIMEOUT)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_all_processes_see_a_change_at_once(server: Server, users: Users) -> None:
    def statuses() -> set[int]:
        return {requests.get(f"{server.url}/404", auth=LOGIN, timeout=TIMEOUT).status_code for _ in range(12)}

    assert statuses() == {404}
    users.permissions_file.write_text(PERMISSIONS.replace("alice = read", "alice = stage"))
    try:
        assert statuses() == {403}
    finally:
        users.permissions_file.write_text(PERMISSIONS)
    assert statuses() == {404}


def test_the_start_tells_how_many_principals_are_named(tmp_path: Path, users: Users) -> None:
    config = str(users.permissions_file.parent / "config.ini")
    (tmp_path / "archive").mkdir()
    with forked_launcher(tmp_path / "archive", "-c", config) as server:
        [line] = [line for line in server.stderr.splitlines() if "serves" in line]
        assert line.endswith(", no TLS, users 2")
