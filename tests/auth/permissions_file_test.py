"""The file of the permissions."""

import pytest

from pacifica.archiveinterface.auth.files.permissions_file import Permissions
from pacifica.archiveinterface.auth.permissions import Permission, Principal

TEXT = """
# who may do what
alice = read, stage, poll
ingest = write, move 1-999999, 5000000-; read
  spaced   =   delete   7  ,8
default = poll
anonymous = read 1-9
password:bob = read
token:bob = stage
jwt:https://issuer.example/#alice = write
certificate:CN=alice,O=Site = replace
proxy:alice = delete
password:default = admin
"""
PERMISSIONS = Permissions.parse(TEXT)


def permitted(how: str, name: str, issuer: str = "") -> set[tuple[str, str]]:
    """Return the permissions that the principal has, each for one of some ids."""
    grants = PERMISSIONS.granted(Principal(name, how, issuer))
    found = Principal(name, how, issuer, grants)
    ids = ("7", "100", "5000001", "report")
    return {(right.value, file_id) for right in Permission for file_id in ids if found.may(right, file_id)}


def everywhere(*rights: str) -> set[tuple[str, str]]:
    """Return the permissions for all of the ids, with what everybody has."""
    ids = ("7", "100", "5000001", "report")
    return {(right, file_id) for right in (*rights, "poll") for file_id in ids} | {("read", "7")}


@pytest.mark.parametrize(
    ("how", "name", "issuer", "rights"),
    [
        ("password", "alice", "", everywhere("read", "stage")),
        ("token", "alice", "", everywhere("read", "stage")),
        ("proxy", "alice", "", everywhere("delete")),
        ("jwt", "alice", "https://issuer.example/", everywhere("write")),
        ("jwt", "alice", "https://another.example/", everywhere()),
        ("certificate", "CN=alice,O=Site", "", everywhere("replace")),
        ("certificate", "CN=alice", "", everywhere()),
        ("password", "bob", "", everywhere("read")),
        ("token", "bob", "", everywhere("stage")),
        ("proxy", "bob", "", everywhere()),
        ("password", "nobody", "", everywhere()),
        ("proxy", "password:bob", "", everywhere()),
        ("password", "default", "", everywhere("admin")),
        ("password", "anonymous", "", everywhere()),
    ],
)
def test_a_line_grants_to_the_principal_that_it_names(
    how: str, name: str, issuer: str, rights: set[tuple[str, str]]
) -> None:
    assert permitted(how, name, issuer) == rights


def test_grants_have_ids_of_their_own() -> None:
    ingest = Principal("ingest", "password", "", PERMISSIONS.granted(Principal("ingest", "password")))
    assert [ingest.may(Permission.MOVE, file_id) for file_id in ("999999", "1000000", "5000000")] == [True, False, True]
    assert ingest.may(Permission.READ, None)
    assert not ingest.may(Permission.WRITE, None)


def test_the_principals_with_lines_of_their_own_are_counted() -> None:
    assert len(PERMISSIONS) == 9


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alice", "NAME = PERMISSIONS"),
        ("= read", "NAME = PERMISSIONS"),
        ("alice =", "granted nothing"),
        ("alice = read;", "granted nothing"),
        ("alice = raed", "did you mean read"),
        ("alice = everything", "is not a permission"),
        ("alice = 1-9", "ids stand after the permissions"),
        ("alice = read 9-1", "ends before it begins"),
        ("alice = read 1-9, stage", "write ; before it"),
        ("alice = read 007", "is not an id or a range"),
        ("alice = read -9", "is not an id or a range"),
        ("group:alice = read", "kinds are password:, token:, jwt:"),
        ("proxy: = read", "a name is missing"),
        ("jwt:https://issuer.example/ = read", "jwt:ISSUER#SUBJECT"),
        ("jwt:#alice = read", "jwt:ISSUER#SUBJECT"),
        ("bob = read\nbob = write", "has a line already"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        Permissions.parse(f"\n# comment\nx = read\n{line}\n")
    assert str(caught.value).startswith(f"line {4 + line.count(chr(10))}: ")
