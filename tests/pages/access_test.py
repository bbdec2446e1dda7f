"""Who may read the pages: everybody, clients on this host, those with the token; on every port or on one."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from docs.examples.memory_backend import MemoryBackendArchive
from pacifica.archiveinterface.exception import ConfigurationError
from pacifica.archiveinterface.pages.options import LOCAL, OPEN, TOKEN, PagesOptions
from pacifica.archiveinterface.recalls.options import RecallOptions
from pacifica.archiveinterface.recalls.service import RecallService
from pacifica.archiveinterface.recalls.store import Store
from tests.support.forked import forked_launcher
from tests.support.metrics import Metrics
from tests.support.processes import uwsgi
from tests.support.service import Client, free_port, serving

ALWAYS_OPEN = ["/-/health", "/-/ready", "/-/version"]
Serve = Callable[[PagesOptions], Client]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what serves with options of [pages]."""
    with ExitStack() as stack:

        def start(options: PagesOptions) -> Client:
            archive, recalls = MemoryBackendArchive("/memory"), RecallOptions(database=f"sqlite:///{tmp_path}/db")
            service = RecallService(archive, Store("memory", recalls), recalls)
            return stack.enter_context(serving(archive, recalls=service, pages=options))

        yield start


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with a token."""
    path = tmp_path / "token"
    path.write_text("abc-123\n")
    return path


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_metrics_are_for_this_host_unless_a_proxy_passes_the_request_on(serve: Serve, header: str) -> None:
    service = serve(PagesOptions())
    assert service.request("GET", "/-/metrics").status_code == 200
    answer = service.request("GET", "/-/metrics", headers={header: "127.0.0.1"})
    assert answer.status_code == 403
    for page in (*ALWAYS_OPEN, "/-/recalls"):
        assert service.request("GET", page, headers={header: "192.0.2.1"}).status_code == 200


def test_pages_can_be_open_or_closed_to_others(serve: Serve) -> None:
    service = serve(PagesOptions(metrics=OPEN, recalls=LOCAL))
    others = {"X-Forwarded-For": "192.0.2.1"}
    assert service.request("GET", "/-/metrics", headers=others).status_code == 200
    assert service.request("GET", "/-/recalls", headers=others).status_code == 403
    assert service.request("GET", "/-/recalls/events", headers=others).status_code == 403
    assert service.request("GET", "/-/recalls").status_code == 200
    assert service.request("HEAD", "/-/recalls/events").status_code == 405


def test_a_token_opens_the_pages_and_can_be_changed(serve: Serve, token_file: Path) -> None:
    service = serve(PagesOptions(metrics=TOKEN, recalls=TOKEN, token_file=str(token_file)))
    for page in ("/-/metrics", "/-/recalls"):
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic abc-123"}):
            answer = service.request("GET", page, headers=given)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "abc" not in answer.text
        assert service.request("GET", page, headers={"Authorization": "bearer abc-123"}).status_code == 200
    token_file.write_text("xyz")
    assert service.request("GET", "/-/metrics", headers={"Authorization": "Bearer abc-123"}).status_code == 401
    assert service.request("GET", "/-/metrics", headers={"Authorization": "Bearer xyz"}).status_code == 200
    for page in ALWAYS_OPEN:
        assert service.request("GET", page).status_code == 200


def test_a_token_that_is_not_there_opens_nothing(serve: Serve, token_file: Path) -> None:
    for named in ("", str(token_file.with_name("none"))):
        with pytest.raises(ConfigurationError, match="token_file"):
            serve(PagesOptions(metrics=TOKEN, token_file=named))
    service = serve(PagesOptions(metrics=TOKEN, token_file=str(token_file)))
    for content in ("", "\n"):
        token_file.write_text(content)
        for given in ("Bearer ", "Bearer", "Bearer abc-123"):
            assert service.request("GET", "/-/metrics", headers={"Authorization": given}).status_code == 401
    token_file.unlink()
    assert service.request("GET", "/-/metrics", headers={"Authorization": "Bearer abc-123"}).status_code == 500


def test_clients_that_are_refused_are_counted_by_the_reason(serve: Serve, token_file: Path) -> None:
    service = serve(PagesOptions(recalls=TOKEN, token_file=str(token_file)))
    before = Metrics(service.url).values_of("reason", "auth_failures_total")
    for given in ({}, {"Authorization": "Bearer abc-123"}, *[{"Authorization": "Bearer wrong"}] * 3):
        service.request("GET", "/-/recalls", headers=given)
    for _ in range(2):
        service.request("GET", "/-/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    assert service.request("PATCH", "/1", json={"path": "/etc/passwd"}).status_code == 403  # whoever asks
    counted = Metrics(service.url).values_of("reason", "auth_failures_total")
    assert {reason: counted[reason] - before[reason] for reason in before} == {
        "no_credentials": 1,
        "wrong_credentials": 3,
        "no_permission": 0,
        "not_local": 2,
    }


def test_pages_that_have_their_own_port_are_found_nowhere_else(serve: Serve) -> None:
    service = serve(PagesOptions(address=("127.0.0.1", 1)))
    for page in ("/-/metrics", "/-/recalls", "/-/recalls/events"):
        assert service.request("GET", page).status_code == 404
    for page in ALWAYS_OPEN:
        assert service.request("GET", page).status_code == 200
    assert service.request("PUT", "/1", data=b"x").status_code == 201


@pytest.mark.parametrize("start", [forked_launcher, uwsgi])
def test_a_port_for_the_pages_has_nothing_else(tmp_path: Path, start: Any) -> None:
    port = free_port()
    prefix, config = tmp_path / "archive", tmp_path / "config.ini"
    prefix.mkdir()
    config.write_text(f"[pages]\naddress = 127.0.0.1:{port}\n")
    options = ["--http-socket", f"127.0.0.1:{port}"] if start is uwsgi else ["--processes", "2", "-c", str(config)]
    with start(prefix, *options, env={"ARCHIVEINTERFACE_CONFIG": str(config)}) as server:
        if start is forked_launcher:
            os.kill(server.pid, signal.SIGHUP)
            server.await_line("reloaded")
        files, pages = Client(int(server.url.rpartition(":")[2])), Client(port)
        assert files.request("PUT", "/1", data=b"x").status_code == 201
        for method in ("PUT", "GET", "DELETE"):
            assert pages.request(method, "/1", data=b"y").status_code == 404
        assert pages.request("GET", "/").status_code == 404
        assert pages.request("GET", "/api/v1/stage/1").status_code == 404
        assert files.request("GET", "/1").content == b"x"
        for page in ("/-/metrics", "/-/recalls"):
            assert (pages.request("GET", page).status_code, files.request("GET", page).status_code) == (200, 404)
        for page in ALWAYS_OPEN:
            assert (pages.request("GET", page).status_code, files.request("GET", page).status_code) == (200, 200)
        assert Metrics(pages.url)("http_requests_total", method="PUT", status="2xx") == 1
