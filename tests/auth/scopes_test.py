"""What scopes of tokens grant, compared with SciTokens' own library."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scitokens import Enforcer

from pacifica.archiveinterface.auth.permissions import Grant, IdRanges, Permission, Principal
from pacifica.archiveinterface.auth.scopes import PROFILES, granted_by, limited

READ, WRITE, REPLACE = Permission.READ, Permission.WRITE, Permission.REPLACE
CHANGE = {WRITE, REPLACE, Permission.DELETE, Permission.MOVE, Permission.STAT}
SCOPES = {**PROFILES["wlcg"], **PROFILES["scitokens"]}
ISSUER, AUDIENCE = "https://issuer.example.org", "https://archive.example.org"
IDS = ("0", "1", "12", "123", "1234", "12345", "123456", "9223372036854775807")


def holder(*scopes: str, base_path: str = "/") -> Principal:
    """Return a principal with what *scopes* grant."""
    return Principal("alice", "jwt", grants=granted_by(scopes, SCOPES, base_path) or ())


def readable(*scopes: str, base_path: str = "/") -> list[str]:
    """Return which of IDS can be read with *scopes*."""
    return [file_id for file_id in IDS if holder(*scopes, base_path=base_path).may(READ, file_id)]


@pytest.mark.parametrize(
    ("name", "permissions"),
    [
        ("storage.read", {READ}),
        ("storage.create", {WRITE, Permission.STAT}),
        ("storage.modify", CHANGE),
        ("storage.stage", {Permission.STAGE, Permission.POLL, Permission.STAT}),
        ("storage.poll", {Permission.POLL}),
        ("read", {READ}),
        ("write", CHANGE),
    ],
)
def test_a_scope_gives_its_permissions_and_no_others(name: str, permissions: set[Permission]) -> None:
    assert {each for each in Permission if holder(f"{name}:/").may(each, "5")} == permissions
    assert {each for each in Permission if holder(f"{name}:/5").may(each, "5")} == permissions
    assert not any(holder(f"{name}:/5").may(each, "6") for each in Permission)


@pytest.mark.parametrize("path", ["/12345", "//12345", "/12345/", "///12345//"])
def test_a_path_is_one_file_whatever_its_slashes(path: str) -> None:
    assert readable(f"storage.read:{path}") == ["12345"]


def test_the_root_is_all_files_and_those_without_an_id() -> None:
    assert readable("storage.read:/") == list(IDS)
    assert holder("storage.read:/").may(READ, None)
    assert holder("storage.read:/").may(READ, "notes.txt")
    assert not holder("storage.read:/12345").may(READ, None)


MALFORMED = {
    "none or relative": ["", "12345", "1", ":/", ":/12345"],
    "dots": [".", "./", "..", "/.", "/./", "/..", "/../", "/./12345", "/12345/.", "/12345/..", "/x/../12345"],
    "encoded": ["/%2e", "/%2E%2E", "/%2f", "/%2F12345", "%2F", "/%31", "/%31%32", "/12345%00", "/%252e", "/12345%2f.."],
    "slashes": ["//", "///", "\\", "/\\", "/12345\\"],
    "characters": ["/*", "/1*", "/?", "/12345?x", "/#", "/12345#", "/\t", "/12345\n", "/12345\x00", "/\u200b12345"],
    "of no file": ["/12345/6", "/12345//6", "/1-123456", "/0-", "/,", "/12345:", "/12345:/", "/1234567"],
    "no canonical ids": ["/007", "/+1", "/1.0", "/1e3", "/\uff11\uff12", "/9223372036854775808", "/-1", "/1_2"],
}


@pytest.mark.parametrize("path", [path for paths in MALFORMED.values() for path in paths])
def test_a_malformed_path_grants_nothing(path: str) -> None:
    assert readable(f"storage.read:{path}") == []
    assert not holder(f"storage.read:{path}").may(READ, None)


@pytest.mark.parametrize("scope", ["storage.read", "storage", "STORAGE.READ:/", "storage.reads:/", "storage.*:/", "*"])
def test_another_name_grants_nothing(scope: str) -> None:
    assert readable(scope) == []


def test_a_scope_without_a_known_name_is_no_storage_scope() -> None:
    assert granted_by(["openid", "offline_access", "storage.reads:/", ""], SCOPES, "/") is None
    assert granted_by(["openid", "storage.read"], SCOPES, "/") is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", list(IDS)),
        ("/pacifica", list(IDS)),
        ("/pacifica/", list(IDS)),
        ("/pacifica/archive", list(IDS)),
        ("/pacifica/archive/12345", ["12345"]),
        ("/pacifica/archive/12345/6", []),
        ("/pacifica/archives", []),
        ("/pacifica/arch", []),
        ("/pacifica/12345", []),
        ("/12345", []),
        ("/other", []),
    ],
)
def test_paths_are_matched_by_segments_below_the_base_path(path: str, expected: list[str]) -> None:
    assert readable(f"storage.read:{path}", base_path="/pacifica/archive") == expected


def test_scopes_add_up() -> None:
    assert readable("storage.read:/1", "storage.read:/123", "storage.read:/..", "storage.create:/") == ["1", "123"]
    assert not holder("storage.read:/1", "storage.create:/12").may(WRITE, "1")


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=4)


@given(RANGES, RANGES)
@settings(max_examples=200, deadline=None)
def test_what_is_granted_is_the_intersection(asked: list[list[int]], allowed: list[list[int]]) -> None:
    def ids(ranges: list[list[int]]) -> IdRanges:
        return IdRanges.parse(f"{first}-{last}" for first, last in ranges)

    permissions = frozenset((READ, WRITE))
    grants = limited([Grant(permissions, ids(asked))], Grant(frozenset((READ, REPLACE)), ids(allowed)))
    principal = Principal("alice", "jwt", grants=grants)
    assert grants  # a principal without any would be looked up in the file of the permissions
    for number in map(str, range(32)):
        assert principal.may(READ, number) == (number in ids(asked) and number in ids(allowed))
        assert not principal.may(WRITE, number)
        assert not principal.may(REPLACE, number)


def scitokens_allows(scope: str, path: str) -> bool:
    """Return what SciTokens' library says of reading *path* with *scope*."""
    token: Any = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60, "scope": scope, "ver": "scitoken:2.0"}
    return bool(Enforcer(ISSUER, AUDIENCE).test(_Token(token), "read", path))


class _Token(dict[str, Any]):
    """What the validators of SciTokens' library read of a token."""

    def claims(self) -> Any:
        return self.items()


# SciTokens takes a path with a slash at its end for a directory, and not for a file as well.


@given(st.text(alphabet="/12345.%2eE", max_size=12).map(lambda path: path.rstrip("/") or path))
@example("/12345")
@example("/")
@settings(max_examples=300, deadline=None)
def test_no_scope_grants_more_than_with_scitokens(path: str) -> None:
    for file_id in readable(f"read:{path}"):
        assert scitokens_allows(f"read:{path}", f"/{file_id}")


SEGMENTS = st.lists(st.sampled_from(["1", "12", "123", "12345", "x", ""]), min_size=1, max_size=4)


@given(SEGMENTS.map(lambda segments: "/" + "/".join(segments)).filter(lambda path: path == "/" or path[-1] != "/"))
@settings(max_examples=100, deadline=None)
def test_plain_paths_grant_what_they_do_with_scitokens(path: str) -> None:
    assert readable(f"read:{path}") == [each for each in IDS if scitokens_allows(f"read:{path}", f"/{each}")]
