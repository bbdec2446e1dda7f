"""The log of running services: a line for each request, and none lost when they stop."""

import json
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from tests.support.forked import forked_launcher
from tests.support.processes import Server, launcher, uwsgi
from tests.support.service import TIMEOUT
from tests.support.waiting import await_true

Run = Callable[..., AbstractContextManager[Server]]

REQUESTS = 60
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = {"X-Request-Id": "cart-42", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
JSON = "[log]\naccess = json\nformat = json\n"
_ID = re.compile(r" (?:complete|broken) (\S+) \S+$", re.MULTILINE)
# As deploy/uwsgi.ini stops it; without --enable-threads no thread runs between requests.
_UWSGI_OPTIONS = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all", "--shutdown-sockets")


@pytest.mark.parametrize(
    ("run", "options"),
    [(launcher, ("--processes", "0")), (launcher, ("--processes", "2")), (uwsgi, _UWSGI_OPTIONS)],
    ids=["one process", "workers", "uWSGI"],
)
def test_every_request_has_one_line_when_the_service_has_stopped(
    run: Run, options: tuple[str, ...], tmp_path: Path
) -> None:
    with run(tmp_path, *options) as server:

        def ask(number: int) -> int:
            headers = {"X-Request-Id": f"asked-{number}"}
            return requests.get(f"{server.url}/404", headers=headers, timeout=TIMEOUT).status_code

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(ask, range(REQUESTS))) == {404}
        server.process.send_signal(signal.SIGTERM)  # uWSGI ends requests at once at SIGINT
        server.process.wait(TIMEOUT)
        logged = Counter(name for name in _ID.findall(server.stderr) if name.startswith("asked-"))
    assert logged == Counter(f"asked-{number}" for number in range(REQUESTS))


@pytest.fixture(scope="module")
def json_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A launcher that logs JSON lines."""
    prefix = tmp_path_factory.mktemp("archive")
    config = tmp_path_factory.mktemp("config") / "config.ini"
    config.write_text(JSON)
    with forked_launcher(prefix, "-c", str(config)) as server:
        yield server


def members(server: Server) -> list[dict[str, object]]:
    """Return what *server* has logged."""
    return [json.loads(line) for line in server.stderr.splitlines()]


def test_both_kinds_of_lines_are_json(json_server: Server) -> None:
    requests.get(f"{json_server.url}/404", headers=TRACED, timeout=TIMEOUT)
    await_true(lambda: any(told.get("request_id") == "cart-42" for told in members(json_server)))
    told = next(told for told in members(json_server) if told.get("request_id") == "cart-42")
    assert (told["type"], told["status"], told["target"], told["trace_id"]) == ("access", 404, "/404", TRACE_ID)
    assert members(json_server)[0]["type"] == "service"


def test_no_line_if_none_is_wanted(tmp_path: Path) -> None:
    config = tmp_path / "config.ini"
    config.write_text("[log]\naccess = off\n")
    with forked_launcher(tmp_path, "-c", str(config)) as server:
        requests.get(f"{server.url}/404", timeout=TIMEOUT)
        server.stop()
        assert "GET" not in server.stderr
