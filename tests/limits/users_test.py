"""Limits of users who log in, through HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.limits.conftest import on_sqlite
from tests.support.limits import Limited
from tests.support.service import Service, serving
from tests.support.users import Users
from tests.support.waiting import TIMEOUT

pytestmark = on_sqlite


@contextmanager
def served(limited: Limited, home: Path, *names: str) -> Iterator[tuple[Service, Users]]:
    """Serve the archive to users with these *names*."""
    users = Users(home, "".join(f"{name} = read, write, replace, delete\n" for name in names), names)
    with serving(limited.archive, limits=limited.limits, auth=users.options) as service:
        yield service, users


def test_creators_at_once_fill_the_quota_and_take_no_more(tmp_path: Path, url: str) -> None:
    names = [f"creator{number}" for number in range(1, 65)]
    limited = Limited(tmp_path, url, quota_bytes=1000)
    statuses: dict[str, int] = {}
    with served(limited, tmp_path, *names) as (service, users):

        def put(name: str) -> None:
            answer = requests.put(
                f"{service.url}/{name[7:]}", data=b"x" * 30, headers=users.headers(name), timeout=TIMEOUT
            )
            statuses[name] = answer.status_code

        threads = [threading.Thread(target=put, args=[name]) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stored = [name for name, status in statuses.items() if status == 201]
    assert sorted(statuses.values()) == [201] * 33 + [507] * 31
    assert limited.used() == (990, 33)
    assert all(limited.used_by(name) == (30, 1) for name in stored)


def test_a_user_has_its_own_quota_and_rate(tmp_path: Path, url: str) -> None:
    lines = tmp_path / "principals"
    lines.write_text("alice = bytes 100\nbob = requests 0.001/s, burst 2\n")
    limited = Limited(tmp_path, url, "bytes 10", principals_file=str(lines))
    with served(limited, tmp_path, "alice", "bob", "carol") as (service, users):

        def put(name: str, file_id: str, size: int) -> int:
            return service.request("PUT", file_id, data=b"x" * size, headers=users.headers(name)).status_code

        assert put("alice", "/1", 100) == 201
        assert put("bob", "/2", 11) == 507
        assert put("bob", "/2", 10) == 201
        assert put("bob", "/2", 9) == 429
        assert put("carol", "/1", 101) == 507
        assert put("carol", "/1", 90) == 201
        assert put("carol", "/3", 10) == 201
        assert service.request("GET", "/1").status_code == 401
    assert (limited.used_by("alice"), limited.used_by("carol")) == ((90, 1), (10, 1))
