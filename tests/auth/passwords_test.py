"""Names and passwords."""

import base64
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from pacifica.archiveinterface.auth.files.checks import TooManyChecksError
from pacifica.archiveinterface.auth.files.passwords import PasswordFile, Passwords
from pacifica.archiveinterface.exception import ConfigurationError, UnauthenticatedError
from tests.support.recall_site import Clock
from tests.support.waiting import TIMEOUT

HASHED = bcrypt.hashpw(b"secret", b"$2b$04$" + b"." * 22).decode()


def hashed(password: bytes, cost: int = 4) -> str:
    """Return the bcrypt hash of *password*."""
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


def request(name: str, password: bytes | str, scheme: str = "Basic") -> dict[str, Any]:
    """Return the environment of a request with these credentials."""
    secret = password.encode() if isinstance(password, str) else password
    sent = base64.b64encode(name.encode() + b":" + secret).decode()
    return {"HTTP_AUTHORIZATION": f"{scheme} {sent}", "REMOTE_ADDR": "192.0.2.1"}


class Counting:
    """Counts the hashes that bcrypt computes, with the cost of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.costs: list[int] = []
        check = bcrypt.checkpw

        def counted(password: bytes, known: bytes) -> bool:
            self.costs.append(int(known[4:6]))
            return check(password, known)

        monkeypatch.setattr(bcrypt, "checkpw", counted)


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """What bcrypt computes."""
    return Counting(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A password file."""
    (tmp_path / "passwords").write_text(f"# users\n\nalice:{HASHED}\n")
    return tmp_path / "passwords"


@pytest.fixture
def passwords(path: Path, hashes: Counting) -> Passwords:
    """The users in it."""
    return Passwords(str(path), "archive", 1)


def is_admitted(passwords: Passwords, name: str, password: bytes | str) -> bool:
    """Return whether the name and the password are right."""
    try:
        found = passwords.principal(request(name, password))
    except UnauthenticatedError:
        return False
    assert found
    assert (found.name, found.how) == (name, "password")
    return True


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
@pytest.mark.parametrize("name", ["alice", "Ålice", "al ice", "anonymous"])
def test_a_user_has_one_password(path: Path, passwords: Passwords, name: str, version: str) -> None:
    path.write_text(f"{name}:{HASHED.replace('2b', version, 1)}\n")
    assert is_admitted(passwords, name, "secret")
    assert not is_admitted(passwords, name, "Secret")
    assert not is_admitted(passwords, name, "")
    assert not is_admitted(passwords, "mallory", "secret")


def test_a_password_may_have_colons_and_any_bytes(path: Path, passwords: Passwords) -> None:
    path.write_text(f"alice:{hashed(b':p:' + bytes([255]))}\n")
    assert is_admitted(passwords, "alice", b":p:\xff")


@pytest.mark.parametrize("authorization", ["", "Bearer YWxpY2U6c2VjcmV0", "Negotiate x"])
def test_other_credentials_are_left_to_others(passwords: Passwords, authorization: str) -> None:
    assert passwords.principal({"HTTP_AUTHORIZATION": authorization}) is None
    assert passwords.principal({}) is None


@pytest.mark.parametrize("credentials", ["", "x", "YWxpY2U", "YWxpY2U=", "*", "/w==", "/zpzZWNyZXQ="])
def test_malformed_credentials_are_wrong(passwords: Passwords, credentials: str) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        passwords.principal({"HTTP_AUTHORIZATION": f"Basic {credentials}"})
    assert caught.value.scheme == 'Basic realm="archive", charset="UTF-8"'


def test_the_scheme_has_no_case(passwords: Passwords) -> None:
    assert passwords.principal(request("alice", "secret", "bAsIc"))


def test_a_password_longer_than_bcrypt_reads_is_wrong(path: Path, passwords: Passwords, hashes: Counting) -> None:
    path.write_text(f"alice:{hashed(b'x' * 72)}\n")
    assert is_admitted(passwords, "alice", b"x" * 72)
    assert not is_admitted(passwords, "alice", b"x" * 73)
    assert len(hashes.costs) == 1


def test_an_unknown_name_costs_a_hash_as_a_known_one_does(path: Path, passwords: Passwords, hashes: Counting) -> None:
    path.write_text(f"alice:{hashed(b'secret', 5)}\n")
    assert not is_admitted(passwords, "alice", "wrong")
    assert not is_admitted(passwords, "mallory", "wrong")
    assert hashes.costs == [5, 5]


