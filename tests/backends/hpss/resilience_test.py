"""Calls that hang, and replies that never come: what they hold up, and how it ends."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.backends.hpss.conftest import ServeHpss
from tests.backends.hpss.support import TIMEOUT, assert_all_is_closed, wait_for_a_hanging_call
from tests.hpss_simulator import Simulator
from tests.support.service import Service
from tests.support.waiting import await_true

BIG = 24 << 20  # bytes; more than sockets hold, so that a file stays open while nobody reads
SPARES = 16  # lost calls that a session replaces


@pytest.fixture
def flavour() -> str:
    """How a request waits is the same for all."""
    return "9.3"


def path_of(service: Service, file_id: str) -> str:
    return service.archive.file(file_id).filepath


def calls_of(simulator: Simulator, function: str, path: str) -> int:
    return sum(call[3:5] == [function, path] for call in simulator.calls())


def put(service: Service, *file_ids: str) -> None:
    for file_id in file_ids:
        assert service.request("PUT", f"/{file_id}", data=f"content of {file_id}").status_code == 201


def asked(pool: ThreadPoolExecutor, service: Service, method: str, path: str) -> "Future[requests.Response]":
    return pool.submit(service.request, method, path)


def test_a_call_that_returns_after_a_new_login_closes_no_other_file(
    serve_hpss: ServeHpss, simulator: Simulator
) -> None:
    service = serve_hpss({"call_timeout": 3, "io_block_size": 1 << 20})
    content = {"401": b"a", "403": b"b" * BIG, "404": b"c" * BIG}
    for file_id, whole in content.items():
        service.request("PUT", f"/{file_id}", data=whole)
    simulator.inject(f"hpss_Read {path_of(service, '401')} hang")
    assert service.request("GET", "/401").status_code == 503
    simulator.expire()
    with requests.get(f"{service.url}/403", stream=True, timeout=TIMEOUT) as first:
        start = first.raw.read(1000)
        simulator.inject()
        await_true(lambda: calls_of(simulator, "hpss_Read", path_of(service, "401")))
        for _ in range(10):
            assert service.request("HEAD", "/404").status_code == 204
        with requests.get(f"{service.url}/404", stream=True, timeout=TIMEOUT) as second:
            assert start + first.raw.read() == content["403"]
            assert second.raw.read() == content["404"]
    assert_all_is_closed(simulator)


def test_a_new_login_leaves_a_hanging_call_behind(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"metadata_timeout": 1})
    put(service, "7", "8")
    simulator.inject(f"hpss_Read {path_of(service, '7')} hang")
    with ThreadPoolExecutor(1) as pool:
        hanging = asked(pool, service, "GET", "/7")
        wait_for_a_hanging_call(simulator)
        simulator.expire()
        await_true(lambda: service.request("GET", "/8").text == "content of 8")
        assert not hanging.done()
        simulator.inject()
        assert hanging.result().text == "content of 7"  # read again, under the new login
    assert simulator.counters()["logins"] == 2
    assert_all_is_closed(simulator)


def test_a_lost_answer_of_the_core_server_is_a_matter_of_seconds(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"accept_latency": 1})
    simulator.inject("hpss_PingCore * hang times=1")
    assert service.request("PUT", "/7", data=b"x").status_code == 503
    await_true(lambda: service.request("PUT", "/7", data=b"x").status_code == 201)
    assert simulator.counters()["hanging"] == 1
    simulator.inject()


def test_a_sign_of_life_that_fails_is_none(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    simulator.inject("hpss_PingCore * rc=HPSS_ECONN times=1")
    for _ in range(3):  # well within the second that one answer counts for
        assert service.request("HEAD", "/7").status_code == 503
    assert calls_of(simulator, "hpss_PingCore", "-") == 1
    assert calls_of(simulator, "hpss_Stat", path_of(service, "7")) == 0


def test_lost_calls_are_replaced_and_then_refused_at_once(
    serve_hpss: ServeHpss, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    service = serve_hpss({"metadata_timeout": 1, "metadata_calls": SPARES})
    put(service, "7", "8")
    simulator.inject(f"hpss_Stat {path_of(service, '7')} hang")
    with ThreadPoolExecutor(SPARES) as pool:
        for lost in (SPARES - 1, 1):
            answers = [asked(pool, service, "HEAD", "/7") for _ in range(lost)]
            assert {answer.result().status_code for answer in answers} == {503}
            assert service.request("HEAD", "/8").status_code == (204 if lost > 1 else 503)
    assert "restart the service" in caplog.text
    asked_before = len(simulator.calls())
    assert service.request("GET", "/8").status_code == 503
    assert len(simulator.calls()) <= asked_before + 1  # a sign of life
    simulator.inject()
    await_true(lambda: service.request("GET", "/8").text == "content of 8")


def test_transfers_that_hang_hold_up_no_metadata(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"calls": 2})
    put(service, "7", "8")
    simulator.inject("hpss_Read * hang")
    with ThreadPoolExecutor(3) as pool:
        reading = [asked(pool, service, "GET", "/7") for _ in range(3)]
        await_true(lambda: simulator.counters()["hanging"] == 2)
        assert service.request("HEAD", "/8").status_code == 204
        assert service.request("DELETE", "/8").status_code == 200
        simulator.inject()
        assert {answer.result().text for answer in reading} == {"content of 7"}


def test_a_lost_recall_holds_up_no_other_file(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss()
    numbers = [str(number) for number in range(100, 165)]  # more than there ever were locks
    put(service, *numbers)
    simulator.migrate(path_of(service, numbers[0]))
    simulator.purge(path_of(service, numbers[0]))
    simulator.inject("hpss_Stage*CallBack * hang")
    with ThreadPoolExecutor(1) as pool:
        hanging = asked(pool, service, "POST", f"/{numbers[0]}")
        wait_for_a_hanging_call(simulator)
        for number in numbers[1:]:
            assert service.request("GET", f"/{number}").status_code == 200
        assert not hanging.done()
        simulator.inject()
        assert hanging.result().status_code == 202


def test_the_service_answers_while_every_call_hangs(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    service = serve_hpss({"waiting": 4})  # of 8 threads
    put(service, "7")
    simulator.inject("hpss_[!P]* * hang")
    with ThreadPoolExecutor(40) as pool:
        answers = [asked(pool, service, "GET", "/7") for _ in range(40)]
        await_true(lambda: sum(answer.done() for answer in answers) >= 26)
        assert service.request("GET", "/").status_code == 200
        refused = [answer.result() for answer in answers if answer.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert int(refused[0].headers["Retry-After"]) > 0
        simulator.inject()
        statuses = [answer.result().status_code for answer in answers]
    assert statuses.count(200) >= 4
    assert set(statuses) == {200, 503}
    assert service.request("GET", "/7").text == "content of 7"


def test_reads_from_tape_leave_room_for_others(serve_hpss: ServeHpss, simulator: Simulator) -> None:
    on_tape, service = serve_hpss({"cos_id": 3}), serve_hpss({"calls": 4, "waiting": 15})
    put(on_tape, "7")
    put(service, "8")
    simulator.set("mount_seconds", 3600)
    with ThreadPoolExecutor(8) as pool:
        reading = [asked(pool, service, "GET", "/7") for _ in range(5)]
        await_true(lambda: calls_of(simulator, "hpss_Open", path_of(service, "7")) == 5)
        assert service.request("GET", "/8").text == "content of 8"
        assert service.request("HEAD", "/7").status_code == 204
        while not all(answer.done() for answer in reading):  # one drive's time after the other
            simulator.advance(3700)
        assert {answer.result().text for answer in reading} == {"content of 7"}


def test_a_reader_is_closed_when_the_second_look_fails(
    serve_hpss: ServeHpss, simulator: Simulator, directory: Path
) -> None:
    service = serve_hpss()
    put(service, "7")
    simulator.inject("hpss_FileGetXAttributes */file.7 rc=HPSS_ECONN skip=1")
    assert service.request("GET", "/7").status_code == 503
    simulator.inject()
    assert_all_is_closed(simulator)
    assert service.request("DELETE", "/7").status_code == 200
    assert os.listdir(directory / ".partial") == []
