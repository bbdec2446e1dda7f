"""Logging in: once in each process, and anew when the credentials run out, without anybody noticing."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.backends.hpss.conftest import Installation, ServeHpss
from tests.backends.hpss.support import archive_on, assert_all_is_closed, names_of, write_config
from tests.hpss_simulator import Simulator
from tests.support.processes import uwsgi
from tests.support.service import Client

BLOCK = 1 << 16  # bytes; what the archives of these tests read and write at a time


def calls_of(simulator: Simulator, function: str) -> list[list[str]]:
    return [call for call in simulator.calls() if call[3] == function]


def test_nothing_is_asked_of_hpss_before_the_first_request(simulator: Simulator, directory: Path) -> None:
    archive = archive_on(simulator, directory)
    assert {call[3] for call in simulator.calls()} <= {"hpss_BuildLevelString"}
    with archive.open("7", "w") as file:
        file.write(b"x")
    assert len(calls_of(simulator, "hpss_SetLoginCred")) == 1
    assert simulator.counters()["calls_before_login"] == 0


def test_the_library_is_configured_before_the_login(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    serve_hpss({"retries": 3, "busy_delay": 4, "busy_retries": 5}).request("HEAD", "/7")
    order = [call[3] for call in simulator.calls() if call[3] in ("hpss_SetConfiguration", "hpss_SetLoginCred")]
    assert order == ["hpss_SetConfiguration", "hpss_SetLoginCred"]
    assert calls_of(simulator, "hpss_SetConfiguration")[0][5] == "retries=3 busy_delay=4 busy_retries=5"


@pytest.mark.parametrize("flavour", ["9.3"])
def test_every_forked_worker_logs_in_once(simulator: Simulator, directory: Path, installation: Installation) -> None:
    environment = {
        "PAI_BACKEND_TYPE": "hpss",
        "ARCHIVEINTERFACE_CONFIG": str(write_config(simulator)),
        **names_of(simulator),
    }
    with uwsgi(directory, "--pythonpath", str(installation("9.3")), env=environment) as server:
        service = Client(int(server.url.rpartition(":")[2]))

        def life_of(number: int) -> bool:
            content, path = os.urandom(100_000), f"/{number}"
            stored = service.request("PUT", path, data=content).status_code == 201
            return stored and service.request("GET", path).content == content

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(life_of, range(64)))
    logins = [call[1] for call in calls_of(simulator, "hpss_SetLoginCred")]
    workers = {call[1] for call in calls_of(simulator, "hpss_Open")}
    assert len(logins) == len(set(logins))
    assert workers <= set(logins)
    assert str(server.pid) not in logins
    assert len(workers) > 1
    assert_all_is_closed(simulator)


@pytest.mark.parametrize("code", [-13, -11001])
def test_a_new_login_under_load_loses_no_request(serve_hpss: ServeHpss, simulator: Simulator, code: int) -> None:
    simulator.set("expired_code", code)
    service = serve_hpss()

    def life_of(number: int) -> bool:
        content, path = os.urandom(3 * BLOCK + number), f"/{1000 + number}"
        good = True
        for time in range(2):
            if (number + time) % 5 == 0:
                simulator.expire()
            content = content[::-1]
            good = good and service.request("PUT", path, data=content).status_code == 201
            good = good and service.request("GET", path).content == content
            good = good and service.request("HEAD", path).status_code == 204
        return good and service.request("DELETE", path).status_code == 200

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(life_of, range(32)))
    assert simulator.counters()["logins"] > 1
    assert_all_is_closed(simulator)


def test_open_files_go_on_after_a_new_login(simulator: Simulator, directory: Path) -> None:
    archive, content = archive_on(simulator, directory), os.urandom(4 * BLOCK)
    with archive.open("7", "w") as file:
        file.write(content[:BLOCK])
        simulator.expire()
        file.write(content[BLOCK:])
    with archive.open("7", "r") as file:
        start = file.read(BLOCK)
        simulator.expire()
        assert archive.file("7").status().filesize == len(content)
        rest = b"".join(iter(lambda: file.read(BLOCK), b""))
    assert start + rest == content
    assert simulator.counters()["logins"] == 3
    assert_all_is_closed(simulator)


def test_the_order_of_a_new_login(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    service.request("PUT", "/7", data=b"x")
    simulator.forget_calls()
    simulator.expire()
    assert service.request("GET", "/7").content == b"x"
    of_login = ("hpss_ClientAPIReset", "hpss_PurgeLoginCred", "hpss_SetLoginCred")
    assert [call[3] for call in simulator.calls() if call[3] in of_login] == list(of_login)


def test_a_refusal_of_one_file_is_no_reason_to_log_in(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    service.request("PUT", "/7", data=b"x")
    simulator.inject("hpss_Open */file.7 rc=HPSS_EACCES")
    for _ in range(3):
        assert service.request("GET", "/7").status_code == 500
    assert simulator.counters()["logins"] == 1


def test_a_reader_goes_on_in_the_old_file_when_a_new_one_has_its_name(simulator: Simulator, directory: Path) -> None:
    archive, content = archive_on(simulator, directory), os.urandom(4 * BLOCK)
    with archive.open("7", "w") as file:
        file.write(content)
    with archive.open("7", "r") as reader:
        start = reader.read(BLOCK)
        with archive.open("7", "w") as file:
            file.write(b"new")
        simulator.expire()
        rest = b"".join(iter(lambda: reader.read(BLOCK), b""))
    assert start + rest == content
    assert_all_is_closed(simulator)