def test_an_unknown_name_costs_always_the_hash_of_some_user() -> None:
    text = f"a:{hashed(b'1', 4)}\nb:{hashed(b'2', 5)}\n"
    costs = {name: {PasswordFile.parse(text).hash_of(name)[0][4:6] for _ in range(3)} for name in map(str, range(20))}
    assert {len(seen) for seen in costs.values()} == {1}
    assert set().union(*costs.values()) == {b"04", b"05"}


def test_nobody_logs_in_with_a_file_without_users(path: Path, passwords: Passwords) -> None:
    path.write_text("# nobody yet\n")
    assert not is_admitted(passwords, "", "")
    assert not is_admitted(passwords, "alice", "secret")


def test_a_right_answer_is_remembered_for_a_minute(clock: Clock, passwords: Passwords, hashes: Counting) -> None:
    assert [is_admitted(passwords, "alice", "secret") for _ in range(3)] == [True, True, True]
    assert len(hashes.costs) == 1
    clock.go_on(61)
    assert is_admitted(passwords, "alice", "secret")
    assert len(hashes.costs) == 2


def test_a_wrong_answer_is_not_remembered(passwords: Passwords, hashes: Counting) -> None:
    assert not is_admitted(passwords, "alice", "wrong")
    assert not is_admitted(passwords, "alice", "wrong")
    assert len(hashes.costs) == 2


@pytest.mark.parametrize(
    ("address", "name", "is_refused"),
    [
        ("192.0.2.1", "alice", True),
        ("192.0.2.1", "bob", True),
        ("192.0.2.2", "bob", False),
        ("127.0.0.1", "alice", True),
        ("127.0.0.1", "bob", False),
        ("", "bob", False),
    ],
)
def test_guesses_are_counted_by_the_address_or_behind_a_proxy_by_the_name(
    path: Path, monkeypatch: pytest.MonkeyPatch, address: str, name: str, is_refused: bool
) -> None:
    may_end, has_begun, check = threading.Event(), threading.Semaphore(0), bcrypt.checkpw

    def gated(password: bytes, known: bytes) -> bool:
        if password.startswith(b"guess"):
            has_begun.release()
            assert may_end.wait(TIMEOUT)
        return check(password, known)

    monkeypatch.setattr(bcrypt, "checkpw", gated)
    passwords = Passwords(str(path), "archive", 8)
    first = "192.0.2.1" if address.startswith("192") else address
    with ThreadPoolExecutor(4) as pool:
        for number in range(4):
            pool.submit(passwords.principal, {**request("alice", f"guess {number}"), "REMOTE_ADDR": first})
        for _ in range(4):
            assert has_begun.acquire(timeout=TIMEOUT)
        try:
            with pytest.raises(TooManyChecksError if is_refused else UnauthenticatedError):
                passwords.principal({**request(name, "another"), "REMOTE_ADDR": address})
        finally:
            may_end.set()


def test_a_new_password_ends_the_old_one_at_once(path: Path, passwords: Passwords) -> None:
    assert is_admitted(passwords, "alice", "secret")
    path.write_text(f"alice:{hashed(b'changed')}\n")
    assert not is_admitted(passwords, "alice", "secret")
    assert is_admitted(passwords, "alice", "changed")
    path.write_text(f"bob:{HASHED}\n")
    assert not is_admitted(passwords, "alice", "changed")


def test_a_broken_file_keeps_the_users(path: Path, passwords: Passwords, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("alice:plain\n")
    with caplog.at_level(logging.ERROR):
        assert is_admitted(passwords, "alice", "secret")
    assert [str(path) in record.getMessage() and "plain" not in record.getMessage() for record in caplog.records] == [
        True
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alice:$apr1$x$y", "apr1"),
        ("alice:{SHA}x", "SHA-1"),
        ("alice:$6$x$y", "SHA-512"),
        ("alice:$y$x$y", "yescrypt"),
        ("alice:plain", "not that of bcrypt"),
        ("alice:$2x$05$" + "." * 53, "unusual version"),
        ("alice:$2b$05$short", "unusual version"),
        ("alice:$2b$32$" + "." * 53, "unusual version"),
        ("alice", "NAME:HASH"),
        (f":{HASHED}", "NAME:HASH"),
        (f"a=b:{HASHED}", "NAME:HASH"),
        (f"alice:{HASHED}\nalice:{HASHED}", "has a line already"),
    ],
)
def test_a_line_that_is_not_of_bcrypt_is_refused_by_name(path: Path, line: str, told: str) -> None:
    path.write_text(f"bob:{HASHED}\n{line}\n")
    with pytest.raises(ConfigurationError, match=f"{path}: line {2 + line.count(chr(10))}: .*{told}") as caught:
        Passwords(str(path), "archive", 1)
    assert HASHED not in str(caught.value)
