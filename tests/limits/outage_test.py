"""The database of limits does not answer."""

from pathlib import Path

import pytest

from tests.support.databases import mariadb_server, postgresql_server
from tests.support.limits import Limited
from tests.support.waiting import await_true

SERVERS = {"mariadb": mariadb_server, "postgresql": postgresql_server}


@pytest.mark.parametrize("server", SERVERS)
def test_what_needs_the_count_is_refused_and_reading_goes_on(tmp_path: Path, server: str) -> None:
    database = SERVERS[server]()
    limited = Limited(tmp_path, database.new_url(), quota_bytes=1000, database_timeout=0.5)
    with limited.served() as service:
        assert service.request("PUT", "/1", data=b"x" * 500).status_code == 201
        with database.suspended():
            for method, path in (("PUT", "/2"), ("DELETE", "/1")):
                answer = service.request(method, path, data=b"x" * 100)
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) > 0
            assert len(service.request("GET", "/1").content) == 500
            assert service.request("GET", "/2").status_code == 404
            ready = service.request("GET", "/-/ready")
            assert (ready.status_code, ready.json()["checks"]["limits"]["ok"]) == (503, False)
        await_true(lambda: service.request("PUT", "/2", data=b"x" * 500).status_code == 201)
        await_true(lambda: limited.used() == (1000, 2))
        assert service.request("GET", "/-/ready").json()["checks"]["limits"] == {"ok": True}


def test_a_rate_needs_the_database(tmp_path: Path) -> None:
    database = mariadb_server()
    limited = Limited(tmp_path, database.new_url(), "requests 1/s, burst 100", database_timeout=0.5)
    with limited.served() as service:
        assert service.request("HEAD", "/1").status_code == 404
        with database.suspended():
            assert service.request("HEAD", "/1").status_code == 503
            assert service.request("GET", "/-/health").status_code == 200
        await_true(lambda: service.request("HEAD", "/1").status_code == 404)
