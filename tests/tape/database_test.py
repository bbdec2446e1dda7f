"""The tape API while the database of recalls does not answer, and afterwards."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.support.databases import DatabaseServer, mariadb_server, postgresql_server
from tests.support.recalls import TapeClient, recalls_of, tape_service
from tests.support.service import POSIX_TREE, TIMEOUT, serving
from tests.support.tape import Tape, TapeArchive


@pytest.fixture(params=[mariadb_server, postgresql_server], ids=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """A database server of each kind."""
    chosen: DatabaseServer = request.param()
    return chosen


@pytest.fixture
def tape(server: DatabaseServer, prefix: Path, tmp_path: Path) -> Iterator[TapeClient]:
    """A service with a file, whose recalls are in a database of the server."""
    archive, database = POSIX_TREE.make(prefix), server.new_url()
    with tape_service(archive, tmp_path, database=database, database_timeout=2) as client:
        assert client.service.request("PUT", "/5", data=b"content").status_code == 201
        yield client


def answers(tape: TapeClient, request: str) -> dict[str, requests.Response]:
    """Return the answer of each call."""
    files, paths = {"files": [{"path": "/5"}]}, {"paths": ["/5"]}
    return {
        "poll": tape.ask("GET", f"/stage/{request}"),
        "stage": tape.ask("POST", "/stage", files),
        "cancel": tape.ask("POST", f"/stage/{request}/cancel", paths),
        "release": tape.ask("POST", f"/release/{request}", paths),
        "delete": tape.ask("DELETE", f"/stage/{request}"),
    }


def test_without_the_database_all_is_503_and_nothing_is_lost(server: DatabaseServer, tape: TapeClient) -> None:
    request = tape.stage("/5", "/77")
    before = tape.files(request)
    with server.suspended():
        for call, answer in answers(tape, request).items():
            assert answer.status_code == 503, call
            assert int(answer.headers["Retry-After"]) > 0
        assert tape.archiveinfo("/5") == [{"path": "/5", "locality": "DISK"}]
        assert tape.service.request("GET", "/5").content == b"content"
        assert tape.service.request("GET", "/.well-known/wlcg-tape-rest-api").status_code == 200
    deadline = time.monotonic() + TIMEOUT
    while tape.ask("GET", f"/stage/{request}").status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tape.files(request) == before
    assert {call: answer.status_code for call, answer in answers(tape, request).items()} == {
        "poll": 200,
        "stage": 201,
        "cancel": 200,
        "release": 200,
        "delete": 200,
    }


def test_any_text_may_be_a_path_or_an_id(tape: TapeClient) -> None:
    paths = ["/5", "/\0", "/\ud83d", "/😀", "/é", "/'", "/%", "/" + "\ud83d" * 4095]
    request = tape.stage(*paths)
    assert list(tape.files(request)) == paths
    for name in ("%00", "%ED%A0%80", "%F0%9F%98%80", request.upper(), f"{request}%20", f"{request}'"):
        assert tape.ask("GET", f"/stage/{name}").status_code == 404
        assert tape.call(f"/release/{name}", paths) == 200
    assert tape.call(f"/stage/{request}/cancel", paths) == 200
    assert tape.ask("GET", f"/stage/{request}").status_code == 200


def test_polls_are_answered_while_another_process_writes(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "tape.sqlite3")
    tape.add("1", volume="A")
    archive = TapeArchive(tape)
    with serving(archive, recalls=recalls_of(archive, tmp_path, database_timeout=0.1)) as service:
        client = TapeClient(service)
        request = client.stage("/1")
        with closing(sqlite3.connect(tmp_path / "recalls.sqlite3", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            told = {call: answer.status_code for call, answer in answers(client, request).items()}
            assert told == {"poll": 200, "stage": 503, "cancel": 503, "release": 503, "delete": 503}
        assert client.stage("/1")
