"""Who sends a request, through HTTP: credentials, 401, files that change, and clients that guess."""

import base64
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests

from pacifica.archiveinterface.auth.files.tokens import new_token
from pacifica.archiveinterface.auth.options import AuthOptions
from pacifica.archiveinterface.exception import ConfigurationError
from pacifica.archiveinterface.pages.options import PagesOptions
from pacifica.archiveinterface.web.exchange import Exchange
from tests.support.service import POSIX_TREE, Service, serving
from tests.support.users import HASHED, PASSWORD, Users
from tests.support.waiting import TIMEOUT, await_true

PERMISSIONS = "alice = read, write\nrobot = read, write\noperator = admin\nlocal = admin 1-9\n"
FAILURES = re.compile(r'^archiveinterface_auth_failures_total\{reason="(\w+)"\} (.+)$', re.MULTILINE)
CHALLENGES = 'Bearer realm="archive", Basic realm="archive", charset="UTF-8"'


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Alice, who has a password, and three with tokens."""
    return Users(tmp_path, PERMISSIONS, ["robot", "operator", "local"], f"alice:{HASHED}\n")


@pytest.fixture
def service(tmp_path: Path, users: Users) -> Iterator[Service]:
    """A service with users, and pages for administrators."""
    pages = PagesOptions(metrics="users")
    with serving(POSIX_TREE.make(tmp_path / "archive"), auth=users.options, pages=pages) as service:
        yield service


def status(service: Service, path: str = "/7", method: str = "GET", **options: object) -> int:
    """Return the status of the answer to a request."""
    return service.request(method, path, **options).status_code


def with_password(password: str = PASSWORD, name: str = "alice") -> dict[str, str]:
    """Return the header fields of a request with a password."""
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def bearer(text: str) -> dict[str, str]:
    """Return the header fields of a request with a token."""
    return {"Authorization": f"Bearer {text}"}


def test_without_credentials_the_client_is_told_what_to_send(service: Service) -> None:
    for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"):
        answer = service.request(method, "/7")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == CHALLENGES


def test_a_password_and_a_token_open_the_archive(service: Service, users: Users) -> None:
    assert status(service, "/7", "PUT", data=b"x", headers=with_password()) == 201
    assert status(service, "/7", headers=users.headers("robot")) == 200
    assert status(service, "/7", "DELETE", headers=users.headers("robot")) == 403


@pytest.mark.parametrize(
    ("sent", "challenges"),
    [
        (with_password("wrong"), 'Basic realm="archive", charset="UTF-8", Bearer realm="archive"'),
        (with_password(name="mallory"), 'Basic realm="archive", charset="UTF-8", Bearer realm="archive"'),
        (with_password("x" * 73), 'Basic realm="archive", charset="UTF-8", Bearer realm="archive"'),
        ({"Authorization": "Basic ?"}, 'Basic realm="archive", charset="UTF-8", Bearer realm="archive"'),
        (bearer("pai_x"), 'Bearer realm="archive", error="invalid_token", Basic realm="archive", charset="UTF-8"'),
        (bearer("eyJh.e30.x"), 'Bearer realm="archive", error="invalid_token", Basic realm="archive", charset="UTF-8"'),
        ({"Authorization": "Negotiate x"}, CHALLENGES),
    ],
)
def test_wrong_credentials_are_401_even_where_none_are_needed(
    service: Service, sent: dict[str, str], challenges: str
) -> None:
    for path in ("/7", "/"):
        answer = service.request("GET", path, headers=sent)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == challenges


def test_refused_requests_are_counted_by_the_reason(service: Service, users: Users) -> None:
    def counted() -> dict[str, float]:
        text = service.request("GET", "/-/metrics", headers=users.headers("operator")).text
        return {reason: float(number) for reason, number in FAILURES.findall(text)}

    before = counted()
    assert status(service) == 401
    for _ in range(2):
        assert status(service, headers=with_password("wrong")) == 401
    for _ in range(3):
        assert status(service, method="DELETE", headers=users.headers("robot")) == 403
    after = counted()
    assert {reason: after[reason] - number for reason, number in before.items()} == {
        "no_credentials": 1,
        "wrong_credentials": 2,
        "no_permission": 3,
        "not_local": 0,
    }


@pytest.mark.parametrize("path", ["/", "/-/health", "/-/ready", "/-/version", "/-/openapi.json"])
def test_probes_need_no_user(service: Service, path: str) -> None:
    assert status(service, path) == 200
    assert status(service, path, "HEAD") in (200, 204)


@pytest.mark.parametrize("path", ["/-/health", "/-/ready", "/-/version"])
def test_probes_ask_no_credentials(service: Service, path: str) -> None:
    assert status(service, path, headers=with_password("wrong")) == 200


def test_options_need_a_user_and_no_permission(service: Service, users: Users) -> None:
    assert status(service, "/7", "OPTIONS", headers=users.headers("local")) == 200


@pytest.mark.parametrize(("name", "expected"), [("", 401), ("robot", 403), ("local", 403), ("operator", 200)])
def test_pages_of_users_need_an_administrator_of_all_files(
    service: Service, users: Users, name: str, expected: int
) -> None:
    assert status(service, "/-/metrics", headers=users.headers(name)) == expected


def test_pages_for_users_need_users(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="auth"),
        serving(POSIX_TREE.make(tmp_path / "archive"), pages=PagesOptions(metrics="users")),
    ):
        pass


def test_the_page_token_is_no_user_and_opens_its_page(tmp_path: Path, users: Users) -> None:
    (tmp_path / "token").write_text("metrics")
    pages = PagesOptions(metrics="token", token_file=str(tmp_path / "token"))
    with serving(POSIX_TREE.make(tmp_path / "archive"), auth=users.options, pages=pages) as service:
        assert status(service, "/-/metrics", headers=bearer("metrics")) == 200
        assert status(service, "/-/metrics") == 401
        assert status(service, "/7", headers=bearer("metrics")) == 401


def test_anonymous_clients_may_do_what_the_permissions_grant_them(service: Service, users: Users) -> None:
    assert status(service, "/7", "PUT", data=b"x", headers=with_password()) == 201
    users.permissions_file.write_text(f"{PERMISSIONS}anonymous = read 1-9\n")
    assert status(service, "/7") == 200
    assert status(service, "/7", headers=users.headers("operator")) == 200
    answer = service.request("GET", "/10")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, CHALLENGES)
    assert status(service, "/7", "DELETE") == 401
    assert status(service, "/7", headers=with_password("wrong")) == 401


def test_permissions_change_with_their_file(service: Service, users: Users, caplog: pytest.LogCaptureFixture) -> None:
    assert status(service, "/7", headers=users.headers("robot")) == 404
    users.permissions_file.write_text("robot = stage\n")
    assert status(service, "/7", headers=users.headers("robot")) == 403
    with caplog.at_level(logging.ERROR):
        users.permissions_file.write_text("robot = everything\n")
        assert status(service, "/7", headers=users.headers("robot")) == 403
        assert status(service, "/7", "POST", headers=users.headers("robot")) == 404
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"{users.permissions_file}: line 1: " in record.getMessage()
    users.permissions_file.write_text("default = read\n")
    assert status(service, "/7", headers=users.headers("robot")) == 404


@pytest.mark.parametrize("name", ["users", "tokens"])
def test_a_file_that_everybody_can_read_is_told(
    tmp_path: Path, users: Users, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    for file in (users.password_file, users.token_file, users.permissions_file):
        file.chmod(0o640)
    (tmp_path / name).chmod(0o644)
    with serving(POSIX_TREE.make(tmp_path / "archive"), auth=users.options):
        pass
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [f"[auth] {tmp_path / name} can be read by all users of this host: chmod o= {tmp_path / name}"]


def test_tokens_and_passwords_change_with_their_files(service: Service, users: Users) -> None:
    token, text = new_token("robot", None)
    users.token_file.write_text(f"{token.line()}\n")
    users.password_file.write_text(f"robot:{HASHED}\n")
    assert status(service, headers=users.headers("robot")) == 401
    assert status(service, headers=bearer(text)) == 404
    assert status(service, headers=with_password()) == 401
    assert status(service, headers=with_password(name="robot")) == 404


def test_the_body_is_not_read_before_the_client_is_known(service: Service) -> None:
    head = b"PUT /7 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_the_connection_goes_on_after_a_refusal(service: Service) -> None:
    with requests.Session() as session:
        for _ in range(3):
            answer = session.put(f"{service.url}/7", data=b"GET /evil HTTP/1.1\r\n\r\n" * 50, timeout=TIMEOUT)
            assert answer.status_code == 401
        answer = session.put(f"{service.url}/7", data=b"x", headers=with_password(), timeout=TIMEOUT)
        assert answer.status_code == 201


def test_the_access_log_has_the_name_of_the_principal(service: Service, users: Users) -> None:
    seen: list[Exchange] = []
    service.application.observers.append(seen.append)
    for sent in (with_password(), users.headers("robot"), with_password("wrong"), {}):
        status(service, headers=sent)
    await_true(lambda: len(seen) == 4)
    assert [exchange.user for exchange in seen] == ["alice", "robot", None, None]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "permissions_file"),
        ({"permissions_file": "{home}/nothing"}, "nothing"),
        ({"permissions_file": "{home}/permissions"}, "no user could log in"),
        ({"permissions_file": "{home}/users", "token_file": "{home}/tokens"}, "users: line 1: "),
        ({"permissions_file": "{home}/permissions", "token_file": "{home}/users"}, "users: line 1: "),
        ({"permissions_file": "{home}/permissions", "password_file": "{home}/permissions"}, "permissions: line 1: "),
    ],
)
def test_a_service_whose_files_are_wrong_does_not_start(
    tmp_path: Path, users: Users, options: dict[str, str], told: str
) -> None:
    given: dict[str, Any] = {name: text.format(home=tmp_path) for name, text in options.items()}
    with (
        pytest.raises(ConfigurationError, match=told),
        serving(POSIX_TREE.make(tmp_path / "archive"), auth=AuthOptions(enabled=True, **given)),
    ):
        pass


class Gate:
    """Lets the hashes of wrong passwords wait until the test is done with them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        check = bcrypt.checkpw

        def gated(password: bytes, hashed: bytes) -> bool:
            if password.startswith(b"guess"):
                self.waiting.release()
                assert self.may_go_on.wait(TIMEOUT)
            return check(password, hashed)

        monkeypatch.setattr(bcrypt, "checkpw", gated)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The gate."""
    gate = Gate(monkeypatch)
    yield gate
    gate.may_go_on.set()


def in_threads(count: int, action: Callable[[int], object]) -> list[threading.Thread]:
    """Do *action* with each number below *count* in a thread of its own."""
    threads = [threading.Thread(target=action, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_clients_that_guess_passwords_stop_no_others(gate: Gate, service: Service, users: Users) -> None:
    assert status(service, headers=with_password()) == 404  # remembered from now on
    seen: list[int] = []
    # More than the service has threads.
    guessing = in_threads(40, lambda number: seen.append(status(service, headers=with_password(f"guess {number}"))))
    assert gate.waiting.acquire(timeout=TIMEOUT)
    await_true(lambda: len(seen) == 36)  # four of one address wait, one of which is being checked
    assert set(seen) == {429}
    assert not gate.waiting.acquire(blocking=False)
    assert status(service, headers=with_password()) == 404
    assert status(service, headers=users.headers("robot")) == 404
    answer = service.request("GET", "/7", headers=with_password("guess again"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    gate.may_go_on.set()
    for thread in guessing:
        thread.join(TIMEOUT)
    assert sorted(seen) == [401] * 4 + [429] * 36


def test_the_document_of_the_interface_tells_how_to_log_in(service: Service) -> None:
    document = json.loads(service.request("GET", "/-/openapi.json").content)
    assert document["security"] == [{"bearer": []}, {"basic": []}]
    assert document["paths"]["/-/ready"]["get"]["security"] == []
