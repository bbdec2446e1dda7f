"""Listeners to events hold no service up: the launcher ends their answers when it stops or is reloaded."""

import os
import signal
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.pages.recalls_test import Events, content_of
from tests.support.forked import forked_launcher
from tests.support.processes import Server
from tests.support.service import TIMEOUT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Options with which a listener that is waited for lets the test fail."""
    place = tmp_path / "config.ini"
    place.write_text(f"[http]\ndrain_seconds = {10 * TIMEOUT}\n")
    return place


def listening(server: Server) -> Events:
    """Return a client that listens to events of *server*."""
    port = urlsplit(server.url).port
    assert port
    return Events(port)


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["threads", "workers"])
def test_a_service_that_stops_ends_the_answer_to_a_listener(prefix: Path, config: Path, options: tuple[str]) -> None:
    prefix.mkdir()
    with forked_launcher(prefix, "-c", str(config), *options) as server, closing(listening(server)) as events:
        assert content_of(events.next())["volumes"] == []
        assert server.stop() == 0
        assert events.answer.read() == b""  # IncompleteRead, if it was cut off


def test_a_worker_that_is_replaced_ends_the_answer_to_a_listener(prefix: Path, config: Path) -> None:
    prefix.mkdir()
    with forked_launcher(prefix, "-c", str(config), "--processes", "2") as server, closing(listening(server)) as events:
        events.next()
        os.kill(server.pid, signal.SIGHUP)
        assert events.answer.read() == b""
        assert requests.get(f"{server.url}/-/recalls", timeout=TIMEOUT).status_code == 200
